"""The one table from what is wrong with a caller to AWS's codes, but for S3's, which are `mooring.objects`'."""

from __future__ import annotations

from mooring.access.deciding import Denied
from mooring.wire.dialects import EC2, QUERY, REST_XML
from mooring.wire.errors import WireError
from mooring.wire.signatures import Flaw, Unverified

_CODES: dict[Flaw, str] = {
    Flaw.MISSING: "MissingAuthenticationTokenException",
    Flaw.INCOMPLETE: "IncompleteSignatureException",
    Flaw.UNKNOWN_KEY: "UnrecognizedClientException",
    Flaw.BAD_TOKEN: "UnrecognizedClientException",
    Flaw.EXPIRED_TOKEN: "ExpiredTokenException",
    Flaw.SCOPE: "InvalidSignatureException",
    Flaw.TOO_OLD: "InvalidSignatureException",
    Flaw.TOO_NEW: "InvalidSignatureException",
    Flaw.UNSIGNED_HEADERS: "InvalidSignatureException",
    Flaw.MISMATCH: "InvalidSignatureException",
    Flaw.EXPIRED: "RequestExpired",
}
_DENIED = "AccessDeniedException"
_IN_XML = {
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "RequestExpired": ("RequestExpired", 400),
    _DENIED: ("AccessDenied", 403),
}
"""The query protocol's names of the same."""


def refusal(error: Unverified | Denied, protocol: str, *, of_runtime: bool = False) -> WireError:
    """The error as a service answers it: 400 in JSON, 403 in XML and of SageMaker's runtime."""
    code = _DENIED if isinstance(error, Denied) else _CODES[error.flaw]
    status = 403 if of_runtime else 400
    if protocol in (QUERY, EC2, REST_XML):
        code, status = _IN_XML[code]
    return WireError(code, str(error), status=status)
