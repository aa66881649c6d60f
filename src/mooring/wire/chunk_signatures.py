"""The signatures of a body that S3 gets in signed chunks: each one signs its chunk and the signature before it.

The first of the chain is the signature of the request itself, so no chunk can be left out, moved, or come from another
request. Trailers are signed as the last link.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from mooring.wire.canonical import EMPTY_SHA256
from mooring.wire.signatures import MISMATCH, Flaw, Signature, Unverified
from mooring.wire.verification import SigningKeys

SIGNED: Final = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_WITH_TRAILER: Final = b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
UNSIGNED_WITH_TRAILER: Final = b"STREAMING-UNSIGNED-PAYLOAD-TRAILER"
KINDS: Final = frozenset((SIGNED, SIGNED_WITH_TRAILER, UNSIGNED_WITH_TRAILER))
TRAILER_SIGNATURE: Final = "x-amz-trailer-signature"


class Chain:
    """The signatures of one body, in their order. Made when the request's own has been verified."""

    def __init__(self, signature: Signature, keys: SigningKeys) -> None:
        claim = signature.claim
        self._key = keys.of(claim)
        self._context = f"{signature.timestamp}\n{claim.scope}\n".encode()
        self._last = signature.value.encode()

    def check_chunk(self, signature: bytes, digest: str) -> None:
        """The next chunk, by the SHA-256 of its data. Raises `Unverified`."""
        self._check(signature, b"AWS4-HMAC-SHA256-PAYLOAD", b"%b\n%b" % (EMPTY_SHA256, digest.encode()))

    def check_trailers(self, signature: bytes, trailers: Sequence[tuple[str, str]]) -> None:
        """The trailers, in the order in which they came. Raises `Unverified`."""
        lines = "".join(f"{name}:{value}\n" for name, value in trailers).encode("latin-1")
        self._check(signature, b"AWS4-HMAC-SHA256-TRAILER", hashlib.sha256(lines).hexdigest().encode())

    def _check(self, signature: bytes, kind: bytes, what: bytes) -> None:
        ours = b"%b\n%b%b\n%b" % (kind, self._context, self._last, what)
        expected = self._key.sign(ours).encode()
        if not hmac.compare_digest(expected, signature):
            raise Unverified(Flaw.MISMATCH, MISMATCH)
        self._last = expected
