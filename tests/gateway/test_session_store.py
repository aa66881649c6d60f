"""The bindings of sessions, as several gateways share them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mooring.gateway import session_store
from mooring.gateway.session_store import Session, SessionStore, Taken

ENDPOINT, OTHER = "123456789012/us-east-1/ep", "123456789012/us-east-1/other"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def session(name: str = "s1", replica: str = "r1", expires: float = 1_000_100.0) -> Session:
    return Session(name, "a", replica, expires)


def lives(_: str) -> bool:
    return True


def test_what_one_gateway_opens_another_finds(tmp_path: Path, clock: Clock) -> None:
    one, other = (SessionStore(tmp_path, 10, clock) for _ in range(2))
    assert other.find(ENDPOINT, "s1") is None
    one.open(ENDPOINT, session(), lives)
    assert [store.find(ENDPOINT, "s1") for store in (one, other, other)] == [session()] * 3
    assert other.find(OTHER, "s1") is None, "a session is one endpoint's"
    one.close(ENDPOINT, "s1")
    assert [store.find(ENDPOINT, "s1") for store in (one, other)] == [None, None]


def test_a_session_expires(tmp_path: Path, clock: Clock) -> None:
    store = SessionStore(tmp_path, 10, clock)
    store.open(ENDPOINT, session(), lives)
    assert store.find(ENDPOINT, "s1") is not None
    clock.now = 1_000_100.0
    assert store.find(ENDPOINT, "s1") is None
    store.open(ENDPOINT, session(replica="r2", expires=1_000_200.0), lives)
    assert store.find(ENDPOINT, "s1") == session(replica="r2", expires=1_000_200.0)


def test_a_replica_cannot_take_the_session_of_another(tmp_path: Path, clock: Clock) -> None:
    store = SessionStore(tmp_path, 10, clock)
    store.open(ENDPOINT, session(), lives)
    with pytest.raises(Taken):
        store.open(ENDPOINT, session(replica="r2"), lives)
    assert store.find(ENDPOINT, "s1") == session()
    store.open(ENDPOINT, session(expires=1_000_500.0), lives)
    assert store.find(ENDPOINT, "s1") == session(expires=1_000_500.0), "its own it may open anew"
    store.open(ENDPOINT, session(replica="r2"), lambda _: False)
    assert store.find(ENDPOINT, "s1") == session(replica="r2"), "that of a dead one is free"


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/", "a/b", "\0", "x" * 10_000, "\udcff", ""])
def test_an_id_is_no_path(tmp_path: Path, clock: Clock, name: str) -> None:
    store = SessionStore(tmp_path / "sessions", 10, clock)
    store.open(ENDPOINT, session(name), lives)
    assert store.find(ENDPOINT, name) == session(name)
    assert [path.name for path in tmp_path.iterdir()] == ["sessions"]


def test_a_file_that_somebody_else_wrote(tmp_path: Path, clock: Clock) -> None:
    store = SessionStore(tmp_path, 10, clock)
    store.open(ENDPOINT, session(), lives)
    (path,) = tmp_path.glob("*/*")
    for content in (b"", b"[]", b"{}", b'{"id": "s1"}', b'{"id":"s1","variant":"a","replica":"r","expires":"x"}'):
        path.write_bytes(content)
        os.utime(path, ns=(0, len(content)))
        assert store.find(ENDPOINT, "s1") is None
    path.write_bytes(b'{"id":"another","variant":"a","replica":"r1","expires":2000000}')
    assert store.find(ENDPOINT, "s1") is None, "names are hashes; the id is in the file"
    store.open(ENDPOINT, session(), lives)
    assert store.find(ENDPOINT, "s1") == session()


def test_the_number_of_sessions_is_bounded(tmp_path: Path, clock: Clock) -> None:
    store = SessionStore(tmp_path, 3, clock)
    for number in range(3):
        assert not store.full(ENDPOINT)
        store.open(ENDPOINT, session(f"s{number}"), lives)
    assert store.full(ENDPOINT)
    assert not store.full(OTHER)
    assert SessionStore(tmp_path, 3, clock).full(ENDPOINT), "a gateway that has just begun counts the others' too"
    assert not SessionStore(tmp_path, 0, clock).full(ENDPOINT), "0 is no limit"


def test_what_a_gateway_remembers_is_bounded(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_store, "MOST_REMEMBERED", 4)
    store = SessionStore(tmp_path, 0, clock)
    for number in range(20):
        store.open(ENDPOINT, session(f"s{number}"), lives)
        assert store.find(ENDPOINT, f"s{number}") is not None
    assert len(store._read) <= 4


def test_a_full_disk_opens_no_session(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    store = SessionStore(tmp_path, 10, clock)
    store.open(ENDPOINT, session("before"), lives)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            store.open(ENDPOINT, session(), lives)
    assert store.find(ENDPOINT, "s1") is None
    assert len(list(tmp_path.glob("*/*"))) == 1, "nothing half-written stays"


class TestSweep:
    def test_expired_sessions_go(self, tmp_path: Path, clock: Clock) -> None:
        store = SessionStore(tmp_path, 10, clock)
        store.open(ENDPOINT, session("old"), lives)
        store.open(ENDPOINT, session("new", expires=1_000_200.0), lives)
        store.open(OTHER, session("old"), lives)
        clock.now = 1_000_150.0
        store.sweep({"r1"})
        assert store.find(ENDPOINT, "new") is not None
        assert len(list(tmp_path.glob("*/*"))) == 1
        assert len(list(tmp_path.iterdir())) == 1, "nor stays the directory of an endpoint without any"

    def test_those_of_a_lost_replica_stay_a_while(self, tmp_path: Path, clock: Clock) -> None:
        store = SessionStore(tmp_path, 10, clock)
        store.open(ENDPOINT, session(expires=2e9), lives)
        store.sweep(set())
        clock.now += session_store.KEEP_ORPHANS_S - 1
        store.sweep({"r1"})  # it was back in between
        clock.now += 2
        store.sweep(set())
        assert store.find(ENDPOINT, "s1") is not None
        clock.now += session_store.KEEP_ORPHANS_S + 1
        store.sweep(set())
        assert store.find(ENDPOINT, "s1") is None

    def test_what_a_killed_gateway_left_goes(self, tmp_path: Path, clock: Clock) -> None:
        store = SessionStore(tmp_path, 10, clock)
        store.open(ENDPOINT, session(), lives)
        (path,) = tmp_path.glob("*/*")
        left = path.with_name(f".{path.name}.1.1.tmp")
        left.write_bytes(b"{")
        os.utime(left, (clock.now - 10, clock.now - 10))
        store.sweep({"r1"})
        assert left.exists(), "it may still be written"
        clock.now += session_store.ABANDONED_S
        store.sweep({"r1"})
        assert not left.exists()
        assert store.find(ENDPOINT, "s1") is not None


class TwoGateways(RuleBasedStateMachine):
    """Whoever opens, closes and asks: both gateways agree with a plain dictionary."""

    names = st.sampled_from(["s1", "s2"])
    replicas = st.sampled_from(["r1", "r2"])
    both = st.sampled_from([0, 1])

    @initialize()
    def begin(self) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.stores = [SessionStore(Path(self.temporary.name), 0, self.clock) for _ in range(2)]
        self.model: dict[str, Session] = {}

    def open_now(self, name: str) -> Session | None:
        held = self.model.get(name)
        return held if held is not None and self.clock.now < held.expires else None

    @rule(store=both, name=names, replica=replicas, lasts=st.integers(1, 3))
    def opens(self, store: int, name: str, replica: str, lasts: int) -> None:
        wanted = session(name, replica, self.clock.now + lasts)
        held = self.open_now(name)
        try:
            self.stores[store].open(ENDPOINT, wanted, lives)
            assert held is None or held.replica == replica
            self.model[name] = wanted
        except Taken:
            assert held is not None
            assert held.replica != replica

    @rule(store=both, name=names)
    def closes(self, store: int, name: str) -> None:
        self.stores[store].close(ENDPOINT, name)
        self.model.pop(name, None)

    @rule(store=both, name=names)
    def asks(self, store: int, name: str) -> None:
        assert self.stores[store].find(ENDPOINT, name) == self.open_now(name)

    @rule(passed=st.integers(1, 2))
    def time_passes(self, passed: int) -> None:
        self.clock.now += passed

    @rule(store=both)
    def sweeps(self, store: int) -> None:
        self.stores[store].sweep({"r1", "r2"})

    def teardown(self) -> None:
        if hasattr(self, "temporary"):
            self.temporary.cleanup()


TestTwoGateways = TwoGateways.TestCase
TestTwoGateways.settings = settings(derandomize=True, max_examples=60, stateful_step_count=30, deadline=None)


def test_asking_again_reads_nothing(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SessionStore(tmp_path, 10, clock)
    store.open(ENDPOINT, session(), lives)
    assert store.find(ENDPOINT, "s1") is not None
    monkeypatch.setattr(session_store, "read_small", lambda *_: pytest.fail("it was read"))
    assert store.find(ENDPOINT, "s1") == session()
