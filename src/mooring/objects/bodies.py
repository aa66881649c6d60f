"""Receiving a request's body: decoded, bounded, hashed once, and verified against everything its sender said of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mooring.objects.digests import CHECKSUM_PREFIX, UNVERIFIED, VERIFIED, Digests, content_md5
from mooring.objects.errors import S3Error
from mooring.objects.signed_streams import SignedChunkedStream
from mooring.objects.storage import Staged
from mooring.objects.streams import ChunkedStream, LengthStream, SocketStream, Stream
from mooring.wire.chunk_signatures import SIGNED_WITH_TRAILER, Chain

LARGEST = 5 * 1024**3
"""S3's bound of one PUT, and of one part."""
BUFFER_BYTES = 256 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Received:
    """What is known of a body that was received whole and verified."""

    size: int
    md5: str
    checksums: dict[str, str]


class Body:
    """The body of one request. Nothing is read before it is asked for, nor is `100 Continue` sent."""

    def __init__(self, stream: SocketStream, headers: Mapping[str, str]) -> None:
        self._socket = stream
        self._headers = headers
        self._awaited = headers.get("expect", "").lower() == "100-continue"
        self._layers: list[Stream] = []
        self._finished = False
        self._chain: Chain | None = None
        self._raw = self._open()

    def _open(self) -> Stream:
        coding = self._headers.get("transfer-encoding")
        if coding is not None:
            if coding.lower() != "chunked":
                raise S3Error("NotImplemented", f"The transfer coding {coding} is not implemented.")
            self._length: int | None = None
            return ChunkedStream(self._socket)
        self._length = _number(self._headers.get("content-length", "0"))
        return LengthStream(self._socket, self._length)

    @property
    def unread(self) -> int | None:
        """Bytes that the client still has to send; None when that is not known."""
        if isinstance(self._raw, LengthStream):
            return self._raw.left
        return 0 if self._finished else None

    @property
    def is_awaited(self) -> bool:
        """Whether the client waits for a word before it sends the body."""
        return self._awaited

    def verify_chunks(self, chain: Chain | None) -> None:
        """Have the signature of each chunk checked."""
        self._chain = chain

    def skip(self) -> None:
        """Read the rest and forget it."""
        view = memoryview(bytearray(16 * 1024))
        while self._raw.fill(view):
            pass

    def read(self, limit: int) -> bytes:
        """All of a small body, verified; MalformedXML when it is larger than `limit`."""
        digests = Digests(self._wanted())
        view = memoryview(bytearray(min(limit + 1, BUFFER_BYTES)))
        source, pieces, size = self._decoded(), [], 0
        while count := source.fill(view):
            size += count
            if size > limit:
                raise S3Error("MalformedXML", "The document is too large.")
            digests.update(view[:count])
            pieces.append(bytes(view[:count]))
        self._verify(size, digests)
        return b"".join(pieces)

    def receive(self, staged: Staged) -> Received:
        """Everything into a staged file."""
        self._need_length()
        digests = Digests(self._wanted())
        expected = _number(self._headers.get("x-amz-decoded-content-length", str(self._length or 0)))
        view = memoryview(bytearray(max(1, min(BUFFER_BYTES, expected or BUFFER_BYTES))))
        source, size = self._decoded(), 0
        while count := source.fill(view):
            size += count
            if size > LARGEST:
                raise S3Error("EntityTooLarge", MaxSizeAllowed=str(LARGEST))
            digests.update(view[:count])
            staged.write(view[:count])
        return Received(size, digests.md5, self._verify(size, digests))

    def _need_length(self) -> None:
        if self._length is None:
            return
        if "content-length" not in self._headers:
            raise S3Error("MissingContentLength")
        if self._length > LARGEST + LARGEST // 64:  # room for chunk signatures
            raise S3Error("EntityTooLarge", ProposedSize=str(self._length), MaxSizeAllowed=str(LARGEST))

    def _decoded(self) -> Stream:
        if self._awaited:
            self._awaited = False
            self._socket.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._layers = [self._raw]
        if self._is_aws_chunked():
            self._layers.append(self._aws_chunked())
        return self._layers[-1]

    def _aws_chunked(self) -> Stream:
        if self._chain is None:
            return ChunkedStream(self._raw)
        with_trailer = self._headers.get("x-amz-content-sha256", "").encode("latin-1") == SIGNED_WITH_TRAILER
        return SignedChunkedStream(self._raw, self._chain, trailers_are_signed=with_trailer)

    def _is_aws_chunked(self) -> bool:
        declared = self._headers.get("x-amz-content-sha256", "")
        codings = self._headers.get("content-encoding", "").split(",")
        return declared.startswith("STREAMING-") or any(each.strip() == "aws-chunked" for each in codings)

    def _wanted(self) -> list[str]:
        """Digests to compute: those that a header gives or that a trailer is announced for."""
        announced = {name.strip().lower() for name in self._headers.get("x-amz-trailer", "").split(",") if name.strip()}
        for name in announced:
            if name.removeprefix(CHECKSUM_PREFIX) not in VERIFIED + UNVERIFIED:
                raise S3Error("InvalidRequest", f"The trailer {name} is not one of S3's.")
        names = [
            name for name in VERIFIED if CHECKSUM_PREFIX + name in announced or CHECKSUM_PREFIX + name in self._headers
        ]
        if _SHA256.fullmatch(self._headers.get("x-amz-content-sha256", "")):
            names.append("sha256")
        return names

    def _verify(self, size: int, digests: Digests) -> dict[str, str]:
        """Check what was received against what was said; the checksums worth keeping."""
        while self._raw.fill(memoryview(bytearray(1024))):  # the end of an outer coding
            pass
        self._finished = True
        declared = self._headers.get("x-amz-decoded-content-length")
        if declared is not None and self._is_aws_chunked() and _number(declared) != size:
            raise S3Error("IncompleteBody")
        md5 = content_md5(self._headers.get("content-md5"))
        if md5 is not None and md5 != digests.md5:
            raise S3Error("BadDigest")
        sha256 = self._headers.get("x-amz-content-sha256", "")
        if _SHA256.fullmatch(sha256) and sha256 != digests.hex("sha256"):
            raise S3Error("XAmzContentSHA256Mismatch")
        return self._verify_checksums(digests)

    def _verify_checksums(self, digests: Digests) -> dict[str, str]:
        given: dict[str, str] = {}
        for source in (self._headers, *(each.trailers for each in self._layers if isinstance(each, ChunkedStream))):
            for name in VERIFIED:
                if (value := source.get(CHECKSUM_PREFIX + name)) is not None:
                    given[name] = value
        announced = self._headers.get("x-amz-trailer", "").lower()
        for name in VERIFIED:
            if f"{CHECKSUM_PREFIX}{name}" in (each.strip() for each in announced.split(",")) and name not in given:
                raise S3Error("InvalidRequest", f"The announced trailer {CHECKSUM_PREFIX}{name} is missing.")
        for name, value in given.items():
            if value != digests.base64(name):
                raise S3Error("BadDigest", f"The {name.upper()} you specified did not match what we received.")
        return given


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise S3Error("InvalidArgument", f"{text[:40]!r} is not a length.")
    return int(text)
