"""A route compiled: everything about an endpoint that does not depend on the request is decided here, once.

A feature that an endpoint does not use leaves nothing behind in its pipeline: one variant means no draw, one replica no
comparison.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from copy import copy
from functools import partial
from itertools import accumulate
from math import inf
from random import random, randrange

from mooring.explainer.edge.explanation import Explainer
from mooring.gateway.counting import VariantCounters
from mooring.gateway.instruments import Instruments
from mooring.hosting.routes import Route, RouteVariant
from mooring.serverless.admission import Admission
from mooring.serverless.concurrency import Concurrency
from mooring.upstream.observing import Observer
from mooring.upstream.replica import Replica

NOT_IN_SERVICE = frozenset({"Creating", "Failed"})
"""Statuses in which an endpoint without replicas is unknown to invocations, rather than short of instances."""
OUT_OF_SERVICE = "OutOfService"
"""The status of an endpoint that was stopped."""

OBSERVED_BODY_BYTES = 16 * 1024 * 1024
"""What is kept of an answer for who watches it."""

Pick = Callable[[], Replica | None]


class Turnstile:
    """Of a serverless variant: who admits its calls, and where the one that is being sent goes."""

    __slots__ = ("admission", "chosen", "concurrency")

    def __init__(self, admission: Admission, concurrency: Concurrency) -> None:
        self.admission = admission
        self.concurrency = concurrency
        self.chosen: Replica | None = None

    def pick(self) -> Replica | None:
        """The replica of the slot that the call has."""
        return self.chosen


class Variant:
    """One production variant: its replicas, and the head of its successful answers."""

    __slots__ = (
        "answer_head",
        "container",
        "counters",
        "explainer",
        "name",
        "observers",
        "pick",
        "replicas",
        "turnstile",
    )

    def __init__(
        self,
        variant: RouteVariant,
        replicas: tuple[Replica, ...],
        counters: VariantCounters,
        observers: tuple[Observer, ...],
        turnstile: Turnstile | None = None,
        explainer: Explainer | None = None,
    ) -> None:
        self.name = variant.name
        self.counters = counters
        self.observers = observers
        self.container = variant.container
        self.replicas = replicas
        self.turnstile = turnstile
        """Set for a serverless variant."""
        self.explainer = explainer
        """Set for one whose answers are explained."""
        self.pick: Pick = _picker(variant.strategy, replicas) if turnstile is None else turnstile.pick
        self.answer_head = (
            b"HTTP/1.1 200 OK\r\nx-Amzn-Invoked-Production-Variant: %b\r\nx-amzn-RequestId: " % variant.name.encode()
        )

    def picking(self, pick: Pick, replicas: tuple[Replica, ...]) -> Variant:
        """This variant for one call whose replica is not to be chosen as usual."""
        other = copy(self)
        other.pick = pick
        other.replicas = replicas
        return other


class Pipeline:
    """One endpoint, ready to serve."""

    __slots__ = (
        "body_limit",
        "by_name",
        "choose",
        "explained",
        "observed",
        "plain",
        "response_limit",
        "route",
        "serverless",
        "timeout_s",
        "variants",
    )

    def __init__(self, route: Route, replicas: Mapping[str, Replica], instruments: Instruments) -> None:
        self.route = route
        self.body_limit = route.body_limit_bytes
        self.timeout_s = route.invocation_timeout_s
        self.response_limit = float(route.response_limit_bytes or inf)
        self.variants = tuple(_variant(route, each, replicas, instruments) for each in route.variants)
        instruments.counting.follow(route)
        self.observed = any(variant.observers for variant in self.variants)
        """Whether its calls are of the kind that tells of itself."""
        self.serverless = any(variant.turnstile is not None for variant in self.variants)
        """Whether its calls are of the kind that needs a slot."""
        self.explained = any(variant.explainer is not None for variant in self.variants)
        """Whether its calls are of the kind that is explained."""
        self.plain = not self.observed and not self.serverless and not self.explained
        both = list(zip(self.variants, route.variants, strict=True))
        self.choose = _chooser([(variant, v.weight) for variant, v in both])
        self.by_name = {
            name.encode(): _chooser([(variant, v.share) for variant, v in both if v.name == name])
            for name in {v.name for v in route.variants}
        }
        """A draw among those of a name, of which an update has two."""

    def drawn(self, target: bytes | None) -> Variant | None:
        """The variant that a client names, or one that is drawn for a call which names none."""
        choose = self.choose if target is None else self.by_name.get(target)
        return choose() if choose is not None else None

    @property
    def serves(self) -> bool:
        """Whether invocations know this endpoint."""
        return self.route.status not in NOT_IN_SERVICE or any(variant.replicas for variant in self.variants)


def _variant(route: Route, variant: RouteVariant, replicas: Mapping[str, Replica], instruments: Instruments) -> Variant:
    own = tuple(replicas[replica.id] for replica in variant.replicas)
    counters = instruments.counting.of(route.key, variant.name, variant.config)
    observers = instruments.observers(route, variant)
    turnstile, explainer = _turnstile(route, variant, instruments), instruments.explainer(route, variant, own)
    return Variant(variant, own, counters, observers, turnstile, explainer)


def _turnstile(route: Route, variant: RouteVariant, instruments: Instruments) -> Turnstile | None:
    if variant.serverless is None:
        return None
    admission = instruments.admission
    assert admission is not None
    return Turnstile(admission, admission.of(route.key, variant.name, variant.serverless))


def _chooser(weighted: list[tuple[Variant, float]]) -> Callable[[], Variant | None]:
    """An independent draw per request: AWS's split is random, not in turn."""
    weighted = [(variant, weight) for variant, weight in weighted if weight > 0]
    if not weighted:
        return lambda: None
    if len(weighted) == 1:
        only = weighted[0][0]
        return lambda: only
    variants = [variant for variant, _ in weighted]
    return partial(_draw, variants, list(accumulate(weight for _, weight in weighted)))


def _draw(variants: list[Variant], bounds: list[float]) -> Variant:
    # The product can round up to the last bound itself.
    return variants[min(bisect_right(bounds, random() * bounds[-1]), len(variants) - 1)]


def _picker(strategy: str, replicas: tuple[Replica, ...]) -> Pick:
    if len(replicas) < 2:
        only = replicas[0] if replicas else None
        return lambda: only
    return partial(_any if strategy == "RANDOM" else _least_outstanding, replicas)


def _least_outstanding(replicas: tuple[Replica, ...]) -> Replica:
    """The one with the fewest calls; the random start breaks ties."""
    best = None
    start = randrange(len(replicas))
    for index in range(start - len(replicas), start):
        replica = replicas[index]
        if not replica.ejected and (best is None or replica.outstanding < best.outstanding):
            best = replica
    return best or failed_longest_ago(replicas)


def _any(replicas: tuple[Replica, ...]) -> Replica:
    replica = replicas[randrange(len(replicas))]
    if not replica.ejected:
        return replica
    healthy = [replica for replica in replicas if not replica.ejected]
    return healthy[randrange(len(healthy))] if healthy else failed_longest_ago(replicas)


def failed_longest_ago(replicas: tuple[Replica, ...]) -> Replica:
    """The best guess when every replica has refused a connection lately."""
    return min(replicas, key=lambda replica: replica.failed_at)
