"""From a request to the key that it is signed with: AWS's order of checks, with this process's keys and clock."""

from __future__ import annotations

from collections.abc import Callable, Collection

from mooring.access.keys import AccessKey, Keyring
from mooring.access.sessions import Sessions
from mooring.wire import signatures, verification
from mooring.wire.recognition import RawHead
from mooring.wire.signatures import Fields, Signature, unknown_key
from mooring.wire.verification import SKEW_S


class Verifier:
    """Verifies for one process."""

    def __init__(self, keyring: Keyring, wall: Callable[[], float]) -> None:
        self._keyring = keyring
        self._sessions = Sessions(keyring)
        self._wall = wall

    def begin(
        self, headers: Fields, query: bytes, services: Collection[str], skew_s: int = SKEW_S
    ) -> tuple[Signature, AccessKey]:
        """All that a head alone tells: shape, scope, key, token, date and signed headers. Raises `Unverified`."""
        signature = signatures.read(headers, query)
        verification.check_scope(signature, services)
        key = self.key_of(signature.claim.access_key_id, signature.token)
        verification.check_time(signature, self._wall(), skew_s)
        verification.check_signed_headers(signature, headers)
        return signature, key

    def verify(self, head: RawHead, digest: Callable[[], bytes], services: Collection[str]) -> AccessKey:
        """The key of a whole request; `digest` tells the SHA-256 of its body. Raises `Unverified`."""
        signature, key = self.begin(head.headers, head.query, services)
        payload = digest()
        verification.check_signature(signature, key.signing, head.method, head.path, head.query, head.headers, payload)
        return key

    def key_of(self, key_id: str, token: bytes | None) -> AccessKey:
        """The key of this id, or of a session with this token. Raises `Unverified`."""
        if token:
            return self._sessions.open(key_id, token, self._wall())
        key = self._keyring.find(key_id)
        if key is None:
            raise unknown_key()
        return key

    @property
    def now(self) -> float:
        """This process's wall clock."""
        return self._wall()
