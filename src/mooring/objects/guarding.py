"""S3's callers while access keys are needed: SigV4 in headers and presigned URLs, SigV2 as S3 still knows it, policies.

Mooring's own socket is not asked: it lies in a private directory of the data directory, and who reaches it reaches the
objects' files as well.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mooring.access import asking
from mooring.access.deciding import Decisions, Denied
from mooring.access.keys import AccessKey, Keyring
from mooring.access.verifying import Verifier
from mooring.objects.errors import S3Error
from mooring.objects.requests import Head, bucket_of_host
from mooring.settings import AccountSettings
from mooring.wire import sigv2
from mooring.wire.chunk_signatures import KINDS, SIGNED, SIGNED_WITH_TRAILER, Chain
from mooring.wire.signatures import Flaw, Signature, Unverified
from mooring.wire.sigv4 import query_pairs
from mooring.wire.verification import S3_SKEW_S, UNSIGNED_PAYLOAD, check_signature

FIRST_KEYS_WITHIN_S = 5.0
"""How long a request waits for a front that has just been started to get its keys."""
_SHA256 = re.compile(rb"[0-9a-f]{64}")
_CHAINED = frozenset((SIGNED, SIGNED_WITH_TRAILER))


class Caller(Protocol):
    """Whose request it is, as the operations see it."""

    chain: Chain | None
    """The signatures that the chunks of the body must have."""

    @property
    def key_id(self) -> str:
        """The access key that it is signed with, a session's parent; empty where nobody is told apart."""
        ...

    def require(self, operation: str, bucket: str, key: str, source: tuple[str, str] | None = None) -> None:
        """Raises `S3Error` unless the caller may do this."""


class Anyone:
    """Where nobody is asked."""

    chain: Chain | None = None
    key_id = ""

    def require(self, operation: str, bucket: str, key: str, source: tuple[str, str] | None = None) -> None:
        """Everybody may do everything."""


@dataclass(slots=True)
class KeyHolder:
    """The caller of a request that was verified."""

    key: AccessKey
    region: str
    home: str
    """The account's region: it says the partition of all buckets, whatever region a caller signs for."""
    decisions: Decisions
    chain: Chain | None

    @property
    def key_id(self) -> str:
        """The access key that it is signed with, or the one that its session belongs to."""
        return self.key.parent or self.key.id

    def require(self, operation: str, bucket: str, key: str, source: tuple[str, str] | None = None) -> None:
        """Raises `S3Error` unless the key's policy allows it."""
        try:
            self.decisions.require(self.key, asking.of_s3(operation, bucket, key, source, self.home), self.region)
        except Denied as error:
            raise S3Error("AccessDenied", str(error)) from None


class Guard:
    """Verifies for all connections of one front, from any thread."""

    def __init__(
        self,
        account: AccountSettings,
        keyring: Keyring,
        wall: Callable[[], float],
        wait_for_keys: Callable[[float], bool],
    ) -> None:
        self._keyring = keyring
        self._verifier = Verifier(keyring, wall)
        self._decisions = Decisions(account.id, account.role)
        self._home = account.region
        self._wait_for_keys = wait_for_keys

    def identify(self, head: Head) -> Caller:
        """The caller of a request that has been addressed. Raises `S3Error`."""
        if not self._keyring.known and not self._wait_for_keys(FIRST_KEYS_WITHIN_S):
            raise S3Error("SlowDown", "The access keys have not arrived yet. Please try again.")
        try:
            return self._old(head) or self._of_sigv4(head)
        except Unverified as error:
            raise _told(error, head, self._verifier.now) from None

    def _old(self, head: Head) -> KeyHolder | None:
        signature = sigv2.read(head.fields, head.raw_query)
        if signature is None:
            return None
        key = self._verifier.key_of(signature.access_key_id, _token(head))
        sigv2.check_time(signature, head.fields, self._verifier.now)
        bucket = bucket_of_host(head.headers.get("host", "")).encode()
        request = head.method.encode(), head.raw_path, head.raw_query, head.fields
        sigv2.check_signature(signature, key.signing.secret, *request, bucket)
        return KeyHolder(key, self._home, self._home, self._decisions, None)

    def _of_sigv4(self, head: Head) -> KeyHolder:
        signature, key = self._verifier.begin(head.fields, head.raw_query, ("s3",), S3_SKEW_S)
        payload = _payload(head, signature)
        request = head.method.encode(), head.raw_path, head.raw_query, head.fields
        check_signature(signature, key.signing, *request, payload, is_s3=True)
        chain = Chain(signature, key.signing) if payload in _CHAINED else None
        return KeyHolder(key, signature.claim.region, self._home, self._decisions, chain)


def _payload(head: Head, signature: Signature) -> bytes:
    """What the signature has for the body, whose own check comes when it is read."""
    said = head.headers.get("x-amz-content-sha256")
    if said is None:
        if signature.expires_s is None:
            raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
        return UNSIGNED_PAYLOAD
    payload = said.encode("latin-1")
    if payload != UNSIGNED_PAYLOAD and payload not in KINDS and _SHA256.fullmatch(payload) is None:
        raise S3Error(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        )
    return payload


def _token(head: Head) -> bytes | None:
    """The session token of a request in SigV2: a header, or a parameter of its URL."""
    if token := head.headers.get("x-amz-security-token"):
        return token.encode("latin-1")
    return next((value for name, value in query_pairs(head.raw_query) if name.lower() == b"x-amz-security-token"), None)


_PLAIN = {
    Flaw.MISSING: "AccessDenied",
    Flaw.UNKNOWN_KEY: "InvalidAccessKeyId",
    Flaw.BAD_TOKEN: "InvalidToken",
    Flaw.EXPIRED_TOKEN: "ExpiredToken",
    Flaw.MISMATCH: "SignatureDoesNotMatch",
}
"""Flaws that S3 words itself."""


def _told(error: Unverified, head: Head, now: float) -> S3Error:
    """The one table from what is wrong with a signature to S3's codes."""
    if error.flaw in _PLAIN:
        return S3Error(_PLAIN[error.flaw])
    if error.flaw in (Flaw.TOO_OLD, Flaw.TOO_NEW):
        given = head.headers.get("x-amz-date") or head.headers.get("date") or ""
        return S3Error(
            "RequestTimeTooSkewed",
            RequestTime=given[:64],
            ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            MaxAllowedSkewMilliseconds=str(S3_SKEW_S * 1000),
        )
    if error.flaw in (Flaw.EXPIRED, Flaw.UNSIGNED_HEADERS):
        return S3Error("AccessDenied", str(error))
    in_query = "authorization" not in head.headers
    return S3Error("AuthorizationQueryParametersError" if in_query else "AuthorizationHeaderMalformed", str(error))
