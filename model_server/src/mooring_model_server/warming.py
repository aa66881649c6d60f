"""Import once what the replicas of an environment will import, so that its bytecode is there.

Replicas write none: without this each would compile the same thousand files again, seconds of every start. To compile
everything that was installed takes up to five times as long, and most of it nobody imports. It also proves that the
framework can be imported at all; what a model's requirements name may fail, as its script may know how to take it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from importlib import metadata
from typing import Iterator, Sequence

from mooring_model_server.output import last_line
from mooring_model_server.preloading import preload

CANNOT_IMPORT = 3


def main(arguments: Sequence[str]) -> int:
    """A framework first, then distributions: 0, or 3 where the framework cannot be imported."""
    try:
        preload(arguments[0])
    except Exception as error:  # noqa: BLE001 (a framework may fail in any way while it is imported)
        sys.stderr.write(last_line(error) + "\n")
        return CANNOT_IMPORT
    for module in dict.fromkeys(module for name in arguments[1:] for module in modules_of(name)):
        with contextlib.suppress(BaseException):
            importlib.import_module(module)
    return 0


def modules_of(distribution: str) -> Iterator[str]:
    """The top-level modules that a distribution installed."""
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return
    for file in found.files or ():
        top = file.parts[0]
        if len(file.parts) == 2 and file.name == "__init__.py":
            yield top
        elif len(file.parts) == 1 and top.endswith(".py"):
            yield top[: -len(".py")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
