"""What cannot be explained, and whose fault that is. A message says what, where (record and field) and what to do."""

from __future__ import annotations

import json
import reprlib
from typing import Any

from mooring.errors import BadInput

SHOWN = 100
"""Characters of a value that a message shows."""


class Unexplainable(BadInput):
    """There is no explanation. `kind` is `explainer` or `caller`, as in `frames.Unexplained`."""

    def __init__(self, message: str, kind: str = "explainer") -> None:
        self.kind = kind
        super().__init__(message)


class Misaligned(Unexplainable):
    """An answer does not hold as many records as were sent; a request of fewer records may still do."""


def counted(count: int, what: str) -> str:
    """`1 entry` or `2 entries`."""
    if count == 1:
        return f"1 {what}"
    return f"{count} {what[:-1]}ies" if what.endswith("y") else f"{count} {what}s"


def shown(value: Any) -> str:
    """A value for a message: on one line, and not all of a long one or a deep one."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    text = _BRIEFLY.repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


_BRIEFLY = reprlib.Repr()
_BRIEFLY.maxstring = _BRIEFLY.maxother = _BRIEFLY.maxlong = SHOWN
_BRIEFLY.maxlist = _BRIEFLY.maxdict = 20
