"""What is written to S3 for a job: the model's answer as its output, or what says why there is none.

An object is written under the location that the caller was told, so writing it again after a crash changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mooring.async_inference.failures import Away, Problem
from mooring.hosting.s3_uris import bucket_and_key
from mooring.objects.async_client import AsyncS3, is_away
from mooring.objects.client import SourceError

UNKNOWN_TYPE = "application/octet-stream"


def failure_body(reason: str) -> bytes:
    """The failure object of a job whose model said nothing. JSON, as the SDK reads failures as it reads outputs."""
    return json.dumps({"failureReason": reason}, ensure_ascii=False).encode()


class Delivering:
    """Writes outputs and failures."""

    def __init__(self, s3: AsyncS3) -> None:
        self._s3 = s3

    async def put(self, location: str, body: bytes | Path, content_type: str | None, key_id: str | None) -> None:
        """Write an object. Raises `Problem` when S3 refuses it, `Away` when it cannot be reached."""
        address = bucket_and_key(location)
        if address is None or not all(address):
            raise Problem("it is no object of S3")
        try:
            await self._s3.put(*address, body, _headers(content_type, key_id))
        except SourceError as error:
            if is_away(error):
                raise Away(str(error)) from None
            raise Problem(str(error).partition(": ")[2] or str(error)) from None


def _headers(content_type: str | None, key_id: str | None) -> Mapping[str, str]:
    headers = {"Content-Type": content_type or UNKNOWN_TYPE}
    if key_id is not None:
        headers["x-amz-server-side-encryption"] = "aws:kms"
        headers["x-amz-server-side-encryption-aws-kms-key-id"] = key_id
    return headers
