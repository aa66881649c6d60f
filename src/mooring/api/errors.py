"""The one table from Mooring's errors to AWS's codes."""

from __future__ import annotations

from mooring.errors import BadInput, KmsError, LimitExceeded, MooringError, Unavailable
from mooring.wire.errors import WireError, internal_failure

_CODES: tuple[tuple[type[MooringError], str, int], ...] = (
    (LimitExceeded, "ResourceLimitExceeded", 400),
    (BadInput, "ValidationException", 400),
    (Unavailable, "ServiceUnavailable", 503),
)


def wire_error(error: Exception) -> WireError:
    """The error as AWS tells it; one that is not meant for the caller becomes InternalFailure."""
    if isinstance(error, WireError):
        return error
    if isinstance(error, KmsError):
        return WireError(error.code, str(error), status=400)
    for kind, code, status in _CODES:
        if isinstance(error, kind):
            return WireError(code, str(error), status=status)
    return internal_failure()


def is_expected(error: Exception) -> bool:
    """False for a defect of ours, whose trace belongs in the log."""
    return isinstance(error, WireError) or any(isinstance(error, kind) for kind, _, _ in _CODES)
