from collections.abc import Iterator
from pathlib import Path

from ground import Ground

ENVIRONMENTS = Path("x")


def run(ground: Ground) -> Iterator[str]:
    yield ""
