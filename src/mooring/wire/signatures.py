"""The signature of a request in full, as its sender claims it: SigV4 in the `Authorization` header or in the query.

`sigv4` tells who a call is for, whatever it is; here everything must be there and well formed, in the order in which
AWS looks at it, and `Unverified` says what is not. Nothing is computed yet: `verification` does that.
"""

from __future__ import annotations

import calendar
import enum
import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

from mooring.wire.sigv4 import query_pairs

ALGORITHM: Final = b"AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
LONGEST_EXPIRES_S: Final = 604_800
"""A week: the longest that a presigned URL of SigV4 lives."""

_LONGEST_REMEMBERED = 1024
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_HEX = b"0123456789abcdef"
SIGNATURE_DIGITS: Final = 64
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
_KEY_ID = re.compile(r"[!-.0-~]{1,128}")  # no slash

Fields = Sequence[tuple[bytes, bytes]]
"""Headers: names in lower case."""


class Flaw(enum.Enum):
    """Why a request is not known to be its key's. Each service has its own code for each."""

    MISSING = enum.auto()
    INCOMPLETE = enum.auto()
    SCOPE = enum.auto()
    UNKNOWN_KEY = enum.auto()
    BAD_TOKEN = enum.auto()
    EXPIRED_TOKEN = enum.auto()
    TOO_OLD = enum.auto()
    TOO_NEW = enum.auto()
    EXPIRED = enum.auto()
    """A presigned URL whose time is over."""
    UNSIGNED_HEADERS = enum.auto()
    MISMATCH = enum.auto()


class Unverified(Exception):
    """The signature is missing, malformed, of nobody, of another time or wrong; `str()` is AWS's text."""

    def __init__(self, flaw: Flaw, message: str) -> None:
        super().__init__(message)
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose key, for what, and which headers: what stays the same from one request of a client to the next."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[bytes, ...]
    scope: str = field(init=False)

    def __post_init__(self) -> None:
        # Once: claims are remembered, and each request needs it twice.
        object.__setattr__(self, "scope", f"{self.date}/{self.region}/{self.service}/{TERMINATOR}")


class Signature(NamedTuple):
    """One request's signature, not verified."""

    claim: Claim
    value: str
    timestamp: str
    at: int
    """`timestamp` as epoch seconds."""
    expires_s: int | None
    """How long it holds from `at`; None when it is not a presigned URL's."""
    token: bytes | None


def read(headers: Fields, query: bytes) -> Signature:
    """The signature of a request. Raises `Unverified`."""
    found = dict(headers)
    authorization = found.get(b"authorization")
    if authorization is not None:
        # Which of several counts, two readers might see differently.
        if len(found) < len(headers) and sum(name == b"authorization" for name, _ in headers) > 1:
            raise Unverified(Flaw.INCOMPLETE, "There is more than one Authorization header.")
        amz_date, date, token = found.get(b"x-amz-date"), found.get(b"date"), found.get(b"x-amz-security-token")
        return _from_header(authorization.strip(), amz_date, date, token)
    if b"X-Amz-" in query:
        parameters = _parameters(query)
        if b"X-Amz-Credential" in parameters or b"X-Amz-Signature" in parameters:
            return _from_query(parameters)
    raise Unverified(Flaw.MISSING, "Missing Authentication Token")


def _parameters(query: bytes) -> dict[bytes, str]:
    found: dict[bytes, str] = {}
    for name, value in query_pairs(query):
        if name.startswith(b"X-Amz-"):
            if name in found or query.count(name + b"=") != 1:  # twice, or in another spelling
                raise Unverified(Flaw.INCOMPLETE, f"The query must have {name.decode('latin-1')} once, and plainly.")
            found[name] = value.decode("latin-1")
    return found


def _from_header(value: bytes, amz_date: bytes | None, date: bytes | None, token: bytes | None) -> Signature:
    claimed, _, signature = value.rpartition(b"Signature=")
    try:
        claim = _remembered(claimed) if len(claimed) <= _LONGEST_REMEMBERED else _claim_of(claimed)
        if len(signature) != SIGNATURE_DIGITS or signature.strip(_HEX) or (amz_date or date) is None:
            raise ValueError
        text = signature.decode("ascii")
    except ValueError:
        claim, text = _slowly(value, dated=(amz_date or date) is not None)
    timestamp, at = _moment(amz_date.strip()) if amz_date is not None else _http_moment(date or b"")
    _check_date(claim, timestamp)
    return Signature(claim, text, timestamp, at, None, token)


def _claim_of(claimed: bytes) -> Claim:
    """The claim of what stands before `Signature=`, in the form that SDKs send; ValueError for any other."""
    found = _USUAL.fullmatch(claimed)
    if found is None:
        raise ValueError
    key, date, region, service, signed = (part.decode("ascii") for part in found.groups())
    return Claim(key, date, region, service, _names(signed))


_USUAL = re.compile(
    rb"AWS4-HMAC-SHA256[ ]+Credential=([!-+\-.0-~]{1,128})/([0-9]{8})/([A-Za-z0-9-]{1,64})/([a-z0-9-]{1,64})"
    rb"/aws4_request,[ ]*SignedHeaders=([a-z0-9;!#$%&'*+.^_`|~-]+),[ ]*"
)
_SCHEME = re.compile(rb"AWS4-HMAC-SHA256[\s,]")
_remembered = functools.lru_cache(maxsize=512)(_claim_of)


def _slowly(value: bytes, *, dated: bool) -> tuple[Claim, str]:
    """Any header, part by part, with AWS's sentence for what is wrong."""
    whole = value.decode("latin-1")
    rest = value.removeprefix(ALGORITHM)
    if value.startswith(b"AWS4-") and rest == value:
        raise Unverified(
            Flaw.INCOMPLETE, f"Unsupported signing algorithm: {whole.split()[0]!a}; sign with AWS4-HMAC-SHA256."
        )
    parts: dict[str, str] = {}
    for piece in re.split(r"[\s,]+", rest.decode("latin-1").strip()):
        name, equals, text = piece.partition("=")
        if piece and not equals:
            raise Unverified(
                Flaw.INCOMPLETE,
                f"'{piece}' not a valid key=value pair (missing equal-sign) in Authorization header: '{whole}'.",
            )
        if name in parts:
            raise Unverified(Flaw.INCOMPLETE, f"Authorization header has '{name}' more than once.")
        if piece:
            parts[name] = text
    missing = [
        f"Authorization header requires '{name}' parameter."
        for name in ("Credential", "Signature", "SignedHeaders")
        if not parts.get(name)
    ]
    if not dated:
        missing.append("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if missing:
        raise Unverified(Flaw.INCOMPLETE, f"{' '.join(missing)} Authorization={whole.partition(' ')[0]}")
    if _SCHEME.match(value) is None:
        raise Unverified(Flaw.INCOMPLETE, "The Authorization header must begin with AWS4-HMAC-SHA256.")
    if _SIGNATURE.fullmatch(parts["Signature"]) is None:
        raise _mismatch()
    return _scoped(parts["Credential"], _names(parts["SignedHeaders"])), parts["Signature"]


def _from_query(parameters: dict[bytes, str]) -> Signature:
    algorithm = parameters.get(b"X-Amz-Algorithm")
    if algorithm is not None and algorithm.encode("latin-1") != ALGORITHM:
        raise Unverified(
            Flaw.INCOMPLETE, f"Unsupported signing algorithm: {algorithm[:64]!a}; sign with AWS4-HMAC-SHA256."
        )
    missing = [
        f"AWS query-string parameters must include '{name.decode()}'."
        for name in (b"X-Amz-Algorithm", b"X-Amz-Credential", b"X-Amz-Signature", b"X-Amz-SignedHeaders", b"X-Amz-Date")
        if not parameters.get(name)
    ]
    if missing:
        raise Unverified(Flaw.INCOMPLETE, " ".join([*missing, "Re-examine the query-string parameters."]))
    claim = _scoped(parameters[b"X-Amz-Credential"], _names(parameters[b"X-Amz-SignedHeaders"]))
    timestamp, at = _moment(parameters[b"X-Amz-Date"].encode("latin-1"))
    _check_date(claim, timestamp)
    if _SIGNATURE.fullmatch(parameters[b"X-Amz-Signature"]) is None:
        raise _mismatch()
    token = parameters.get(b"X-Amz-Security-Token")
    expires = _expires(parameters.get(b"X-Amz-Expires"))
    encoded = None if token is None else token.encode("latin-1")
    return Signature(claim, parameters[b"X-Amz-Signature"], timestamp, at, expires, encoded)


DEFAULT_EXPIRES_S = 300
"""Of a presigned URL that does not say: as long as a signature in a header holds."""


def _expires(text: str | None) -> int:
    if text is None:
        return DEFAULT_EXPIRES_S
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise Unverified(Flaw.INCOMPLETE, "X-Amz-Expires should be a number")
    if int(text) > LONGEST_EXPIRES_S:
        raise Unverified(
            Flaw.INCOMPLETE, f"X-Amz-Expires must be less than a week (in seconds) that is {LONGEST_EXPIRES_S}"
        )
    return int(text)


def _scoped(credential: str, signed_headers: tuple[bytes, ...]) -> Claim:
    parts = credential.split("/")
    if len(parts) != 5:
        raise Unverified(
            Flaw.INCOMPLETE,
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{credential}'",
        )
    key, date, region, service, terminator = parts
    if terminator != TERMINATOR:
        raise Unverified(
            Flaw.SCOPE, f"Credential should be scoped with a valid terminator: 'aws4_request', not '{terminator}'."
        )
    if _REGION.fullmatch(region) is None:
        raise Unverified(Flaw.SCOPE, "Credential should be scoped to a valid region. ")
    if _KEY_ID.fullmatch(key) is None:
        raise unknown_key()
    return Claim(key, date, region, service, signed_headers)


def _names(text: str) -> tuple[bytes, ...]:
    return tuple(sorted({name.strip().lower().encode("latin-1") for name in text.split(";") if name.strip()}))


def _moment(value: bytes) -> tuple[str, int]:
    text = value.decode("latin-1")
    return text, _epoch(text)


@functools.lru_cache(maxsize=256)
def _epoch(text: str) -> int:
    if _TIMESTAMP.fullmatch(text) is not None:
        try:
            return calendar.timegm(time.strptime(text, "%Y%m%dT%H%M%SZ"))
        except (ValueError, OverflowError):
            pass
    raise Unverified(
        Flaw.INCOMPLETE,
        f"Date must be in ISO-8601 'basic format'. Got {text[:64]!a}. See http://en.wikipedia.org/wiki/ISO_8601",
    )


def _http_moment(value: bytes) -> tuple[str, int]:
    """A `Date` header, in HTTP's form or in SigV4's own."""
    text = value.strip().decode("latin-1")
    if _TIMESTAMP.fullmatch(text) is None:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            return text, _epoch(text)
        text = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(moment.timestamp()))
    return text, _epoch(text)


def _check_date(claim: Claim, timestamp: str) -> None:
    if claim.date != timestamp[:8]:
        raise Unverified(
            Flaw.SCOPE,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{claim.date}' != '{timestamp[:8]}', from '{timestamp}'.",
        )


def unknown_key() -> Unverified:
    """The key is nobody's."""
    return Unverified(Flaw.UNKNOWN_KEY, "The security token included in the request is invalid.")


def _mismatch() -> Unverified:
    return Unverified(Flaw.MISMATCH, MISMATCH)


MISMATCH: Final = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
