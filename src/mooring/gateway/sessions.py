"""Stateful sessions: calls that name one go to the replica that opened it.

`NEW_SESSION` is routed like any call; where its container opens a session, the binding is on disk before the client
hears of it (`session_store`). A call in a session ignores weights and routing strategy, and is sent to no other
replica. What concerns sessions stands between an invocation and its client, in the way of `streaming.EventStream`, so
that a call without a session meets nothing of it.

A container is believed about its own session only: it closes the one that was called, and the id that it gives to a
new one is refused while another replica of the endpoint has it.
"""

from __future__ import annotations

import calendar
import functools
import logging
import re
import time
from collections.abc import Callable, Mapping

from mooring.gateway import faults
from mooring.gateway.headers import SESSION_ID
from mooring.gateway.invocation import Client, without_variant
from mooring.gateway.pipeline import OUT_OF_SERVICE, Pipeline, Variant
from mooring.gateway.session_store import Session, SessionStore, Taken
from mooring.http1.listening import Listening
from mooring.http1.messages import Headers, Response
from mooring.upstream.call import Failure
from mooring.upstream.replica import Replica
from mooring.wire.recognition import SAGEMAKER_RUNTIME
from mooring.wire.service_models import service_model
from mooring.wire.shapes import Shape
from mooring.wire.validation import failed_constraints

log = logging.getLogger("mooring.gateway")

NEW_SESSION = b"NEW_SESSION"
_OPENED = b"X-Amzn-SageMaker-New-Session-Id: %b\r\n"
_CLOSED = b"X-Amzn-SageMaker-Closed-Session-Id: %b\r\n"
_CLOSED_HEADER = b"x-amzn-sagemaker-closed-session-id"
_OPENED_LINE = re.compile(rb"X-Amzn-SageMaker-New-Session-Id: ([^\r\n]*)\r\n")
_CLOSED_LINE = re.compile(rb"X-Amzn-SageMaker-Closed-Session-Id: ([^\r\n]*)\r\n")


class Sessions:
    """The sessions that calls of one gateway are in."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store

    def enter(self, client: Client, pipeline: Pipeline, named: bytes, target: bytes | None) -> InSession | Response:
        """The client of a call that has a SessionId, with the variant to invoke; or why there can be no such call.

        `named` and `target`, the TargetVariant, are valid as the runtime's model has it.
        """
        if pipeline.route.status == OUT_OF_SERVICE:
            return faults.out_of_service(pipeline.route.endpoint)
        if pipeline.serverless:
            return faults.no_sessions(pipeline.route.endpoint)
        if named == NEW_SESSION:
            return self._opening(client, pipeline, target)
        return self._within(client, pipeline, named.decode("ascii"), target)

    def _opening(self, client: Client, pipeline: Pipeline, target: bytes | None) -> InSession | Response:
        if self.store.full(pipeline.route.key):
            return faults.too_many_sessions(pipeline.route.endpoint)
        variant = pipeline.drawn(target)
        return without_variant(pipeline, target) if variant is None else Opening(client, self.store, pipeline, variant)

    def _within(self, client: Client, pipeline: Pipeline, named: str, target: bytes | None) -> InSession | Response:
        endpoint = pipeline.route.endpoint
        session = self.store.find(pipeline.route.key, named)
        if session is None:
            return faults.no_such_session(named, endpoint)
        if target is not None and target.decode() != session.variant:
            return faults.session_elsewhere(named, endpoint, session.variant, target.decode())
        place = _place(pipeline, session.replica)
        if place is None:
            return faults.session_lost(named, endpoint, session.variant)
        return Within(client, self.store, pipeline, *place, named)


class InSession:
    """The client of a call that is in a session, or opens one; `variant` is what to invoke."""

    __slots__ = ("_client", "_pipeline", "_refused", "_store", "cancel", "relayed", "variant")

    def __init__(self, client: Client, store: SessionStore, pipeline: Pipeline) -> None:
        self._client = client
        self._store = store
        self._pipeline = pipeline
        self._refused = False  # what the replica still says goes nowhere
        self.cancel: Callable[[], None] = _nothing
        """Ends the call at the replica."""
        self.relayed: Mapping[bytes, bytes] = {}
        self.variant: Variant

    def _settled(self, head: bytes) -> bytes | Response:
        """The head of an answer once the session is as it says; or what is answered instead."""
        raise NotImplementedError

    # gateway.invocation.Client

    @property
    def listening(self) -> Listening:
        return self._client.listening

    def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        self._client.respond(status, headers, body)

    def send(self, head: bytes, body: bytes) -> None:
        settled = self._settled(head)
        if isinstance(settled, Response):
            self._client.respond(settled.status, settled.headers, settled.body)
        else:
            self._client.send(settled, body)

    def begin(self, head: bytes, length: int | None) -> None:
        settled = self._settled(head)
        if isinstance(settled, Response):
            self._refused = True
            self.cancel()
            self._client.respond(settled.status, settled.headers, settled.body)
        else:
            self._client.begin(settled, length)

    def write(self, data: bytes) -> None:
        if not self._refused:
            self._client.write(data)

    def end(self) -> None:
        if not self._refused:
            self._client.end()

    def break_off(self, why: Failure) -> None:
        if not self._refused:
            self._client.break_off(why)


def _nothing() -> None:
    pass


class Opening(InSession):
    """A call with NEW_SESSION."""

    __slots__ = ("_replica",)

    def __init__(self, client: Client, store: SessionStore, pipeline: Pipeline, variant: Variant) -> None:
        super().__init__(client, store, pipeline)
        self._replica: Replica | None = None
        self.relayed = {**client.relayed, SESSION_ID: _OPENED}

        def pick() -> Replica | None:
            self._replica = variant.pick()
            return self._replica

        self.variant = variant.picking(pick, variant.replicas)

    def _settled(self, head: bytes) -> bytes | Response:
        said = _OPENED_LINE.findall(head)
        if not said:
            return head  # the container opened none
        route, replica, container = self._pipeline.route, self._replica, self.variant.container
        assert replica is not None
        opened = opened_session(said[0]) if len(said) == 1 else None
        if opened is None:
            return faults.bad_session(route, container, faults.UNREADABLE_SESSION)
        session = Session(opened[0], self.variant.name, replica.id, opened[1])
        try:
            self._store.open(route.key, session, lambda other: _place(self._pipeline, other) is not None)
        except Taken:
            return faults.bad_session(route, container, faults.TAKEN_SESSION)
        except OSError as error:
            log.warning("a session of %s cannot be recorded: %s", route.key, error)
            return faults.unrecorded_session(error.strerror or str(error))
        return head


class Within(InSession):
    """A call of a session."""

    __slots__ = ("_id",)

    def __init__(
        self, client: Client, store: SessionStore, pipeline: Pipeline, variant: Variant, replica: Replica, named: str
    ) -> None:
        super().__init__(client, store, pipeline)
        self._id = named
        self.relayed = {**client.relayed, _CLOSED_HEADER: _CLOSED}
        self.variant = variant.picking(lambda: replica, (replica,))

    def _settled(self, head: bytes) -> bytes:
        said = _CLOSED_LINE.findall(head)
        if not said:
            return head
        if said == [self._id.encode()]:
            self._store.close(self._pipeline.route.key, self._id)
            return head
        log.warning("a container of %s closed a session that was not called", self._pipeline.route.key)
        return _CLOSED_LINE.sub(b"", head)


def opened_session(value: bytes) -> tuple[str, float] | None:
    """Id and expiry (seconds since 1970) of a container's `ID; Expires=yyyy-mm-ddThh:mm:ssZ`; None for all else."""
    text = value.decode("latin-1")
    if failed_constraints(_new_session_shape(), text):
        return None
    named, _, expires = text.partition(";")
    try:
        return named, calendar.timegm(time.strptime(expires.strip(), "Expires=%Y-%m-%dT%H:%M:%SZ"))
    except ValueError:  # such as a thirteenth month
        return None


@functools.cache
def _new_session_shape() -> Shape:
    output = service_model(SAGEMAKER_RUNTIME).operation("InvokeEndpoint").output
    assert output is not None
    return output.members["NewSessionId"].shape


def _place(pipeline: Pipeline, replica_id: str) -> tuple[Variant, Replica] | None:
    """Where a replica is, whatever weight its variant has."""
    for variant in pipeline.variants:
        for replica in variant.replicas:
            if replica.id == replica_id:
                return variant, replica
    return None
