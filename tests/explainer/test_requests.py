"""The synthetic requests of a call, against containers that refuse as they like."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mooring.explainer.faults import Unexplainable
from mooring.explainer.frames import Predict, Predicted
from mooring.explainer.work.batching import Batching
from mooring.explainer.work.requests import BYTES, DEPTH, DEPTH_MOST, PATIENCE, Caps, Refused, Requests, cut, size_of

CAP = 1 << 20


def test_the_size_of_a_body_is_known() -> None:
    for rows in ([b"a"], [b"", b""], [b"ab", b"c", b"", b"defg"]):
        assert size_of(rows) == len(b"\n".join(rows))


def test_a_row_above_the_cap_is_named() -> None:
    with pytest.raises(Unexplainable, match=r"5 bytes long, and MaxPayloadInMB allows 4: 'abcde'"):
        cut(deque([b"abcde", b"x"]), 10, 4)
    rows = deque([b"abcd", b"ab", b"c", b"d"])
    assert [cut(rows, 10, 4), cut(rows, 10, 4), cut(rows, 10, 4)] == [[b"abcd"], [b"ab", b"c"], [b"d"]]


def test_bodies_under_way_are_bounded() -> None:
    unsent = deque(b"x" * 6_000_000 for _ in range(50))
    batching = Batching()
    for _ in range(100):
        batching.answered(1, 0.0001)
    requests = Requests(1, batching, Caps(None, 8_000_000), 1000, unsent)
    under_way = 0
    while requests.have_room(0.0):
        assert requests.next() is not None
        under_way += 6_000_000
    assert BYTES <= under_way < BYTES + 6_000_000


@pytest.mark.parametrize(("seconds", "depth"), [(0.0001, DEPTH_MOST), (0.015, 10), (2.0, DEPTH)])
def test_the_first_request_of_a_model_is_alone(seconds: float, depth: int) -> None:
    """After that there are as many under way as take the replicas a moment."""
    unsent = deque(b"%d" % i for i in range(100_000))
    requests = Requests(1, Batching(), Caps(1, CAP), 4, unsent)
    under_way: deque[int] = deque()
    for most in range(1, 200):
        while requests.have_room(0.0):
            predict = requests.next()
            assert predict is not None
            under_way.append(predict.number)
        assert len(under_way) == min(most, 4 * depth)
        chunk = requests.taken(under_way.popleft())
        assert chunk is not None
        requests.answered(chunk, seconds)


class Calls(RuleBasedStateMachine):
    """Some calls of one model. Its container answers, refuses and is busy in any order."""

    @initialize(
        record_caps=st.lists(st.none() | st.integers(1, 100), min_size=1, max_size=3),
        byte_cap=st.integers(20, 400),
        width=st.integers(1, 3),
    )
    def begin(self, record_caps: list[int | None], byte_cap: int, width: int) -> None:
        self.now = 0.0
        self.batching = Batching()
        self.byte_cap = byte_cap
        self.width = width
        self.caps = record_caps
        self.unsent: list[deque[bytes]] = [deque() for _ in record_caps]
        self.requests = [
            Requests(call, self.batching, Caps(cap, byte_cap), width, self.unsent[call])
            for call, cap in enumerate(record_caps)
        ]
        self.made = [0] * len(record_caps)
        self.done: list[dict[int, bytes]] = [{} for _ in record_caps]
        self.failed: set[int] = set()
        self.under_way: list[Predict] = []
        self.was_alone = False
        self.in_vain = [0] * len(record_caps)
        self.last_number = [0] * len(record_caps)
        self.busy_until = [0] * len(record_caps)

    @rule(call=st.integers(0, 2), rows=st.integers(1, 150))
    def fill(self, call: int, rows: int) -> None:
        call %= len(self.requests)
        for _ in range(rows):
            self.unsent[call].append(b"%d:%d" % (call, self.made[call]))
            self.made[call] += 1

    @rule(call=st.integers(0, 2))
    def ask(self, call: int) -> None:
        call %= len(self.requests)
        if call in self.failed or not self.requests[call].have_room(self.now):
            return
        predict = self.requests[call].next()
        if predict is not None:
            rows = predict.body.split(b"\n")
            assert predict.records == len(rows) <= (self.caps[call] or 10_000)
            assert len(set(rows)) == len(rows) or (len(rows) == 2 and self.was_alone)
            assert len(predict.body) <= self.byte_cap
            self.under_way.append(predict)
            self.last_number[call] = predict.number

    def _end(self, pick: int, status: int) -> None:
        predict = self.under_way.pop(pick % len(self.under_way))
        call, requests = predict.call, self.requests[predict.call]
        chunk = requests.taken(predict.number)
        assert chunk is not None
        assert requests.taken(predict.number) is None
        assert b"\n".join(chunk.sent) == predict.body
        assert chunk.sent in (chunk.rows, chunk.rows * 2)
        if status == 200:
            self.in_vain[call] = 0
            requests.answered(chunk, 0.001 + 0.0001 * len(chunk.rows))
            for i, row in enumerate(chunk.rows):
                assert self.done[call].setdefault(chunk.first + i, row) is row
            return
        if status in (0, 429, 503) and (not self.in_vain[call] or predict.number > self.busy_until[call]):
            self.in_vain[call] += 1
            self.busy_until[call] = self.last_number[call]
        self.was_alone |= len(chunk.sent) == 1
        try:
            requests.refused(chunk, Predicted(call, predict.number, status, "", b"no", 0.001), self.now)
        except Refused as refused:
            assert refused.predicted.status == status or len(chunk.sent) == 2
            assert len(chunk.rows) == 1 or self.in_vain[call] > PATIENCE
            self.failed.add(call)
        else:
            assert len(chunk.sent) == 1 or len(chunk.rows) > 1 or status in (0, 429, 503)
            assert self.in_vain[call] <= PATIENCE

    @precondition(lambda self: self.under_way)
    @rule(pick=st.integers(0, 20), status=st.sampled_from([200, 200, 200, 400, 500, 413, 429, 503, 0]))
    def end(self, pick: int, status: int) -> None:
        self._end(pick, status)

    @rule(seconds=st.floats(0, 2))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def few_are_under_way(self) -> None:
        for call in range(len(getattr(self, "requests", []))):
            assert sum(predict.call == call for predict in self.under_way) <= DEPTH_MOST * self.width

    def teardown(self) -> None:
        """A container that has come to itself predicts all that is missing, each row once, under its own number."""
        if not hasattr(self, "requests"):
            return
        for _ in range(100_000):
            self.now += 1.0
            for call in range(len(self.requests)):
                self.ask(call)
            if not self.under_way:
                break
            self._end(0, 200)
        for call, done in enumerate(self.done):
            if call not in self.failed:
                assert done == {i: b"%d:%d" % (call, i) for i in range(self.made[call])}


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


def test_a_busy_container_is_not_asked_in_more_requests() -> None:
    requests = Requests(1, Batching(), Caps(None, 1 << 20), 1, deque(b"%d" % row for row in range(64)))
    first = requests.next()
    assert first is not None
    now = 0.0
    predict = first
    sizes = []
    for _ in range(6):
        chunk = requests.taken(predict.number)
        assert chunk is not None
        requests.refused(chunk, Predicted(1, predict.number, 503, "text/csv", b"busy", 0.01), now)
        now = requests.not_before
        again = requests.next()
        assert again is not None
        predict = again
        sizes.append(predict.records)
    assert sizes == [first.records] * 4 + [first.records // 2, first.records // 4]


@pytest.mark.parametrize("status", [503, 0])
def test_all_that_was_under_way_when_a_container_became_busy_counts_once(status: int) -> None:
    batching = Batching()
    for _ in range(100):
        batching.answered(1, 0.0001)
    requests = Requests(1, batching, Caps(1, CAP), 1, deque(b"%d" % row for row in range(64)))
    under_way = []
    while requests.have_room(0.0):
        predict = requests.next()
        assert predict is not None
        under_way.append(predict)
    assert len(under_way) > PATIENCE
    for predict in under_way:
        chunk = requests.taken(predict.number)
        assert chunk is not None
        requests.refused(chunk, Predicted(1, predict.number, status, "", b"busy", 0.01), 0.0)
    rows = []
    for _ in range(64):
        assert requests.have_room(requests.not_before)
        predict = requests.next()
        assert predict is not None
        chunk = requests.taken(predict.number)
        assert chunk is not None
        requests.answered(chunk, 0.001)
        rows += chunk.rows
    assert sorted(map(int, rows)) == [*range(64)]
