"""Temporary credentials of STS, which nobody has to remember: all of them is in the token, under a key of Mooring's.

The secret is derived from the token, so whoever holds the session key can verify a session, and nobody else can make
one. A session may do what the key may that asked for it, for as long as it lasts and that key is in force.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
from dataclasses import dataclass, field

from mooring.access.keys import AccessKey, Keyring
from mooring.wire.signatures import Flaw, Unverified

PREFIX = "MKIS"
LONGEST_TOKEN = 2048
MOST_KEPT = 1024


@dataclass(frozen=True, slots=True)
class Session:
    """Temporary credentials, as STS gives them out."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: int


def issue(session_key: bytes, parent: AccessKey, expires_at: int) -> Session:
    """New temporary credentials with what `parent` may do."""
    key_id = PREFIX + base64.b32encode(os.urandom(10)).decode()
    payload = json.dumps([key_id, parent.parent or parent.id, expires_at], separators=(",", ":")).encode()
    token = base64.urlsafe_b64encode(_mac(session_key, b"token", payload) + payload).decode()
    return Session(key_id, _secret(session_key, payload), token, expires_at)


class Sessions:
    """Opens the tokens that come to one process."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._opened: dict[bytes, tuple[AccessKey, int, AccessKey]] = {}

    def open(self, key_id: str, token: bytes, now: float) -> AccessKey:
        """The key of a session. Raises `Unverified` when the token is not of this key, is over, or its parent is."""
        found = self._opened.get(token)
        if found is None or self._keyring.find(found[2].id) is not found[2]:  # its parent is not in force as it was
            found = self._read(token)
        key, expires_at, _ = found
        if not hmac.compare_digest(key.id.encode(), key_id.encode("utf-8", "replace")):
            raise _bad()
        if now >= expires_at:
            raise Unverified(Flaw.EXPIRED_TOKEN, "The security token included in the request is expired")
        if len(self._opened) >= MOST_KEPT:
            self._opened.clear()
        self._opened[token] = found
        return key

    def _read(self, token: bytes) -> tuple[AccessKey, int, AccessKey]:
        session_key = self._keyring.session_key
        try:
            if len(token) > LONGEST_TOKEN:
                raise _bad()
            raw = base64.b64decode(token, altchars=b"-_", validate=True)
            tag, payload = raw[:32], raw[32:]
            if not session_key or not hmac.compare_digest(tag, _mac(session_key, b"token", payload)):
                raise _bad()
            key_id, parent_id, expires_at = json.loads(payload)
        except ValueError:
            raise _bad() from None
        parent = self._keyring.find(parent_id)
        if parent is None:
            raise _bad()
        secret = _secret(session_key, payload)
        return AccessKey(key_id, secret, parent.name, parent.policy, parent=parent.id), expires_at, parent


def _secret(session_key: bytes, payload: bytes) -> str:
    return base64.b64encode(_mac(session_key, b"secret", payload)).decode()[:40]


def _mac(session_key: bytes, what: bytes, payload: bytes) -> bytes:
    return hmac.digest(session_key, what + b"\n" + payload, "sha256")


def _bad() -> Unverified:
    return Unverified(Flaw.BAD_TOKEN, "The security token included in the request is invalid.")
