"""SigV4's other side: the headers of a signed request, for Mooring's own command line.

botocore signs as well, and takes a fifth of a second to be imported.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from mooring.wire.canonical import EMPTY_SHA256, spellings
from mooring.wire.verification import derive, stamp, string_to_sign

SIGNED = (b"host", b"x-amz-date")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Somebody's access key."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def signed_headers(
    credentials: Credentials,
    service: str,
    region: str,
    method: str,
    url: str,
    headers: dict[str, str] | None = None,
    digest: bytes = EMPTY_SHA256,
    now: float | None = None,
) -> dict[str, str]:
    """`headers` and those that make them signed; `digest` is the SHA-256 of the body in hexadecimal."""
    parts = urlsplit(url)
    timestamp = stamp(time.time() if now is None else now)
    given = {**(headers or {}), "Host": parts.netloc, "X-Amz-Date": timestamp}
    if service == "s3":
        given["X-Amz-Content-SHA256"] = digest.decode()
    if credentials.token:
        given["X-Amz-Security-Token"] = credentials.token
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()]
    signed = sorted(name for name, _ in fields if name in SIGNED or name.startswith(b"x-amz-"))
    path, query = (parts.path or "/").encode("ascii"), parts.query.encode("ascii")
    canonical = next(spellings(method.encode(), path, query, fields, signed, digest, is_s3=service == "s3"))
    scope = f"{timestamp[:8]}/{region}/{service}/aws4_request"
    key = derive(credentials.secret, timestamp[:8], region, service)
    signature = hmac.digest(key, string_to_sign(timestamp, scope, canonical), "sha256").hex()
    given["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key_id}/{scope}, "
        f"SignedHeaders={b';'.join(signed).decode()}, Signature={signature}"
    )
    return given
