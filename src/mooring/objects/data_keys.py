"""Data keys for objects, asked of control: one question an object, none of them kept (see `mooring.control.kms`).

So a key that may not be used any more opens nothing from that moment on, and what may be done with a key is decided in
one place. While control is away a question waits for it, within bounds; objects that are not encrypted need none.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mooring.keys.envelopes import DataKey
from mooring.objects.errors import CODES, S3Error

WITHIN_S = 5.0
_TIMEOUT_S = 20.0
_RETRY_S = 0.05
_MOST_KEPT = 8
_AS_THEY_ARE = ("AccessDenied", "InternalError")


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a key is asked."""

    key_id: str
    """The access key that the request is signed with; empty where nobody is told apart."""
    own: bool
    """Whether the request is Mooring's."""
    request_id: str


class DataKeyDesk:
    """Where this process asks. Any thread may."""

    def __init__(self, socket_path: str) -> None:
        self._path = socket_path
        self._kept: list[_Connection] = []
        self._lock = threading.Lock()

    def generate(self, asker: Asker, region: str, key_id: str, context: Mapping[str, str]) -> DataKey:
        """A new data key under a KMS key; under the store's own without one. Raises `S3Error`."""
        return self._ask(asker, {"region": region, "key_id": key_id, "context": context})

    def unseal(self, asker: Asker, region: str, sealed: str, context: Mapping[str, str]) -> DataKey:
        """A data key again, of its sealed form in base64. Raises `S3Error`."""
        return self._ask(asker, {"region": region, "sealed": sealed, "context": context})

    def _ask(self, asker: Asker, question: dict[str, Any]) -> DataKey:
        whom = {"caller": asker.key_id, "own": asker.own, "request_id": asker.request_id}
        status, answer = self._answered(json.dumps({**question, **whom}).encode())
        if status == http.client.OK:
            plaintext, sealed = (base64.b64decode(answer[name]) for name in ("plaintext", "sealed"))
            return DataKey(plaintext, sealed, answer["key_arn"])
        raise refused(str(answer.get("code", "")), str(answer.get("message", "")))

    def _answered(self, body: bytes) -> tuple[int, dict[str, Any]]:
        deadline = time.monotonic() + WITHIN_S
        while True:
            connection = self._take()
            try:
                status, answer = connection.asked(body)
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                self._forget()
                if time.monotonic() > deadline:
                    raise S3Error(
                        "ServiceUnavailable", "The keys cannot be asked for right now. Please try again."
                    ) from None
                time.sleep(_RETRY_S)
                continue
            self._put_back(connection)
            return status, answer

    def _take(self) -> _Connection:
        with self._lock, contextlib.suppress(IndexError):
            return self._kept.pop()
        return _Connection(self._path)

    def _forget(self) -> None:
        """Those that were kept are to a control that is no more, too."""
        with self._lock:
            kept, self._kept = self._kept, []
        for connection in kept:
            connection.close()

    def _put_back(self, connection: _Connection) -> None:
        with self._lock:
            if len(self._kept) < _MOST_KEPT:
                self._kept.append(connection)
                return
        connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def asked(self, body: bytes) -> tuple[int, dict[str, Any]]:
        self.request("POST", "/", body)
        response = self.getresponse()
        said = response.read()
        if response.status == http.client.INTERNAL_SERVER_ERROR:  # a defect, which asking again does not mend
            return response.status, {"code": "InternalError"}
        answer = json.loads(said)
        if not isinstance(answer, dict):
            raise ValueError("no answer")
        return response.status, answer


def refused(code: str, message: str) -> S3Error:
    """S3's form of what KMS says."""
    if code == "AccessDeniedException":
        return S3Error("AccessDenied", message)
    if code in _AS_THEY_ARE:
        return S3Error(code, message)
    named = f"KMS.{code}"
    return S3Error(named if named in CODES else "InternalError", message or None)
