"""The tokens with which CloudWatch Logs' answers are read on: opaque to clients, hostile when they come back.

A token of events holds where each stream is to be read on, so nothing is kept on this side and no time limit applies.
It must not look like a token of botocore's own paginators (JSON in base64) nor hold three underscores, with which they
join tokens: they are given it back as `StartingToken`.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from mooring.wire.errors import WireError

LARGEST_BYTES = 1024 * 1024
_ONE_STREAM = re.compile(r"([fb])/([0-9]{56})/s")
_MARK = "."


class Merged(NamedTuple):
    """Where many streams are to be read on."""

    positions: dict[str, int]
    backwards: bool


def of_stream(direction: str, offset: int) -> str:
    """A token of GetLogEvents: `f` reads what is behind the offset, `b` what is before."""
    return f"{direction}/{offset:056d}/s"


def stream_token(text: str) -> tuple[bool, int]:
    """Whether a token of GetLogEvents reads backwards, and from where. Raises `WireError`."""
    found = _ONE_STREAM.fullmatch(text)
    if found is None:
        raise broken()
    return found[1] == "b", int(found[2])


def of_streams(positions: Mapping[str, int], *, backwards: bool) -> str:
    """A token of FilterLogEvents."""
    return _packed([backwards, dict(positions)])


def streams_token(text: str) -> Merged:
    """What `of_streams` packed. Raises `WireError`."""
    match _unpacked(text):
        case [bool() as backwards, dict() as positions] if all(_is_offset(each) for each in positions.values()):
            return Merged(positions, backwards)
    raise broken()


def of_last(*last: str | int) -> str:
    """A token of a list: what sorts it, of the last that was told."""
    return _packed(last)


def last_token(text: str, *kinds: type) -> tuple[Any, ...]:
    """What `of_last` packed. Raises `WireError`."""
    found = _unpacked(text)
    if not isinstance(found, list) or [type(each) for each in found] != list(kinds):
        raise broken()
    return tuple(found)


def broken() -> WireError:
    """A token that no answer gave."""
    return WireError("InvalidParameterException", "The specified nextToken is invalid.", status=400)


def _is_offset(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _packed(content: object) -> str:
    data = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
    return _MARK + base64.b64encode(data).decode("ascii")


def _unpacked(text: str) -> Any:
    try:
        packed = base64.b64decode(text.removeprefix(_MARK), validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, LARGEST_BYTES)
        return json.loads(data) if unpacker.eof else None
    except (ValueError, zlib.error, RecursionError):
        raise broken() from None
