"""SigV4's canonical request: one spelling of a request, so that sender and receiver sign the same bytes.

The sender's spelling of path and query is brought into AWS's: percent-encoded once more for all services but S3, whose
path is encoded exactly once. A client that signed what it sent, in another spelling, is served too, and one that signs
its header values as UTF-8 and sends them as Latin-1: `spellings` gives all, each a faithful copy of what came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from mooring.wire.signatures import Fields

EMPTY_SHA256: Final = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SIGNATURE_PARAMETER: Final = b"X-Amz-Signature"
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_.~-]*[A-Za-z0-9_~-])+")
"""What both encodings leave as it is: no empty part, and none of dots alone."""


def spellings(
    method: bytes,
    path: bytes,
    query: bytes,
    headers: Fields,
    signed: Sequence[bytes],
    payload: bytes,
    *,
    is_s3: bool,
) -> Iterator[bytes]:
    """The canonical request, in AWS's spelling first and then as it was sent, where that is another one."""
    lines = canonical_headers(headers, signed)
    tail = b"\n%b\n%b" % (b";".join(signed), payload)
    usual = canonical_path(path, is_s3=is_s3), canonical_query(query)
    yield b"%b\n%b\n%b\n%b%b" % (method, *usual, lines, tail)
    as_sent = (path if is_s3 else _encoded(_without_dots(path))), _sorted(_pairs(query))
    if as_sent != usual:
        yield b"%b\n%b\n%b\n%b%b" % (method, *as_sent, lines, tail)
    if not lines.isascii():
        yield b"%b\n%b\n%b\n%b%b" % (method, *usual, lines.decode("latin-1").encode(), tail)


def canonical_path(path: bytes, *, is_s3: bool) -> bytes:
    """The path as SigV4 writes it."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    if is_s3:
        return _encoded(unquote_to_bytes(path))
    return _encoded(_without_dots(path))


def canonical_query(query: bytes) -> bytes:
    """The query in AWS's encoding and order, without the signature itself."""
    if not query:
        return b""
    pairs = (
        (_encoded(unquote_to_bytes(name), b""), _encoded(unquote_to_bytes(value), b"")) for name, value in _pairs(query)
    )
    return _sorted(pairs)


def canonical_headers(headers: Fields, signed: Sequence[bytes]) -> bytes:
    """The lines of the signed headers, each with its end; one that is not there is empty."""
    found = dict(headers)
    if len(found) == len(headers):  # the usual case: none comes twice
        return b"".join([b"%b:%b\n" % (name, b" ".join(found.get(name, b"").split())) for name in signed])
    wanted = dict.fromkeys(signed, b"")
    for name, value in headers:
        if name in wanted:
            value = b" ".join(value.split())
            wanted[name] = b"%b,%b" % (held, value) if (held := wanted[name]) else value
    return b"".join([b"%b:%b\n" % line for line in wanted.items()])


def _pairs(query: bytes) -> Iterator[tuple[bytes, bytes]]:
    for piece in query.split(b"&") if query else ():
        name, _, value = piece.partition(b"=")
        if name != SIGNATURE_PARAMETER:
            yield name, value


def _sorted(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"&".join(b"%b=%b" % pair for pair in sorted(pairs))


def _once(text: bytes) -> bytes:
    return _encoded(unquote_to_bytes(text), b"")


def _encoded(text: bytes, safe: bytes = b"/") -> bytes:
    return quote_from_bytes(text, safe=safe).encode("ascii")


def _without_dots(path: bytes) -> bytes:
    """Without the parts `.`, `..` and the empty ones, as AWS's services but S3 have it."""
    kept: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del kept[-1:]
        elif part and part != b".":
            kept.append(part)
    end = b"/" if path.endswith(b"/") and kept else b""
    return b"/" + b"/".join(kept) + end
