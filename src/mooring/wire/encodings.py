"""`Content-Encoding`, which the SDKs give to large metrics."""

from __future__ import annotations

import zlib
from typing import Final

from mooring.wire.errors import WireError, serialization_exception

LARGEST_BODY_BYTES: Final = 8 * 1024 * 1024
"""That a body unpacks to."""
_GZIP = 31


def unpacked(body: bytes, encoding: bytes | None) -> bytes:
    """The body without its `Content-Encoding`. Raises `WireError`."""
    named = (encoding or b"").strip().lower()
    if named in (b"", b"identity"):
        return body
    if named != b"gzip":
        raise WireError("UnsupportedMediaType", "Content-Encoding is gzip or nothing.", status=415)
    unpacking = zlib.decompressobj(_GZIP)
    try:
        plain = unpacking.decompress(body, LARGEST_BODY_BYTES)
    except zlib.error as error:
        raise serialization_exception(f"The body is not gzip: {error}") from None
    if unpacking.eof:
        return plain
    if unpacking.unconsumed_tail:
        message = f"The body has more than {LARGEST_BODY_BYTES} bytes when it is unpacked."
        raise WireError("RequestEntityTooLarge", message, status=413)
    raise serialization_exception("The body is cut off.")
