"""What the connections of one listener share: limits, coarse time, who is there, and whether the end is near."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mooring.http1.budget import Budget
from mooring.http1.messages import Response
from mooring.http1.ticking import Sweepable, Ticker

IDLE_S = 120.0
HEAD_S = 10.0
"""A head may take this long from its first byte: a TLS hello, or garbage without a line end, never becomes one."""

_PLAIN = (b"Content-Type", b"text/plain; charset=utf-8")


class Connection(Sweepable, Protocol):
    """A client's connection, as its listener sees it."""

    @property
    def closing(self) -> bool:
        """Whether it was closed from this side, though the client may not have heard it yet."""
        ...

    def close_if_idle(self) -> None:
        """Close unless a request is being read or worked on."""
        ...

    def hang_up(self) -> None:
        """Close at once, after what is already written."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may send."""

    header_bytes: int = 32_768
    header_count: int = 128
    body_bytes: int = 8 * 1024 * 1024
    idle_s: float = IDLE_S
    head_s: float = HEAD_S
    body_grace_s: float = 20.0
    """A body may be late by this much against `body_rate`."""
    body_rate: int = 16_384
    """Bytes a second that a body must come with, or it is given up, as it holds memory; 0 is any."""
    uncounted_bytes: int = 16_384
    """Up to this size a body's memory is not counted."""
    room_wait_s: float = 30.0
    """How long a body may wait for memory."""


class Listening:
    """What the connections of one listener share."""

    __slots__ = ("budget", "connections", "draining", "limits", "ticker")

    def __init__(self, limits: Limits, ticker: Ticker, budget: Budget | None = None) -> None:
        self.limits = limits
        self.ticker = ticker
        self.connections: set[Connection] = set()
        self.draining = False
        self.budget = budget or Budget()
        """Of the bodies that are being received or worked on."""

    def drain(self) -> None:
        """Close idle connections now and the others after the answer that they wait for."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_if_idle()


def plain_text(status: int, text: str) -> Response:
    """An answer for people, for what never became a request of any protocol."""
    return Response(status, (_PLAIN,), text.encode())


def no_room() -> Response:
    """The answer to a body that there is no memory for."""
    return plain_text(503, "Too many large requests are being received. Try again later.")


def too_slow() -> Response:
    """The answer to a body that does not come."""
    return plain_text(408, "The body of the request came too slowly.")


def too_long(limit: int) -> Response:
    """The answer to a body above `limit`, in AWS's words."""
    return Response(413, ((b"Content-Type", b"text/plain"),), b"HTTP content length exceeded %d bytes." % limit)
