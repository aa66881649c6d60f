"""Addresses of S3: `s3://bucket/key`, and the https form of the same.

One slash ends the bucket; what follows is the key, which may begin with another.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_HOST = re.compile(r"(?:(?P<bucket>[a-z0-9.-]+)\.)?s3[a-z0-9.-]*\.amazonaws\.com(?:\.cn)?(?::\d+)?")


def bucket_and_key(url: str) -> tuple[str, str] | None:
    """Either may be empty. None for what is no address of S3."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme == "s3":
        return parts.netloc, url.removeprefix(f"s3://{parts.netloc}").removeprefix("/")
    host = _HOST.fullmatch(parts.netloc.lower())
    if parts.scheme not in ("http", "https") or host is None:
        return None
    path = unquote(parts.path).removeprefix("/")
    if host["bucket"]:
        return host["bucket"], path
    bucket, _, key = path.partition("/")
    return bucket, key
