"""Request ids: version 4 UUIDs, made for speed. They name a request, they guard nothing."""

from __future__ import annotations

from random import getrandbits


def new_request_id() -> bytes:
    """A fresh id, as `x-amzn-RequestId` carries it."""
    return b"%08x-%04x-4%03x-a%03x-%012x" % (
        getrandbits(32),
        getrandbits(16),
        getrandbits(12),
        getrandbits(12),
        getrandbits(48),
    )
