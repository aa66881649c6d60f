"""The `aws-chunked` coding with a signature on each chunk: nothing of a chunk counts before its signature is checked.

Its bytes are handed on while they come, into a file that no one sees; a chunk that was changed ends the request before
that file becomes an object.
"""

from __future__ import annotations

import hashlib
import re

from mooring.objects.errors import S3Error
from mooring.objects.streams import ChunkedStream, Stream
from mooring.wire.chunk_signatures import TRAILER_SIGNATURE, Chain
from mooring.wire.signatures import Unverified

_SIGNATURE = re.compile(rb";[ \t]*chunk-signature=([0-9a-f]{64})[ \t]*")


class SignedChunkedStream(ChunkedStream):
    """A chunked coding of another stream, verified by the chain of its signatures."""

    def __init__(self, inner: Stream, chain: Chain, *, trailers_are_signed: bool) -> None:
        super().__init__(inner)
        self._chain = chain
        self._trailers_are_signed = trailers_are_signed
        self._digest = hashlib.sha256()
        self._signature = b""

    def _some(self, view: memoryview, *, whole: bool) -> int:
        count = super()._some(view, whole=whole)
        self._digest.update(view[:count])
        return count

    def _next_chunk(self) -> bool:
        if self._ended:
            return False
        if self._begun:
            self._check()
        goes_on = super()._next_chunk()
        found = _SIGNATURE.fullmatch(self._extension)
        if found is None:
            raise S3Error("InvalidRequest", "A chunk has no valid chunk-signature.")
        self._signature = found[1]
        self._digest = hashlib.sha256()
        if not goes_on:
            self._check()
            self._check_trailers()
        return goes_on

    def _check(self) -> None:
        try:
            self._chain.check_chunk(self._signature, self._digest.hexdigest())
        except Unverified:
            raise S3Error("SignatureDoesNotMatch") from None

    def _check_trailers(self) -> None:
        if not self._trailers_are_signed:
            return
        signature = self.trailers.pop(TRAILER_SIGNATURE, "")
        try:
            self._chain.check_trailers(signature.encode("latin-1"), list(self.trailers.items()))
        except Unverified:
            raise S3Error("SignatureDoesNotMatch") from None
