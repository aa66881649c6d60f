"""SigV2 as S3 still knows it, and as botocore presigns URLs by default: HMAC-SHA1 over a few headers and the resource.

It names neither region nor service, and says nothing of the body but what Content-MD5 says.
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import unquote_to_bytes

from mooring.wire.signatures import MISMATCH, Fields, Flaw, Unverified
from mooring.wire.sigv4 import query_pairs
from mooring.wire.verification import S3_SKEW_S

_SCHEME: Final = b"AWS "
_AMZ: Final = b"x-amz-"
_SUBRESOURCES: Final = frozenset(
    (
        b"accelerate", b"acl", b"analytics", b"cors", b"defaultObjectAcl", b"delete", b"inventory", b"lifecycle",
        b"location", b"logging", b"metrics", b"notification", b"object-lock", b"partNumber", b"policy", b"replication",
        b"requestPayment", b"response-cache-control", b"response-content-disposition", b"response-content-encoding",
        b"response-content-language", b"response-content-type", b"response-expires", b"restore", b"select",
        b"select-type", b"storageClass", b"tagging", b"torrent", b"uploadId", b"uploads", b"versionId", b"versioning",
        b"versions", b"website",
    )
)  # fmt: skip
"""Parameters that belong to the resource; all others are not signed."""
_PRESIGNED_FIELDS: Final = frozenset((b"content-md5", b"content-type"))


@dataclass(frozen=True, slots=True)
class OldSignature:
    """A signature of SigV2, not verified. `expires` is a presigned URL's own end; else `date` is when it was made."""

    access_key_id: str
    value: bytes
    date: bytes
    expires: bool


def read(headers: Fields, query: bytes) -> OldSignature | None:
    """The signature of a request, None when it has none of this kind. Raises `Unverified` when it is malformed."""
    known = dict(headers)
    authorization = known.get(b"authorization", b"").strip()
    if authorization.startswith(_SCHEME):
        _once(query)
        key, _, value = authorization[len(_SCHEME) :].strip().partition(b":")
        return OldSignature(key.decode("latin-1"), value.strip(), known.get(b"date", b"").strip(), expires=False)
    if authorization or b"AWSAccessKeyId=" not in query:
        return None
    given = _once(query)
    try:
        key, value, date = given[b"AWSAccessKeyId"], given[b"Signature"], given[b"Expires"]
    except KeyError:
        text = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        raise Unverified(Flaw.INCOMPLETE, text) from None
    return OldSignature(key.decode("latin-1"), value, date, expires=True)


def _once(query: bytes) -> dict[bytes, bytes]:
    """The parameters of a URL. Raises `Unverified` when one is there twice: what is signed might not be what counts."""
    found: dict[bytes, bytes] = {}
    names: set[bytes] = set()
    for name, value in query_pairs(query):
        if (lowered := name.lower()) in names:
            raise Unverified(Flaw.INCOMPLETE, f"The query has {lowered.decode('latin-1')[:64]!a} more than once.")
        names.add(lowered)
        found[name] = value
    return found


def check_time(signature: OldSignature, headers: Fields, now: float) -> None:
    """Raises `Unverified` when a URL's time is over, or a request is not of now."""
    if signature.expires:
        try:
            end = int(signature.date)
        except ValueError:
            raise Unverified(Flaw.INCOMPLETE, "Expires must be a number of seconds") from None
        if now > end:
            raise Unverified(Flaw.EXPIRED, "Request has expired")
        return
    given = dict(headers).get(b"x-amz-date", signature.date).decode("latin-1")
    try:
        at = parsedate_to_datetime(given).timestamp()
    except (ValueError, TypeError, IndexError):
        text = "AWS authentication requires a valid Date or x-amz-date header"
        raise Unverified(Flaw.INCOMPLETE, text) from None
    if abs(now - at) > S3_SKEW_S:
        shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        raise Unverified(Flaw.TOO_OLD if at < now else Flaw.TOO_NEW, f"{given[:64]} is too far from {shown}")


def check_signature(
    signature: OldSignature, secret: str, method: bytes, path: bytes, query: bytes, headers: Fields, bucket: bytes
) -> None:
    """Raises `Unverified` unless the signature is this request's; `bucket` is the one that its host name names."""
    resource = (b"/" + bucket if bucket else b"") + path
    # SDKs sign a bucket as `/bucket/`, and send it as `/bucket`.
    for each in (resource,) if resource.count(b"/") > 1 else (resource, resource + b"/"):
        ours = string_to_sign(signature, method, each, query, headers)
        if hmac.compare_digest(base64.b64encode(hmac.digest(secret.encode(), ours, "sha1")), signature.value):
            return
    raise Unverified(Flaw.MISMATCH, MISMATCH)


def string_to_sign(signature: OldSignature, method: bytes, resource: bytes, query: bytes, headers: Fields) -> bytes:
    """What is signed of a request."""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value.strip())
    for name, value in query_pairs(query):  # headers of the sender's may be in the URL
        lowered = name.lower()
        if lowered.startswith(_AMZ) or lowered in _PRESIGNED_FIELDS:
            fields.setdefault(lowered, [value.strip()])
    known = {name: b",".join(values) for name, values in fields.items()}
    amz = sorted(name for name in known if name.startswith(_AMZ))
    date = signature.date if signature.expires or b"x-amz-date" not in known else b""
    lines = [method, known.get(b"content-md5", b""), known.get(b"content-type", b""), date]
    lines += [b"%b:%b" % (name, known[name]) for name in amz]
    return b"\n".join([*lines, resource + _subresources(query)])


def _subresources(query: bytes) -> bytes:
    pieces = []
    for piece in query.split(b"&") if query else ():
        name, equals, value = piece.partition(b"=")
        name = unquote_to_bytes(name)  # in any spelling, since whoever serves the request reads it so too
        if name in _SUBRESOURCES:
            pieces.append((name, name + equals + unquote_to_bytes(value)))
    return b"?" + b"&".join(piece for _, piece in sorted(pieces)) if pieces else b""
