"""Access keys, and the set of them that one process holds: in memory only, replaced whole when control says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mooring.access.policies import Policy
from mooring.wire.verification import SigningKeys

NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
"""A key's name is the session name in its caller's ARN, whose form AWS prescribes."""


class AccessKey:
    """One key: what it signs with, whose it is, and what it may do. A policy of None lets it do everything."""

    __slots__ = ("id", "name", "parent", "policy", "signing")

    def __init__(
        self, key_id: str, secret: str, name: str, policy: Policy | None, *, parent: str | None = None
    ) -> None:
        self.id = key_id
        self.name = name
        self.parent = parent
        """The id of the key that a session belongs to; None when this is no session."""
        self.policy = policy
        self.signing = SigningKeys(secret)

    def to_document(self) -> dict[str, Any]:
        """With its secret: for the private socket between control and those who verify, and nothing else."""
        policy = None if self.policy is None else self.policy.text
        return {"id": self.id, "secret": self.signing.secret, "name": self.name, "policy": policy}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> AccessKey:
        """The inverse of `to_document`."""
        policy = document["policy"]
        return AccessKey(
            document["id"], document["secret"], document["name"], None if policy is None else Policy(policy)
        )

    def is_same(self, other: AccessKey) -> bool:
        """Whether nothing about it has changed."""
        mine, theirs = (self.name, self.signing.secret, self.policy), (other.name, other.signing.secret, other.policy)
        return self.id == other.id and mine == theirs

    def __repr__(self) -> str:
        return f"AccessKey({self.id!r}, {self.name!r})"


class Keyring:
    """The keys that are in force. Until the first `replace` nothing is known, which is not the same as no keys."""

    __slots__ = ("_keys", "known", "session_key")

    def __init__(self) -> None:
        self.known = False
        self.session_key = b""
        """What temporary credentials are made and verified with."""
        self._keys: dict[str, AccessKey] = {}

    def find(self, key_id: str) -> AccessKey | None:
        """The key of this id."""
        return self._keys.get(key_id)

    def replace(self, keys: Iterable[AccessKey], session_key: bytes = b"") -> None:
        """Have exactly these from now on; what was derived for a key that stays is kept."""
        fresh: dict[str, AccessKey] = {}
        for key in keys:
            held = self._keys.get(key.id)
            fresh[key.id] = held if held is not None and held.is_same(key) else key
        self._keys = fresh
        self.session_key = session_key
        self.known = True

    def take(self, message: Mapping[str, Any]) -> int:
        """Have what control says in one of `document_of`'s; returns its version."""
        keys = [AccessKey.from_document(key) for key in message["keys"]]
        self.replace(keys, bytes.fromhex(message["session_key"]))
        return int(message["version"])

    def __len__(self) -> int:
        return len(self._keys)


def document_of(keys: Iterable[AccessKey], session_key: bytes, version: int) -> dict[str, Any]:
    """All that a process needs to verify, secrets included: for the private socket, and nothing else."""
    return {"version": version, "keys": [key.to_document() for key in keys], "session_key": session_key.hex()}
