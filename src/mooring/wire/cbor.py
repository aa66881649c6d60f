"""CBOR (RFC 8949), as far as Smithy's RPC v2 uses it: no tags but the time, no simple values but booleans and null.

Both ways speak plain Python; a time is a `Timestamp` when written, and plain float seconds when read. What is read is
hostile: a length beyond the input, a nesting or a number of items that no operation has, text that is not UTF-8 and
whatever follows the one item are a ValueError, and nothing else is ever raised.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

DEEPEST: Final = 64
MOST_ITEMS: Final = 400_000
"""More than the largest PutMetricData has; an item of one byte takes up to a hundred in memory."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _OTHER = range(8)
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
_SIMPLE: Final[dict[int, bool | None]] = {20: False, 21: True, 22: None, 23: None}
_INDEFINITE, _BREAK = 31, 0xFF
_TIME = 1


class Timestamp(float):
    """Seconds since the epoch, written with the tag that says so."""


def encoded(value: Any) -> bytes:
    """One item; raises TypeError for what has no place in it."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def decoded(data: bytes) -> Any:
    """The one item that `data` is. Raises ValueError."""
    reader = _Reader(data)
    value = reader.item(DEEPEST)
    if reader.at != len(data):
        raise ValueError("there is more than one item")
    return value


def _write(out: bytearray, value: Any) -> None:
    if value is None or isinstance(value, bool):
        out.append((_OTHER << 5) | {False: 20, True: 21, None: 22}[value])
    elif isinstance(value, int):
        _write_head(out, *((_UNSIGNED, value) if value >= 0 else (_NEGATIVE, -1 - value)))
    elif isinstance(value, float):
        if isinstance(value, Timestamp):
            _write_head(out, _TAG, _TIME)
        out += struct.pack(">Bd", (_OTHER << 5) | 27, value)
    elif isinstance(value, str | bytes):
        kind, raw = (_TEXT, value.encode()) if isinstance(value, str) else (_BYTES, value)
        _write_head(out, kind, len(raw))
        out += raw
    elif isinstance(value, Mapping):
        _write_head(out, _MAP, len(value))
        for name, item in value.items():
            _write(out, name)
            _write(out, item)
    elif isinstance(value, Sequence):
        _write_head(out, _LIST, len(value))
        for item in value:
            _write(out, item)
    else:
        raise TypeError(f"{type(value).__name__} has no place in CBOR")


def _write_head(out: bytearray, kind: int, number: int) -> None:
    if number < 24:
        out.append((kind << 5) | number)
        return
    for more, size in _LENGTHS.items():
        if number < 1 << (8 * size):
            out.append((kind << 5) | more)
            out += number.to_bytes(size, "big")
            return
    raise TypeError("the number has no place in CBOR")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._left = MOST_ITEMS

    def item(self, depth: int) -> Any:
        self._left -= 1
        if depth == 0 or self._left < 0:
            raise ValueError("there are too many items, or too deep ones")
        first = self._take(1)[0]
        kind, more = first >> 5, first & 31
        if kind == _OTHER:
            return self._other(more)
        if kind in (_UNSIGNED, _NEGATIVE):
            return self._number(more) if kind == _UNSIGNED else -1 - self._number(more)
        if kind in (_BYTES, _TEXT):
            raw = self._string(kind, more)
            return raw.decode() if kind == _TEXT else raw
        if kind == _TAG:
            return self._time(self._number(more), depth)
        return self._list(more, depth) if kind == _LIST else self._map(more, depth)

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._data):
            raise ValueError("the data end within an item")
        taken, self.at = self._data[self.at : end], end
        return taken

    def _number(self, more: int) -> int:
        if more < 24:
            return more
        if more not in _LENGTHS:
            raise ValueError("a number has no length")
        return int.from_bytes(self._take(_LENGTHS[more]), "big")

    def _other(self, more: int) -> Any:
        if more in _SIMPLE:
            return _SIMPLE[more]
        if more not in _FLOATS:
            raise ValueError("a simple value is unknown")
        form, size = _FLOATS[more]
        return struct.unpack(form, self._take(size))[0]

    def _time(self, tag: int, depth: int) -> float:
        value = self.item(depth - 1)
        if tag != _TIME or isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("a tag is not that of a time")
        return float(value)

    def _string(self, kind: int, more: int) -> bytes:
        if more != _INDEFINITE:
            return self._take(self._number(more))
        chunks = []
        while not self._ended():
            first = self._take(1)[0]
            if first >> 5 != kind:
                raise ValueError("a string has a piece of another kind")
            chunks.append(self._take(self._number(first & 31)))
        return b"".join(chunks)

    def _list(self, more: int, depth: int) -> list[Any]:
        if more == _INDEFINITE:
            items = []
            while not self._ended():
                items.append(self.item(depth - 1))
            return items
        return [self.item(depth - 1) for _ in range(self._number(more))]

    def _map(self, more: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        left = None if more == _INDEFINITE else self._number(more)
        while left != 0 and not (left is None and self._ended()):
            name = self.item(depth - 1)
            if not isinstance(name, str):
                raise ValueError("a name in a map is not text")
            found[name] = self.item(depth - 1)
            left = None if left is None else left - 1
        return found

    def _ended(self) -> bool:
        if self._data[self.at : self.at + 1] == bytes((_BREAK,)):
            self.at += 1
            return True
        return False
