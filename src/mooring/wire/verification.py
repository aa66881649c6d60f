"""Whether a signature is its key's: the computation of SigV4, compared in constant time.

The order is AWS's: the scope, then the key (the caller's look-up), the date, the headers that must be signed, and last
the signature itself. Derived signing keys are kept per key, date, region and service, as each costs four HMACs.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Collection
from typing import Final

from mooring.wire.canonical import spellings
from mooring.wire.signatures import ALGORITHM, MISMATCH, TERMINATOR, Claim, Fields, Flaw, Signature, Unverified

SKEW_S: Final = 300
"""How far a request's date may be from ours, for every service but S3."""
S3_SKEW_S: Final = 900
UNSIGNED_PAYLOAD: Final = b"UNSIGNED-PAYLOAD"
MOST_SIGNING_KEYS: Final = 16
"""Kept of one access key: regions and services in use, of today and yesterday."""

_AMZ = b"x-amz-"
_HARMLESS = frozenset((b"x-amz-user-agent",))
"""Of those, what changes nothing of a call."""


class SigningKey:
    """HMAC-SHA256 with one key and both of its hashes begun, for OpenSSL takes longer to set up than to hash."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(_BLOCK_BYTES, b"\0")  # what is derived is shorter than a block
        self._inner = hashlib.sha256(padded.translate(_INNER))
        self._outer = hashlib.sha256(padded.translate(_OUTER))

    def sign(self, text: bytes) -> str:
        """The signature, in hexadecimal digits."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest()

    def __repr__(self) -> str:
        return "SigningKey(…)"


_BLOCK_BYTES = 64
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class SigningKeys:
    """The keys that one secret is derived to."""

    __slots__ = ("_derived", "_secret")

    def __init__(self, secret: str) -> None:
        self._secret = secret
        self._derived: dict[str, SigningKey] = {}

    def of(self, claim: Claim) -> SigningKey:
        """The key that signs for the scope of a claim."""
        found = self._derived.get(claim.scope)
        if found is None:
            if len(self._derived) >= MOST_SIGNING_KEYS:
                self._derived.clear()
            found = SigningKey(derive(self._secret, claim.date, claim.region, claim.service))
            self._derived[claim.scope] = found
        return found

    @property
    def secret(self) -> str:
        return self._secret

    def __repr__(self) -> str:
        return "SigningKeys(…)"


def derive(secret: str, date: str, region: str, service: str) -> bytes:
    """SigV4's derivation of a signing key."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode("utf-8"), "sha256")
    return key


def check_scope(signature: Signature, services: Collection[str]) -> None:
    """Raises `Unverified` unless the signature is for one of these services."""
    if signature.claim.service not in services:
        raise Unverified(Flaw.SCOPE, f"Credential should be scoped to correct service: '{next(iter(services))}'. ")


def check_time(signature: Signature, now: float, skew_s: int = SKEW_S) -> None:
    """Raises `Unverified` when the request is not of now."""
    minutes = skew_s // 60
    if signature.at > now + skew_s:
        raise Unverified(
            Flaw.TOO_NEW,
            f"Signature not yet current: {signature.timestamp} is still later than {stamp(now + skew_s)} "
            f"({stamp(now)} + {minutes} min.)",
        )
    if signature.expires_s is not None:
        if signature.at + signature.expires_s < now:
            raise Unverified(Flaw.EXPIRED, "Request has expired")
    elif signature.at < now - skew_s:
        raise Unverified(
            Flaw.TOO_OLD,
            f"Signature expired: {signature.timestamp} is now earlier than {stamp(now - skew_s)} "
            f"({stamp(now)} - {minutes} min.)",
        )


def check_signed_headers(signature: Signature, headers: Fields) -> None:
    """Raises `Unverified` when the host, or a header that says what is asked, could be changed on the way."""
    signed = signature.claim.signed_headers
    if b"host" not in signed:
        raise Unverified(
            Flaw.UNSIGNED_HEADERS, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
        )
    for name, _ in headers:
        if name >= _AMZ and name.startswith(_AMZ) and name not in signed and name not in _HARMLESS:
            raise Unverified(
                Flaw.UNSIGNED_HEADERS,
                f"There were headers present in the request which were not signed: {name.decode('latin-1')}",
            )


def check_signature(
    signature: Signature,
    keys: SigningKeys,
    method: bytes,
    path: bytes,
    query: bytes,
    headers: Fields,
    payload: bytes,
    *,
    is_s3: bool = False,
) -> None:
    """Raises `Unverified` unless the signature is that of this request, `payload` being what stands for its body."""
    claim = signature.claim
    key = keys.of(claim)
    ours = b""
    for canonical in spellings(method, path, query, headers, claim.signed_headers, payload, is_s3=is_s3):
        ours = string_to_sign(signature.timestamp, claim.scope, canonical)
        if hmac.compare_digest(key.sign(ours), signature.value):
            return
    raise Unverified(Flaw.MISMATCH, MISMATCH)


def string_to_sign(timestamp: str, scope: str, canonical: bytes) -> bytes:
    """What is signed of a request."""
    digest = hashlib.sha256(canonical).hexdigest()
    return b"%b\n%b\n%b\n%b" % (ALGORITHM, timestamp.encode(), scope.encode(), digest.encode())


def stamp(moment: float) -> str:
    """A time as SigV4 writes it."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment))
