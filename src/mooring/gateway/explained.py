"""An invocation of an explained variant: the model answers, and its answer is explained before the client has any.

The replica that answered is held until the end, so that an update does not take the model away while it is still asked
about that answer. Observers are told of the client's request and of the answer that the client gets, and what the
model itself had said is with it. InvokeEndpoint alone is explained: a response stream passes as it is.
"""

from __future__ import annotations

from math import inf
from time import perf_counter

from mooring.errors import BadInput
from mooring.explainer.edge.explanation import LATE, MARGIN_PART, MARGIN_S, Explainer, Explanation
from mooring.explainer.edge.solver import BUSY
from mooring.explainer.frames import Explain, Explained, Unexplained
from mooring.gateway import faults
from mooring.gateway.headers import ENABLE_EXPLANATIONS, INFERENCE_ID, INVOKE, WISHES
from mooring.gateway.invocation import Invocation
from mooring.gateway.observed import ObservedInvocation
from mooring.gateway.pipeline import Variant
from mooring.gateway.serverless import Admitted
from mooring.http1.messages import Response
from mooring.upstream.call import Call, Failure
from mooring.upstream.observing import ModelAnswer, ReplyHeaders
from mooring.upstream.replica import Replica

EXPLAINER = "explainer"
"""Who has answered, where it is not the model that is at fault."""
MOST_ANSWER_BYTES = 16 * 1024 * 1024
"""Of an answer that is explained."""
_JSON = (b"content-type", b"application/json")


class _Explained(Invocation):
    """What is explained; the classes below are the whole."""

    _explainer: Explainer | None
    """None where this call's answer is not explained."""
    _explanation: Explanation | None
    _expression: str | None
    _is_plain: bool
    """Whether it says that nothing is to be explained, whatever the model answers."""
    _held: Replica | None
    _gathered: list[bytes] | None
    """Of an answer that comes in pieces."""
    _size: int
    _reply: tuple[int, ReplyHeaders]

    def invoke(self, target: bytes | None, chosen: Variant | None = None) -> None:
        self._explainer = self._explanation = self._held = self._gathered = self._expression = None
        self._is_plain, self._size = False, 0
        variant = self._pipeline.drawn(target) if chosen is None else chosen
        if variant is not None and self.operation == INVOKE.operation:
            self._explainer = variant.explainer
            if (refusal := self._unfit(variant)) is not None:
                self._refuse(refusal)
                return
        super().invoke(target, variant)
        self._hold()

    # explainer.explanation.Caller

    def explained(self, frame: Explained) -> None:
        assert self._variant is not None
        assert self.model_answer is not None
        self._explanation = None
        self._variant.counters.explained(frame.records, frame.errors)
        self._room = inf
        headers = [header for header in self.model_answer.headers if header[0] != b"content-type"]
        super().replied(200, [*headers, _JSON], frame.body)
        self._let_go()

    def unexplained(self, frame: Unexplained) -> None:
        self._explanation = None
        route, container = self._pipeline.route, self._container
        status, failure = frame.status, None
        if frame.kind == "container":
            response = faults.unexplained(route, container, status, frame.message)
            failure = None if status else Failure.BROKEN
        elif frame.kind == LATE:
            failure = Failure.TIMED_OUT
            response = faults.unexplained(route, EXPLAINER, 0, frame.message)
        elif frame.kind == "explainer":
            status = 400
            response = faults.unexplained(route, EXPLAINER, status, frame.message)
        else:
            response = _REFUSALS.get(frame.kind, faults.internal_failure)(frame.message)
            status = response.status
        self._fail(response, status, failure, [], None)

    # upstream.Call

    def cancel(self) -> None:
        explanation, self._explanation = self._explanation, None
        if explanation is not None:
            explanation.cancel()
            assert self._variant is not None
            self._variant.counters.invocations += 1
        super().cancel()
        self._let_go()

    def replied(self, status: int, headers: ReplyHeaders, body: bytes) -> None:
        if self._explainer is None or not 200 <= status < 300 or len(body) > self._room:
            super().replied(status, headers, body)
        else:
            self._explain(self._explainer, headers, body)

    def reply_began(self, status: int, headers: ReplyHeaders, length: int | None) -> None:
        if self._explainer is None or not 200 <= status < 300 or (length is not None and length > self._room):
            super().reply_began(status, headers, length)
        else:
            self._reply, self._gathered = (status, headers), []

    def reply_data(self, data: bytes) -> None:
        if self._gathered is None:
            super().reply_data(data)
            return
        self._size += len(data)
        if self._size <= min(self._room, MOST_ANSWER_BYTES):
            self._gathered.append(data)
            return
        Call.cancel(self)
        status, headers = self._reply
        if self._size > self._room:
            self._too_long(status, headers, self._size)
        else:
            text = f"An answer of more than {MOST_ANSWER_BYTES} bytes cannot be explained."
            response = faults.unexplained(self._pipeline.route, EXPLAINER, 400, text)
            self._fail(response, status, Failure.TOO_LONG, headers, None)

    def reply_ended(self) -> None:
        if self._gathered is None:
            super().reply_ended()
            return
        gathered, self._gathered = self._gathered, None
        if self._size <= min(self._room, MOST_ANSWER_BYTES):  # else it has failed at its last piece
            assert self._explainer is not None
            self._explain(self._explainer, self._reply[1], b"".join(gathered))

    # Inside

    def _explain(self, explainer: Explainer, headers: ReplyHeaders, body: bytes) -> None:
        assert self._held is not None
        assert self._variant is not None
        known, now = self.known, perf_counter()
        self.model_answer = ModelAnswer(headers, body, now)
        content_type = _text(known.get(b"content-type", b""))
        answered_type = _text(next((value for name, value in headers if name == b"content-type"), b""))
        if self._is_plain and (plain := explainer.plain_document(content_type, answered_type, body)) is not None:
            self.explained(Explained(0, plain, 0, [], 0))
            return
        timeout_s = self._pipeline.timeout_s
        within_s = self.arrived + timeout_s - min(MARGIN_S, MARGIN_PART * timeout_s) - now
        explain = Explain(
            call=0,
            explainer="",
            content_type=content_type,
            expression=self._expression,
            request=self.body,
            answered_type=answered_type,
            answer=body,
            width=1,
            within_s=within_s,
            wishes="\n".join(_text(known.get(name, b"")) for name in WISHES),
        )
        self.body = b""
        self._explanation = explanation = explainer.explanation(self, _text(known.get(INFERENCE_ID, b"")))
        explanation.begin(explain, self.head, self._held, only=self._variant.turnstile is not None)

    def _unfit(self, variant: Variant) -> Response | None:
        """Why a call cannot be explained as it wants to be, or at all right now."""
        expression = self.known.get(ENABLE_EXPLANATIONS)
        if expression is not None:
            if self._explainer is None:
                return faults.no_explainer(self._pipeline.route.endpoint)
            self._expression = _text(expression)
        if self._explainer is None:
            return None
        try:
            self._is_plain = self._explainer.explains_nothing(self._expression)
        except BadInput as error:
            return faults.validation_error(f"EnableExplanations: {error}")
        if not self._is_plain and (busy := self._explainer.refusal) is not None:
            variant.counters.failed(503, None)
            return faults.busy_explaining(busy)
        return None

    def _fail(
        self, response: Response | None, status: int, failure: Failure | None, headers: ReplyHeaders, body: bytes | None
    ) -> None:
        super()._fail(response, status, failure, headers, body)
        self._let_go()

    def _refuse(self, response: Response) -> None:
        super()._refuse(response)
        self._let_go()

    def _try_another(self) -> None:
        super()._try_another()
        self._hold()

    def _hold(self) -> None:
        """Hold the replica that the call is on, and no other."""
        replica = self.replica if self._explainer is not None else None
        if replica is not None and replica is not self._held:
            self._let_go()
            self._held = replica
            replica.hold()

    def _let_go(self) -> None:
        """The call is over, and what its connection keeps of it is little."""
        self.model_answer = None
        if self._gathered is not None:
            self._gathered.clear()
        held, self._held = self._held, None
        if held is not None:
            held.let_go()


class _ExplainedServerless(_Explained, Admitted):
    """The same with a slot, which the call has until its end: its synthetic calls go where it went itself."""

    def go(self, replica: Replica) -> None:
        super().go(replica)
        self._hold()


class ExplainedInvocation(_Explained):
    """Of an endpoint one of whose variants is explained."""


class ObservedExplainedInvocation(_Explained, ObservedInvocation):
    """The same where features watch."""


class ExplainedServerlessInvocation(_ExplainedServerless):
    """Of one that is serverless."""


class ObservedExplainedServerlessInvocation(_ExplainedServerless, ObservedInvocation):
    """And where features watch that."""


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


_REFUSALS = {"caller": faults.validation_error, BUSY: faults.busy_explaining}
