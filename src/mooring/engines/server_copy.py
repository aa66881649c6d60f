"""The model server as the interpreter of any environment runs it: a directory with a `__main__.py`.

Not a part of the environments, since those outlive an upgrade of Mooring; not Mooring's own installation, since its
directory holds everything else too. A copy is named by its content and never changes. For the Python that Mooring
itself runs under it has links to Mooring's httptools and uvloop, behind everything that an environment has: with them a
replica takes 0.2 ms less of a processor for each call, and without them it works as well.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "mooring_model_server"
FASTER = ("httptools", "uvloop")
_copying = threading.Lock()
_MAIN = f"""import os
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(here, "faster-" + sys.implementation.cache_tag))
from {PACKAGE}.__main__ import main

main()
"""
WARM = "warm.py"
"""Beside it: `warm.py FRAMEWORK DISTRIBUTION…`, see `mooring_model_server.warming`."""
_WARM = f"""import sys
from {PACKAGE}.warming import main

sys.exit(main(sys.argv[1:]))
"""


def model_server_copy(environments: Path) -> Path:
    """What to give to `python`, below the directory of environments; made when it is not there yet."""
    sources = {name: source for name in (PACKAGE, *FASTER) if (source := _source(name)) is not None}
    place = environments / f".model-server-{_digest(tuple(sources.items()))}"
    with _copying:  # replicas are started in several threads
        if not place.exists():
            _copy(sources, place)
    return place


def _copy(sources: dict[str, Path], place: Path) -> None:
    aside = place.with_name(f"{place.name}-{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(sources.pop(PACKAGE), aside / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    (aside / "__main__.py").write_text(_MAIN)
    (aside / WARM).write_text(_WARM)
    faster = aside / f"faster-{sys.implementation.cache_tag}"
    faster.mkdir()
    for name, source in sources.items():
        (faster / name).symlink_to(source)
    aside.rename(place)


def _source(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


@functools.cache
def _digest(sources: tuple[tuple[str, Path], ...]) -> str:
    digest = hashlib.sha256((_MAIN + _WARM).encode())
    for name, source in sources:
        digest.update(f"{name}\0{source}\0".encode())
    for path in sorted(dict(sources)[PACKAGE].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
