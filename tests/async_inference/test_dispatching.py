"""Which variant and which replica takes the next job: never more calls than a replica may have, and exact shares."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mooring.async_inference.dispatching import LEAST_AHEAD, MOST_AHEAD, Dispatcher, Lane, Seat
from mooring.hosting.routes import RouteReplica, RouteVariant

IDS = [f"i-{number}" for number in range(5)]


def variant(name: str, weight: float, *ids: str) -> RouteVariant:
    return RouteVariant(name, weight, tuple(RouteReplica(each, f"/{each}") for each in ids))


@given(weights=st.lists(st.integers(1, 20), min_size=1, max_size=4), jobs=st.integers(1, 300))
def test_shares_are_as_the_weights_say_at_every_moment(weights: list[int], jobs: int) -> None:
    dispatcher = Dispatcher()
    dispatcher.follow([variant(f"v{i}", w, IDS[i]) for i, w in enumerate(weights)], 1)
    drawn: Counter[str] = Counter()
    for number in range(1, jobs + 1):
        lane = dispatcher.draw()
        assert lane is not None
        drawn[lane.name] += 1
        dispatcher.unassign(lane)
        for i, weight in enumerate(weights):
            assert abs(drawn[f"v{i}"] - number * weight / sum(weights)) <= len(weights)


def test_a_variant_that_has_no_room_is_not_overtaken() -> None:
    dispatcher = Dispatcher()
    dispatcher.follow([variant("slow", 1, "i-0"), variant("fast", 1, "i-1")], 1)
    drawn: Counter[str] = Counter()
    while (lane := dispatcher.draw()) is not None:
        drawn[lane.name] += 1
        if lane.name == "fast":
            dispatcher.unassign(lane)  # at once, as if its model took no time
    assert drawn["slow"] == 1 + LEAST_AHEAD, "one with the replica, and some with their input at hand"
    assert drawn["fast"] <= drawn["slow"] + 1


def test_what_waits_for_replicas_is_bounded() -> None:
    dispatcher = Dispatcher()
    dispatcher.follow([variant("v", 1, "i-0", "i-1")], 1000)
    drawn = 0
    while dispatcher.draw() is not None:
        drawn += 1
    assert drawn == 2000 + MOST_AHEAD


def test_nothing_is_drawn_without_a_replica_or_a_weight() -> None:
    dispatcher = Dispatcher()
    dispatcher.follow([variant("none", 1), variant("weightless", 0, "i-0")], 4)
    assert dispatcher.draw() is None
    assert not dispatcher.may_draw()
    assert dispatcher.replicas == 0


class Replicas(RuleBasedStateMachine):
    """Routes come and go while calls are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatcher = Dispatcher()
        self.concurrency = 1
        self.calls: list[tuple[Seat, str]] = []
        self.drawn: list[Lane] = []
        self.routed: set[str] = set()
        self.called: list[Seat] = []

    @initialize(concurrency=st.integers(1, 3))
    def begin(self, concurrency: int) -> None:
        self.concurrency = concurrency

    @rule(ids=st.lists(st.sampled_from(IDS), unique=True), cut=st.integers(0, 5))
    def follow(self, ids: list[str], cut: int) -> None:
        self.routed = set(ids)
        self.dispatcher.follow([variant("a", 1, *ids[:cut]), variant("b", 3, *ids[cut:])], self.concurrency)

    @rule()
    def draw(self) -> None:
        if (lane := self.dispatcher.draw()) is not None:
            self.drawn.append(lane)

    @precondition(lambda self: self.drawn)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from(self.drawn))
        seat = self.dispatcher.take(lane)
        if seat is not None:
            assert seat.replica.id in self.routed, "nothing begins on a replica that no route names"
            self.calls.append((seat, seat.replica.id))

    @rule(replica_id=st.sampled_from(IDS))
    def occupy(self, replica_id: str) -> None:
        if self.dispatcher.busy(replica_id) < self.concurrency:
            seat = self.dispatcher.occupy(replica_id)
            self.dispatcher.end(seat, None)
            self.calls.append((seat, replica_id))

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def call(self, data: st.DataObject) -> None:
        seat, _ = data.draw(st.sampled_from(self.calls))
        if sum(each is seat for each in self.called) < sum(
            each is seat for each, _ in self.calls
        ) and self.dispatcher.begin(seat):
            self.called.append(seat)

    @precondition(lambda self: self.called)
    @rule(data=st.data(), took=st.sampled_from([None, 0.0, 0.01, 5.0]))
    def answer(self, data: st.DataObject, took: float | None) -> None:
        seat = data.draw(st.sampled_from(self.called))
        self.called.remove(seat)
        self.dispatcher.end(seat, took)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.calls))
        self.calls.remove(call)
        seat, replica_id = call
        if seat in self.called:
            self.called.remove(seat)
            self.dispatcher.end(seat, None)
        idle = self.dispatcher.leave(seat)
        assert idle == (replica_id not in self.routed and not self.dispatcher.busy(replica_id))

    @precondition(lambda self: self.drawn)
    @rule()
    def unassign(self) -> None:
        self.dispatcher.unassign(self.drawn.pop())

    @invariant()
    def no_replica_has_too_many(self) -> None:
        counted = Counter(replica_id for _, replica_id in self.calls)
        for replica_id in IDS:
            assert self.dispatcher.busy(replica_id) == counted[replica_id] <= 2 * self.concurrency
        for seat, _ in self.calls:
            assert seat.calling == sum(each is seat for each in self.called) <= self.concurrency
        assert self.dispatcher.assigned == len(self.drawn)


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=60, deadline=None)
