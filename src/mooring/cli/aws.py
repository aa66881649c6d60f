"""AWS's own operations, called as its SDKs call them: SageMaker in JSON, with errors as Mooring's.

A call is signed where there is something to sign with. Without, it carries the credential scope alone, since that says
which service and region it means; and always its invocation id, with which it may be repeated.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from mooring.cli import waiting
from mooring.cli.calling import Answer, Caller
from mooring.cli.client import parsed
from mooring.errors import AlreadyExists, InProgress, LimitExceeded, MooringError, NotFound, Refused, Unavailable
from mooring.wire.signing import Credentials, signed_headers

ATTEMPTS = 4
RETRY_S = 0.25
"""Before the second attempt; doubled for each further one. Control is back within a second of its death."""
_ERRORS: dict[str, type[MooringError]] = {
    "ResourceInUse": InProgress,
    "ResourceLimitExceeded": LimitExceeded,
    "ServiceUnavailable": Unavailable,
    "ValidationException": Refused,
}


def scope(service: str, region: str) -> dict[str, str]:
    """The headers that say which service and region a call is for, where there is nobody's key to sign with."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    credential = f"mooring/{now[:8]}/{region}/{service}/aws4_request"
    return {
        "X-Amz-Date": now,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={'0' * 64}",
    }


class SageMaker:
    """SageMaker's control plane at one URL, in one region."""

    def __init__(
        self,
        url: str,
        region: str,
        sleep: Callable[[float], None] = time.sleep,
        credentials: Credentials | None = None,
    ) -> None:
        self.url = url
        self._credentials = credentials
        self.region = region
        self._caller = Caller(url)
        self._sleep = sleep

    def call(self, operation: str, **members: object) -> dict[str, Any]:
        """What an operation answers. Raises its error in Mooring's terms, with AWS's words."""
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": f"SageMaker.{operation}",
            "amz-sdk-invocation-id": str(uuid.uuid4()),
        }
        body = json.dumps(members).encode()
        if self._credentials is None:
            headers |= scope("sagemaker", self.region)
        else:
            digest, url = hashlib.sha256(body).hexdigest().encode(), f"{self.url}/"
            headers = signed_headers(self._credentials, "sagemaker", self.region, "POST", url, headers, digest)
        with waiting.said(f"waiting for {self.url}"):
            answer = self._caller.call("POST", "/", headers, body)
            for attempt in range(1, ATTEMPTS):
                if answer.status != 503:
                    break
                self._sleep(RETRY_S * 2 ** (attempt - 1))
                answer = self._caller.call("POST", "/", headers, body)
        return self._outcome(answer)

    def find(self, operation: str, **members: object) -> dict[str, Any] | None:
        """What a Describe operation answers; None when what it names is not there."""
        try:
            return self.call(operation, **members)
        except NotFound:
            return None

    def _outcome(self, answer: Answer) -> dict[str, Any]:
        document = parsed(answer.body, self.url, answer.status)
        if answer.status < 400:
            return document
        code = str(document.get("__type", "")).rpartition("#")[2]
        message = str(document.get("message") or document.get("Message") or code or f"status {answer.status}")
        if code == "ValidationException" and message.startswith("Could not find"):
            raise NotFound(message)
        if code == "ValidationException" and message.startswith("Cannot create already existing"):
            raise AlreadyExists(message)
        raise _ERRORS.get(code, MooringError)(message)
