"""The credential that a request was signed with, read and not verified: whose key, which region, which service.

Reads the `Authorization` header and presigned URLs, of SigV4 and SigV4A, and SigV2 as S3 still knows it. Everything
read here is what the caller claims; whatever is malformed is None, never an exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_HEADER = re.compile(rb"\s*AWS4-(HMAC-SHA256|ECDSA-P256-SHA256)[\s,]")
_HEADER_CREDENTIAL = re.compile(rb"[\s,]Credential=([^\s,]+)")
_SIGV2_HEADER = re.compile(rb"\s*AWS ([!-~]{1,128}):[A-Za-z0-9+/=]+\s*")
_ACCESS_KEY_ID = re.compile(rb"[!-~]{1,128}")
_DATE = re.compile(rb"[0-9]{8}")
_REGION = re.compile(rb"[A-Za-z0-9-]{1,64}")
_SERVICE = re.compile(rb"[A-Za-z0-9-]{1,64}")
_TERMINATOR = b"aws4_request"


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential scope as claimed; `date` and `region` are None where the signing version has none."""

    access_key_id: str
    date: str | None
    region: str | None
    service: str
    presigned: bool = False


def claimed_credential(authorization: bytes | None, query: bytes) -> Credential | None:
    """The credential of a request, from its `Authorization` header or else from the query of a presigned URL."""
    found = from_authorization(authorization) if authorization else None
    return found if found is not None else from_query(query)


def from_authorization(value: bytes) -> Credential | None:
    """The credential of an `Authorization` header."""
    scheme = _HEADER.match(value)
    if scheme is None:
        old = _SIGV2_HEADER.fullmatch(value)
        return Credential(old[1].decode("ascii"), None, None, "s3") if old else None
    credential = _HEADER_CREDENTIAL.search(value)
    return _scope(credential[1], has_region=scheme[1] == b"HMAC-SHA256") if credential else None


def from_query(query: bytes) -> Credential | None:
    """The credential of a presigned URL's query."""
    if b"X-Amz-Credential=" not in query and b"AWSAccessKeyId=" not in query:
        return None
    found: dict[bytes, bytes] = {}
    for name, value in query_pairs(query):
        found.setdefault(name, value)
    scope = found.get(b"X-Amz-Credential")
    if scope is not None:
        algorithm = found.get(b"X-Amz-Algorithm", b"AWS4-HMAC-SHA256")
        return _scope(scope, has_region=algorithm != b"AWS4-ECDSA-P256-SHA256", presigned=True)
    key = found.get(b"AWSAccessKeyId", b"")
    if b"Action" in found or not _ACCESS_KEY_ID.fullmatch(key):
        return None
    return Credential(key.decode("ascii"), None, None, "s3", presigned=True)


def query_pairs(query: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of a query, percent-decoded; a plus sign stays one, as SigV4 has it."""
    for piece in query.split(b"&"):
        name, _, value = piece.partition(b"=")
        if name:
            yield unquote_to_bytes(name), unquote_to_bytes(value)


def _scope(credential: bytes, *, has_region: bool, presigned: bool = False) -> Credential | None:
    parts = credential.rsplit(b"/", 4 if has_region else 3)
    if len(parts) != (5 if has_region else 4) or parts[-1] != _TERMINATOR:
        return None
    key, date, service = parts[0], parts[1], parts[-2]
    region = parts[2] if has_region else None
    if not (_ACCESS_KEY_ID.fullmatch(key) and _DATE.fullmatch(date) and _SERVICE.fullmatch(service)):
        return None
    if region is not None and not _REGION.fullmatch(region):
        return None
    return Credential(
        access_key_id=key.decode("ascii"),
        date=date.decode("ascii"),
        region=region.decode("ascii") if region is not None else None,
        service=service.decode("ascii").lower(),
        presigned=presigned,
    )
