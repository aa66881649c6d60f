"""A KMS elsewhere that keeps the master key: AWS's own, or another Mooring's.

It is asked once, when control starts; without an answer the server does not start, since nothing could be opened.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
from typing import Any
from urllib.parse import urlsplit

from mooring.errors import DataDirectoryError
from mooring.wire.signing import Credentials, signed_headers

TIMEOUT_S = 10.0
CONTEXT = {"mooring": "master key"}
_ANSWER_BYTES = 64 * 1024
_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class RemoteKms:
    """One key of one KMS. Without a `url` it is AWS's, in the region of the key's ARN."""

    def __init__(self, url: str, key_id: str) -> None:
        parts = key_id.split(":")
        named = parts[3] if len(parts) > 3 else ""
        self.region = named or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self.url = url or f"https://kms.{self.region}.amazonaws.com"
        self.key_id = key_id

    def generate(self) -> tuple[bytes, bytes]:
        """A new key, and the same encrypted. Raises `DataDirectoryError`."""
        answer = self._ask("GenerateDataKey", {"KeySpec": "AES_256"})
        return _bytes(answer, "Plaintext"), _bytes(answer, "CiphertextBlob")

    def decrypt(self, encrypted: bytes) -> bytes:
        """A key that `generate` gave. Raises `DataDirectoryError`."""
        return _bytes(self._ask("Decrypt", {"CiphertextBlob": base64.b64encode(encrypted).decode()}), "Plaintext")

    def _ask(self, operation: str, request: dict[str, str]) -> dict[str, Any]:
        body = json.dumps({"KeyId": self.key_id, "EncryptionContext": CONTEXT, **request}).encode()
        headers = {"X-Amz-Target": f"TrentService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        access, secret, token = (os.environ.get(name, "") for name in _VARIABLES)
        if not access or not secret:
            raise self._failed(f"it needs {_VARIABLES[0]} and {_VARIABLES[1]} in the environment")
        digest = hashlib.sha256(body).hexdigest().encode()
        signing = Credentials(access, secret, token or None)
        signed = signed_headers(signing, "kms", self.region, "POST", f"{self.url.rstrip('/')}/", headers, digest)
        try:
            status, text = self._posted(body, signed)
            answer = json.loads(text)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(str(error)) from None
        if status != http.client.OK or not isinstance(answer, dict):
            told = answer if isinstance(answer, dict) else {}
            code = str(told.get("__type", status)).rpartition("#")[2]
            raise self._failed(f"{operation} was answered with {code}: {told.get('message') or told.get('Message')}")
        return answer

    def _posted(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/", body, headers)
            response = connection.getresponse()
            return response.status, response.read(_ANSWER_BYTES)
        finally:
            connection.close()

    def _failed(self, why: str) -> DataDirectoryError:
        return DataDirectoryError(f"the KMS at {self.url} does not give the master key under {self.key_id}: {why}")


def _bytes(answer: dict[str, Any], member: str) -> bytes:
    try:
        return base64.b64decode(answer[member], validate=True)
    except (KeyError, TypeError, ValueError):
        raise DataDirectoryError(f"the KMS that keeps the master key answers without a {member}") from None
