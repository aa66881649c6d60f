"""An invocation that features watch: they are told of it, and may hold back the bytes that complete its answer.

What completes an answer: all of it when it is sent whole; its last piece when its length is known; the end of its
chunks when it is not. So a caller that has a whole answer knows that every observer was done with it.
"""

from __future__ import annotations

from collections.abc import Callable

from mooring.gateway.invocation import Invocation
from mooring.gateway.pipeline import OBSERVED_BODY_BYTES, Variant
from mooring.gateway.request_ids import new_request_id
from mooring.http1.messages import Response
from mooring.upstream.call import Failure
from mooring.upstream.observing import Answer, Asked, Failed, Observation, ReplyHeaders


class ObservedInvocation(Invocation):
    """Of an endpoint one of whose variants has observers."""

    __slots__ = ("_kept", "_observations", "_reply", "_size", "_withheld")

    def invoke(self, target: bytes | None, chosen: Variant | None = None) -> None:
        self._observations: list[Observation] = []
        self._kept: list[bytes] | None = None
        super().invoke(target, chosen)
        variant = self._variant
        if variant is None or not variant.observers or self.replica is None:
            return
        self.request_id = new_request_id()
        asked = Asked(self.operation, self.known, self.head, self.body, self.arrived, self.sent, self.request_id)
        for observer in variant.observers:
            if (observation := observer.began(asked)) is not None:
                self._observations.append(observation)

    def cancel(self) -> None:
        observations, self._observations = self._observations, []
        self._kept = None
        super().cancel()
        for observation in observations:
            observation.abandoned()

    # upstream.Call

    def replied(self, status: int, headers: ReplyHeaders, body: bytes) -> None:
        if not self._observations or not 200 <= status < 300:
            super().replied(status, headers, body)
            return
        self.body = b""
        answer = Answer(status, headers, body, len(body), self.model_answer)
        self._conclude(answer, lambda: super(ObservedInvocation, self).replied(status, headers, body))

    def reply_began(self, status: int, headers: ReplyHeaders, length: int | None) -> None:
        if self._observations and 200 <= status < 300:
            self._kept, self._size, self._reply = [], 0, (status, headers)
            self._withheld: bytes | None = None if length is None else b""
        super().reply_began(status, headers, length)

    def reply_data(self, data: bytes) -> None:
        if self._kept is not None:
            if self._size < OBSERVED_BODY_BYTES:
                self._kept.append(data)
            self._size += len(data)
            if self._withheld is not None:
                data, self._withheld = self._withheld, data
        super().reply_data(data)

    def reply_ended(self) -> None:
        if self._kept is None:
            super().reply_ended()
            return
        kept, self._kept = self._kept, None
        status, headers = self._reply
        self._conclude(Answer(status, headers, b"".join(kept), self._size), self._end)

    # Inside

    def _end(self) -> None:
        if self._withheld:
            super().reply_data(self._withheld)
        super().reply_ended()

    def _conclude(self, answer: Answer, then: Callable[[], None]) -> None:
        observations, self._observations = self._observations, []
        if len(observations) == 1:
            observations[0].answered(answer, then)
            return
        waiting = len(observations)

        def go() -> None:
            nonlocal waiting
            waiting -= 1
            if not waiting:
                then()

        for observation in observations:
            observation.answered(answer, go)

    def _fail(
        self, response: Response | None, status: int, failure: Failure | None, headers: ReplyHeaders, body: bytes | None
    ) -> None:
        observations, self._observations = self._observations, []
        if observations:
            reason = f"status {status}" if failure is None else failure.value
            failed = Failed(status, reason, headers, body, self.model_answer)
            for observation in observations:
                observation.failed(failed)
        super()._fail(response, status, failure, headers, body)
