"""The two ends of a call: what the caller sends, and what it is told.

Exactly one of these sequences happens to a call that was begun: `replied`; or `reply_began`, any number of
`reply_data`, and `reply_ended` or `failed`; or `failed` alone; or nothing more after the caller's `cancel`. The
replica's outstanding count covers the call from `Replica.begin` to the last of these, once.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mooring.upstream.connection import ReplicaConnection
    from mooring.upstream.replica import Replica


class Failure(Enum):
    """Why there is no reply."""

    UNREACHABLE = "it does not accept connections"
    TIMED_OUT = "it did not answer in time"
    BROKEN = "it closed the connection before its answer was complete"
    MALFORMED = "its answer is not HTTP"
    TOO_LONG = "its answer is longer than answers may be"


class Call:
    """One request to a replica; subclass and override the callbacks."""

    __slots__ = ("as_it_comes", "body", "connection", "head", "replica", "retried", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.head = b""
        self.body = b""
        self.timeout_s = timeout_s
        self.as_it_comes = False  # whether a reply with a status of 2xx is wanted piece by piece, however small
        self.replica: Replica | None = None  # set while the call counts as outstanding there
        self.connection: ReplicaConnection | None = None  # set while the call is on the wire
        self.retried = False  # was repeated once, after a kept connection turned out to be closed

    def replied(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """The whole reply; header names are lower-cased."""
        raise NotImplementedError

    def reply_began(self, status: int, headers: list[tuple[bytes, bytes]], length: int | None) -> None:
        """A reply that is too large to wait for, or wanted as it comes: its body follows. A reply that is wanted so has
        begun with the first piece of its body, and no `length`.
        """
        raise NotImplementedError

    def reply_data(self, data: bytes) -> None:
        """A piece of the body of a reply that began."""
        raise NotImplementedError

    def reply_ended(self) -> None:
        """The reply that began is whole."""
        raise NotImplementedError

    def failed(self, failure: Failure) -> None:
        """There is no reply, or no more of it."""
        raise NotImplementedError

    def cancel(self) -> None:
        """The caller has lost interest: the connection is given up with it, and no callback follows."""
        connection, replica = self.connection, self.replica
        if connection is not None:
            connection.give_up()
        if replica is not None:
            replica.release(self)

    def pause(self) -> None:
        """Stop `reply_data` for now; the replica is slowed down."""
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume()
