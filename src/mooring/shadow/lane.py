"""The copies for one shadow variant: a queue that is bounded in number and bytes, and a pool of its own.

Guarantees: a copy is dropped only when there is no room for it, when it could not be sent for too long, or when its
shadow has gone. A copy that no replica accepted goes back to the head of the queue. Replicas that refuse connections
are left alone while they are ejected, and no more than a few connections are being made at a time.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from random import randrange
from time import perf_counter

from mooring.data_capture.observing import Recorder
from mooring.http1.ticking import Ticker
from mooring.settings import ShadowSettings
from mooring.shadow.comparing import Form, form_of
from mooring.shadow.copies import Copy, End
from mooring.shadow.frames import Copied, Original
from mooring.shadow.tally import Tally
from mooring.upstream.call import Failure
from mooring.upstream.observing import Answer, Asked, Failed, ReplyHeaders
from mooring.upstream.replica import Replica

BEHIND_S = 0.03
"""So long after its call a copy is sent. Copies come in batches, and a shadow that got them so would look slow."""
TIMERS_S = 0.001
"""What a loop's timers can tell apart."""
MOST_OPENING = 4
"""Connections that are being made to one replica at a time."""

Verdict = Callable[[bool, str | None], None]
"""Whether two bodies were compared at all, and in what they differ, if they do."""
Compare = Callable[[Form, bytes, bytes, Verdict], None]


class Lane:
    """For as long as an endpoint config has this shadow; replicas come and go meanwhile."""

    def __init__(
        self, settings: ShadowSettings, ticker: Ticker, compare: Compare, answer_limit: float = math.inf
    ) -> None:
        """`answer_limit` is how many bytes an answer may have that is no stream, as production's."""
        self.settings = settings
        self.answer_limit = answer_limit
        self.tally = Tally()
        self.replicas: Sequence[Replica] = ()
        self.recorder: Recorder | None = None
        """Of captured copies."""
        self.random = False
        """Whether any replica does; else the one with the fewest copies."""
        self._ticker = ticker
        self._compare = compare
        self._waiting: deque[Copy] = deque()
        self._in_flight: set[Copy] = set()
        self._unpaired: dict[int, Copy] = {}  # whose original has not ended
        self._held = 0  # bytes
        self._pumping = False

    @property
    def is_idle(self) -> bool:
        """Whether no copy is under way."""
        return not (self._waiting or self._in_flight)

    def offer(self, copied: Copied) -> None:
        """Send a copy, as soon as that can be."""
        tally, settings = self.tally, self.settings
        tally.copied += 1
        size = len(copied.body)
        if len(self._waiting) >= settings.queue or (self._held and self._held + size > settings.queue_bytes):
            tally.dropped["full"] += 1
            return
        copy = Copy(self, copied, self._ticker.now)
        self._held += size
        self._unpaired[copied.number] = copy
        self._waiting.append(copy)
        self._wake()

    def ended(self, original: Original) -> None:
        """Production's call has ended."""
        copy = self._unpaired.pop(original.number, None)
        if original.seconds is None:
            end = End.NOTHING
        elif original.reason is not None:
            self.tally.production.failed(original.reason)
            end = End.FAILED
        else:
            self.tally.production.answered(original.status, original.seconds)
            end = End.ANSWERED if 200 <= original.status < 300 else End.FAILED
        if copy is not None and copy.original is End.UNKNOWN:
            copy.original = end
            body = original.body
            if end is End.ANSWERED and body is not None and self._keeps(copy, body, len(body)):
                copy.original_said = original.content_type, body
            self._settle(copy)

    # The shadow's answers

    def replied(self, copy: Copy, status: int, headers: ReplyHeaders, body: bytes, size: int) -> None:
        """The shadow has answered a copy with a body of `size`, or with one that begins so."""
        seconds = perf_counter() - copy.sent
        self._record(copy, Answer(status, headers, body, size) if 200 <= status < 300 else None)
        self.tally.shadow.answered(status, seconds)
        if 200 <= status < 300:
            copy.outcome = End.ANSWERED
            self.tally.metrics.answered(seconds, max(0.0, copy.sent - copy.copied.began - BEHIND_S))
            if self._keeps(copy, body, size):
                copy.outcome_said = _content_type(headers), body
        else:
            copy.outcome = End.FAILED
            self.tally.metrics.failed(status, None)
        self._landed(copy)

    def failed(self, copy: Copy, failure: Failure) -> None:
        """The shadow has not answered a copy."""
        if failure is Failure.UNREACHABLE:  # it was not sent
            self._in_flight.discard(copy)
            self._waiting.appendleft(copy)
            return  # to be woken by the sweep, or by the next call
        self._record(copy, None)
        self.tally.shadow.failed(failure)
        self.tally.metrics.failed(0, failure)
        copy.outcome = End.FAILED
        self._landed(copy)

    # For who has the lanes

    def sweep(self, now: float) -> None:
        """Drop what has waited for too long, and try again what could not be sent."""
        waiting = self._waiting
        while waiting and now - waiting[0].waits_since > self.settings.wait_s:
            self._drop(waiting.popleft(), "late")
        if waiting:
            self._wake()

    def clear(self, *, in_flight: bool) -> None:
        """The shadow has gone: nothing waits for it any more and, with `in_flight`, nothing is still asked of it."""
        while self._waiting:
            self._drop(self._waiting.popleft(), "gone")
        if in_flight:
            for copy in tuple(self._in_flight):
                self._in_flight.discard(copy)
                copy.cancel()
                self._drop(copy, "gone")

    # Inside

    def _wake(self) -> None:
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        while self._waiting and len(self._in_flight) < self.settings.in_flight:
            early = self._waiting[0].copied.sent + BEHIND_S - perf_counter()
            if early > TIMERS_S:
                self._pumping = True
                asyncio.get_running_loop().call_later(early, self._pump)
                return
            replica = self._choose()
            if replica is None:
                return
            copy = self._waiting.popleft()
            self._in_flight.add(copy)
            copy.sent = perf_counter()
            replica.begin(copy)

    def _choose(self) -> Replica | None:
        able = [each for each in self.replicas if not each.ejected and (each.kept or each.opening < MOST_OPENING)]
        if len(able) < 2:
            return able[0] if able else None
        if self.random:
            return able[randrange(len(able))]
        start = randrange(len(able))  # breaks ties
        return min(able[start:] + able[:start], key=lambda each: each.outstanding)

    def _keeps(self, copy: Copy, body: bytes, size: int) -> bool:
        """Whether an answer is held until it is compared."""
        length = len(body)
        if size != length or size > self.settings.compare_limit_bytes:
            return False
        if self._held + length > self.settings.queue_bytes:
            return False
        self._held += length
        copy.held += length
        return True

    def _record(self, copy: Copy, answer: Answer | None) -> None:
        recorder, headers = self.recorder, copy.copied.captured
        if recorder is None or headers is None:
            return
        copied = copy.copied
        asked = Asked("InvokeEndpoint", headers, copy.head, copy.body, copied.began, copy.sent, copied.request_id)
        observation = recorder.began(asked)
        if observation is None:
            return
        if answer is None:
            observation.failed(Failed(0, "the copy failed", [], None))
        else:
            observation.answered(answer, _nothing)

    def _landed(self, copy: Copy) -> None:
        self._in_flight.discard(copy)
        self._held -= len(copy.body)
        copy.held -= len(copy.body)
        copy.body = b""
        if self._waiting:
            self._wake()
        self._settle(copy)

    def _settle(self, copy: Copy) -> None:
        """Compare, if both calls have ended; let go of what is held, if nothing more comes."""
        if End.UNKNOWN in (copy.original, copy.outcome):
            return
        one, other = copy.original_said, copy.outcome_said
        if copy.original is End.ANSWERED and copy.outcome is End.ANSWERED:
            if one is None or other is None:
                self.tally.agreement["uncompared"] += 1
            else:
                self._judge(copy, one, other)
        copy.original_said = copy.outcome_said = None
        self._held -= copy.held
        copy.held = 0

    def _drop(self, copy: Copy, why: str) -> None:
        self.tally.dropped[why] += 1
        self._unpaired.pop(copy.copied.number, None)
        copy.original = copy.outcome = End.NOTHING
        self._settle(copy)

    def _judge(self, copy: Copy, one: tuple[bytes, bytes], other: tuple[bytes, bytes]) -> None:
        forms = form_of(one[0]), form_of(other[0])
        if forms[0] is not forms[1]:
            self._differs(copy, f"Content-Type {one[0][:40]!a} and {other[0][:40]!a}")
        elif one[1] == other[1]:
            self.tally.agreement["same"] += 1
        else:
            self._compare(forms[0], one[1], other[1], lambda done, what: self._judged(copy, done, what))

    def _judged(self, copy: Copy, done: bool, what: str | None) -> None:
        if not done:
            self.tally.agreement["uncompared"] += 1
        elif what is None:
            self.tally.agreement["equal"] += 1
        else:
            self._differs(copy, what)

    def _differs(self, copy: Copy, what: str) -> None:
        inference_id = copy.copied.inference_id.decode("latin-1") or None
        self.tally.differs(inference_id, copy.copied.request_id.decode(), what)


def _nothing() -> None:
    """Nobody waits for the record of a copy."""


def _content_type(headers: ReplyHeaders) -> bytes:
    return next((value for name, value in headers if name == b"content-type"), b"")
