"""A copy of one call, and what is known of it and of the original.

Both ends come in any order; the later one has the answers compared. An answer is held until then.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from mooring.shadow.frames import Copied
from mooring.upstream.call import Call, Failure
from mooring.upstream.observing import ReplyHeaders

if TYPE_CHECKING:
    from mooring.shadow.lane import Lane


OBSERVED_BODY_BYTES = 64 * 1024 * 1024
"""What is kept of an answer that is captured, as of production's."""


class End(Enum):
    """How one of the two calls ended, as far as it has."""

    UNKNOWN = "not yet"
    ANSWERED = "with 2xx"
    FAILED = "otherwise"
    NOTHING = "so that there is nothing to compare"


class Copy(Call):
    """The call that the shadow's pool carries; lives until both ends are known."""

    __slots__ = (
        "_kept",
        "_kept_size",
        "_most",
        "_reply",
        "_room",
        "copied",
        "held",
        "lane",
        "original",
        "original_said",
        "outcome",
        "outcome_said",
        "sent",
        "waits_since",
    )

    def __init__(self, lane: Lane, copied: Copied, now: float) -> None:
        super().__init__(lane.settings.timeout_s)
        self.head = copied.head
        self.body = copied.body
        self.copied = copied._replace(head=b"", body=b"")
        self.held = len(copied.body)
        """Bytes that count against the lane's."""
        self.lane = lane
        self.waits_since = now
        self.sent = 0.0
        self.original = self.outcome = End.UNKNOWN
        self.original_said: tuple[bytes, bytes] | None = None
        """Content-Type and body, where they are kept."""
        self.outcome_said: tuple[bytes, bytes] | None = None
        self._kept: list[bytes] = []
        self._kept_size = 0
        self._most = lane.settings.compare_limit_bytes if copied.captured is None else OBSERVED_BODY_BYTES
        self._reply: tuple[int, ReplyHeaders] = (0, [])
        self._room = math.inf if copied.streams else lane.answer_limit

    def replied(self, status: int, headers: ReplyHeaders, body: bytes) -> None:
        if len(body) > self._room and 200 <= status < 300:
            self.lane.failed(self, Failure.TOO_LONG)
        else:
            self.lane.replied(self, status, headers, body, len(body))

    def reply_began(self, status: int, headers: ReplyHeaders, length: int | None) -> None:
        self._reply = status, headers

    def reply_data(self, data: bytes) -> None:
        self._kept_size += len(data)
        if self._kept_size <= self._most:
            self._kept.append(data)
        if self._kept_size > self._room:
            self._end_early()

    def reply_ended(self) -> None:
        if self._kept_size > self._room:
            return  # it was given up at its last piece
        kept, self._kept = b"".join(self._kept), []
        self.lane.replied(self, *self._reply, kept, self._kept_size)

    def _end_early(self) -> None:
        """Nobody waits for the rest, which may have no end; an error is one however long its words are."""
        self.cancel()
        self._kept = []
        status, headers = self._reply
        if 200 <= status < 300:
            self.lane.failed(self, Failure.TOO_LONG)
        else:
            self.lane.replied(self, status, headers, b"", self._kept_size)

    def failed(self, failure: Failure) -> None:
        self.lane.failed(self, failure)
