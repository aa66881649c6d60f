"""An invocation of a serverless variant: it has a slot from its admission to its end, and may be held for a replica.

Where all slots are taken it is throttled. A replica that refuses the connection has seen nothing of the call, which is
then held for the next one; so a replica that dies or falls idle at the wrong moment costs its caller time only.
"""

from __future__ import annotations

from time import perf_counter

from mooring.gateway import faults
from mooring.gateway.invocation import Invocation
from mooring.gateway.observed import ObservedInvocation
from mooring.gateway.pipeline import Pipeline, Variant
from mooring.http1.messages import Response
from mooring.serverless.concurrency import Concurrency
from mooring.upstream.call import Failure
from mooring.upstream.observing import ReplyHeaders
from mooring.upstream.replica import Replica


class Admitted(Invocation):
    """What needs a slot; `ServerlessInvocation` and `ObservedServerlessInvocation` are the whole.

    During an update of an endpoint from serverless to instances some of its calls need none.
    """

    _concurrency: Concurrency | None
    """Whose slot it has or waits for."""
    _target: bytes | None
    slot: int
    until: float

    def invoke(self, target: bytes | None, chosen: Variant | None = None) -> None:
        self._target = target
        self._concurrency = None
        self.until = 0.0
        variant = self._pipeline.drawn(target) if chosen is None else chosen
        if variant is None or variant.turnstile is None:
            super().invoke(target, variant)
            return
        self._variant = variant
        concurrency = variant.turnstile.concurrency
        self.slot = slot = concurrency.take()
        if slot < 0:
            self.throttle()
            return
        self._concurrency = concurrency
        replica = concurrency.replica(slot)
        if replica is None:
            variant.turnstile.admission.hold(concurrency, self)
        else:
            self.go(replica)

    # serverless.concurrency.Held

    def go(self, replica: Replica) -> None:
        variant = self._variant
        assert variant is not None
        assert variant.turnstile is not None
        if self.sent:  # to another before, which refused
            self.sent = perf_counter()
            replica.begin(self)
            return
        self._count_seat(variant)
        variant.turnstile.chosen = replica
        super().invoke(None, variant)

    def throttle(self) -> None:
        self._concurrency = None
        self._unserved(faults.throttled())

    def give_up(self) -> None:
        assert self._variant is not None
        self._concurrency = None
        self._unserved(faults.not_ready(self._pipeline.route.endpoint, self._variant.name), Failure.UNREACHABLE)

    def fail(self, reason: str) -> None:
        self._concurrency = None
        self._unserved(faults.not_started(self._pipeline.route, self._container, reason), Failure.UNREACHABLE)

    def begin_again(self, pipeline: Pipeline | None) -> None:
        self._concurrency = None
        if pipeline is None:
            scope = self._pipeline.route.scope
            self._unserved(faults.no_such_endpoint(self._pipeline.route.endpoint, scope.account, scope.region, ()))
        elif self.sent:
            self.give_up()
        else:
            self._pipeline = pipeline
            self.invoke(self._target)

    # upstream.Call

    def cancel(self) -> None:
        concurrency = self._concurrency
        if concurrency is not None and concurrency.leave(self):
            self._concurrency = None
        if self.sent:
            super().cancel()
            self._release()
        self.body = b""

    def replied(self, status: int, headers: ReplyHeaders, body: bytes) -> None:
        self._release()  # before the client has its answer: its next call may come at once
        super().replied(status, headers, body)

    def reply_ended(self) -> None:
        self._release()
        super().reply_ended()

    def failed(self, failure: Failure) -> None:
        variant, concurrency = self._variant, self._concurrency
        if failure is not Failure.UNREACHABLE or self._answering or concurrency is None:
            super().failed(failure)
            return
        assert variant is not None
        assert variant.turnstile is not None
        variant.turnstile.admission.hold(concurrency, self)
        concurrency.pump()

    # Inside

    def _fail(
        self, response: Response | None, status: int, failure: Failure | None, headers: ReplyHeaders, body: bytes | None
    ) -> None:
        self._release()
        super()._fail(response, status, failure, headers, body)

    def _release(self) -> None:
        concurrency, self._concurrency = self._concurrency, None
        if concurrency is not None:
            concurrency.release(self.slot)

    def _count_seat(self, variant: Variant) -> None:
        """Which calls of a variant with provisioned replicas these served, and which others."""
        assert self._concurrency is not None
        provisioned = self._concurrency.provisioned
        if provisioned:
            if self.slot < provisioned:
                variant.counters.provisioned += 1
            else:
                variant.counters.spilled += 1

    def _unserved(self, response: Response, failure: Failure | None = None) -> None:
        """It never got to a replica; only what a replica should have answered counts."""
        if self.sent:
            self._fail(response, 0, Failure.UNREACHABLE, [], None)
            return
        if failure is not None and self._variant is not None:
            self._variant.counters.failed(0, failure)
        self._refuse(response)


class ServerlessInvocation(Admitted):
    """Of an endpoint one of whose variants is serverless."""

    __slots__ = ("_concurrency", "_target", "slot", "until")


class ObservedServerlessInvocation(Admitted, ObservedInvocation):
    """The same where features watch."""

    __slots__ = ("_concurrency", "_target", "slot", "until")
