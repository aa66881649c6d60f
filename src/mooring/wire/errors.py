"""The one error that every protocol here can put on the wire.

`WireError` speaks AWS's language: a code, a status, a message and the members of a modelled error shape. The errors of
the domain (`mooring.errors`) know no HTTP; `mooring.api.errors` maps each of them to a `WireError`, in one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_COMMON_STATUS = {"InternalFailure": 500, "ServiceUnavailable": 503}


class WireError(Exception):
    """An AWS error answer; `message` None means that the answer carries none."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        status: int | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(code if message is None else f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        """None: what the service's model says for this code, else what it means everywhere (`status_of`)."""
        self.members: dict[str, Any] = dict(members or {})
        """Further members of the error's body, such as ``ErrorCode`` or ``OriginalStatusCode``."""


def validation_exception(message: str) -> WireError:
    """The control plane's answer to nearly everything that the caller did wrong."""
    return WireError("ValidationException", message, status=400)


def serialization_exception(message: str | None = None) -> WireError:
    """The body is not what the protocol can read at all."""
    return WireError("SerializationException", message, status=400)


def internal_failure() -> WireError:
    """A defect of ours, told without its details."""
    message = "The request processing has failed because of an unknown error, exception or failure."
    return WireError("InternalFailure", message, status=500)


def unknown_operation(status: int = 400) -> WireError:
    """No operation of that name, or no name at all; AWS sends no message."""
    return WireError("UnknownOperationException", status=status)


def status_of(error: WireError, modelled: int | None) -> int:
    """The HTTP status: what the error says, else what its shape says, else what the code means everywhere at AWS."""
    return error.status or modelled or _COMMON_STATUS.get(error.code, 400)


@dataclass(frozen=True, slots=True)
class WireResponse:
    """Status, headers and body as a protocol makes them; Date and Content-Length are the HTTP layer's."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
