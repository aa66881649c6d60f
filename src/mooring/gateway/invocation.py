"""One invocation: from the choice of a variant to the answer. No coroutine, no future.

It is the call that the pool carries (`mooring.upstream.call`) and knows the client that waits for it. A replica that
cannot be reached has seen nothing, so another is tried; after that every failure is the container's, ModelError 424.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from time import perf_counter
from typing import Protocol

from mooring.gateway import faults
from mooring.gateway.pipeline import OUT_OF_SERVICE, Pipeline, Variant, failed_longest_ago
from mooring.gateway.request_ids import new_request_id
from mooring.http1.listening import Listening
from mooring.http1.messages import Headers, Response
from mooring.upstream.call import Call, Failure
from mooring.upstream.observing import ModelAnswer, ReplyHeaders
from mooring.upstream.replica import Replica

ATTEMPTS = 3
"""Replicas that are tried when connections are refused; a single one is tried twice."""

_REASONS = {
    Failure.TIMED_OUT: faults.TIMED_OUT,
    Failure.BROKEN: faults.BROKEN,
    Failure.MALFORMED: faults.MALFORMED,
}


def without_variant(pipeline: Pipeline, target: bytes | None) -> Response:
    """Why no variant can take a call."""
    endpoint = pipeline.route.endpoint
    if pipeline.route.status == OUT_OF_SERVICE:
        return faults.out_of_service(endpoint)
    return faults.no_weight(endpoint) if target is None else faults.no_such_variant(target.decode(), endpoint)


class Client(Protocol):
    """Who waits for the answer: a connection, or what writes to one in another form (`mooring.http1.answering`)."""

    @property
    def listening(self) -> Listening: ...

    @property
    def relayed(self) -> Mapping[bytes, bytes]:
        """What a container's headers become; all others stay behind."""
        ...

    def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None: ...

    def send(self, head: bytes, body: bytes) -> None: ...

    def begin(self, head: bytes, length: int | None) -> None: ...

    def write(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def break_off(self, why: Failure) -> None: ...


class Invocation(Call):
    """Made by the front for one request; lives until its answer.

    The client's connection keeps the object until its next call, or until the collector finds both. So whatever ends
    the call lets go of `body`: it is counted as reserved no longer.
    """

    __slots__ = (
        "_answering",
        "_attempts",
        "_client",
        "_pipeline",
        "_room",
        "_variant",
        "arrived",
        "known",
        "operation",
        "request_id",
        "sent",
    )

    model_answer: ModelAnswer | None = None
    """Where the client gets another."""

    def __init__(
        self,
        client: Client,
        pipeline: Pipeline,
        head: bytes,
        body: bytes,
        known: Mapping[bytes, bytes],
        arrived: float,
        operation: str = "InvokeEndpoint",
    ) -> None:
        super().__init__(pipeline.timeout_s)
        self.head = head
        self.body = body
        self.known = known
        self.arrived = arrived
        self.sent = 0.0
        self.operation = operation
        self.request_id = b""
        self._client = client
        self._pipeline = pipeline
        self._variant: Variant | None = None
        self._attempts = 0
        self._answering = False
        self._room = pipeline.response_limit  # for what is still to come of the answer

    def invoke(self, target: bytes | None, chosen: Variant | None = None) -> None:
        """Send the request to a replica of the variant that was `chosen`, that the client names, or that is drawn."""
        pipeline = self._pipeline
        variant = pipeline.drawn(target) if chosen is None else chosen
        if variant is None:
            self._refuse(without_variant(pipeline, target))
            return
        self._variant = variant
        replica = variant.pick()
        if replica is None:
            variant.counters.failed(503, None)
            self._refuse(faults.no_replica(pipeline.route.endpoint, variant.name))
        else:
            self.sent = perf_counter()
            replica.begin(self)

    # upstream.Call

    def cancel(self) -> None:
        if self.replica is not None and self._variant is not None:
            self._variant.counters.invocations += 1  # the model has the call, and nobody hears what comes of it
        super().cancel()
        self.body = b""

    def replied(self, status: int, headers: ReplyHeaders, body: bytes) -> None:
        self.body = b""
        replied = perf_counter()
        if 200 <= status < 300:
            assert self._variant is not None
            if len(body) > self._room and not self.as_it_comes:
                self._too_long(status, headers, len(body))
                return
            self._client.send(self._head(headers) + b"Content-Length: %d\r\n" % len(body), body)
            self._variant.counters.answered(replied - self.sent, perf_counter() - replied + self.sent - self.arrived)
        else:
            self._model_failed(status, headers, body)

    def reply_began(self, status: int, headers: ReplyHeaders, length: int | None) -> None:
        if 200 <= status < 300:
            if self.as_it_comes:
                self._room = inf
            elif length is not None and length > self._room:
                super().cancel()
                self._too_long(status, headers, length)
                return
            self._answering = True
            self._client.begin(self._head(headers), length)
        else:
            super().cancel()
            self._model_failed(status, headers, None)

    def reply_data(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            super().cancel()
            self._fail(None, 0, Failure.TOO_LONG, [], None)
        else:
            self._client.write(data)

    def reply_ended(self) -> None:
        self.body = b""
        if self._room < 0:
            return  # it has failed at its last piece
        replied = perf_counter()
        self._client.end()
        assert self._variant is not None
        self._variant.counters.answered(replied - self.sent, perf_counter() - replied + self.sent - self.arrived)

    def failed(self, failure: Failure) -> None:
        if self._answering:
            self._fail(None, 0, failure, [], None)
        elif failure is Failure.UNREACHABLE:
            self._try_another()
        else:
            response = faults.no_answer(self._pipeline.route, self._container, _REASONS[failure])
            self._fail(response, 0, failure, [], None)

    # Inside

    @property
    def _container(self) -> str:
        return self._variant.container if self._variant is not None else "primary"

    def _head(self, headers: ReplyHeaders) -> bytes:
        assert self._variant is not None
        date = self._client.listening.ticker.date_header
        head = b"%b%b\r\n%b" % (self._variant.answer_head, self.request_id or new_request_id(), date)
        relayed = self._client.relayed
        for name, value in headers:
            line = relayed.get(name)
            if line is not None:
                head += line % value
        return head

    def _too_long(self, status: int, headers: ReplyHeaders, length: int) -> None:
        limit = self._pipeline.route.response_limit_bytes
        response = faults.response_too_long(self._pipeline.route, self._container, status, length, limit)
        self._fail(response, status, Failure.TOO_LONG, headers, None)

    def _model_failed(self, status: int, headers: ReplyHeaders, body: bytes | None) -> None:
        response = faults.model_error(self._pipeline.route, self._container, status, body)
        self._fail(response, status, None, headers, body)

    def _fail(
        self, response: Response | None, status: int, failure: Failure | None, headers: ReplyHeaders, body: bytes | None
    ) -> None:
        """The call has failed at the replica; without a `response` its answer has begun and breaks off."""
        if self._variant is not None:
            took = None if failure is Failure.UNREACHABLE else perf_counter() - self.sent
            self._variant.counters.failed(status, failure, took)
        if response is None:
            assert failure is not None
            self.body = b""
            self._client.break_off(failure)
        else:
            self._refuse(response)

    def _refuse(self, response: Response) -> None:
        self.body = b""
        self._client.respond(response.status, response.headers, response.body)

    def _try_another(self) -> None:
        """The replica refused the connection, so nothing was sent to it."""
        variant = self._variant
        assert variant is not None
        self._attempts += 1
        if self._attempts < min(ATTEMPTS, max(2, len(variant.replicas))):
            self._choose_again(variant).begin(self)
        else:
            self._fail(faults.no_replica(self._pipeline.route.endpoint, variant.name), 0, Failure.UNREACHABLE, [], None)

    def _choose_again(self, variant: Variant) -> Replica:
        # Those that refused are ejected by now; when all are, the one that failed longest ago is the best guess.
        replica = variant.pick()
        return replica if replica is not None else failed_longest_ago(variant.replicas)
