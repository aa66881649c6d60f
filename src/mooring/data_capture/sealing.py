"""Records on disk where the endpoint names a key: each line sealed by itself, in base64.

A segment has a key of its own, derived from the stream's data key and the segment's name: so no key seals more than a
segment's records, and a line that is moved to another segment does not open there.
"""

from __future__ import annotations

import hmac
from binascii import a2b_base64, b2a_base64

from mooring.keys.envelopes import open_record, seal_record


class SegmentSeal:
    """Of one segment."""

    __slots__ = ("_key", "_name")

    def __init__(self, data_key: bytes, segment: str) -> None:
        self._name = segment.encode()
        self._key = hmac.digest(data_key, self._name, "sha256")

    def sealed(self, line: bytes) -> bytes:
        """What stands on disk for a line: again a line."""
        return b2a_base64(seal_record(self._key, line, self._name))

    def opened(self, sealed: bytes) -> bytes:
        """The line again. Raises `Tampered`, or ValueError for what is no base64."""
        return open_record(self._key, a2b_base64(sealed), self._name)


def prepare() -> None:
    """Import what seals, which takes a while."""
    SegmentSeal(bytes(32), "").sealed(b"")
