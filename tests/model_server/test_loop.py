"""The event loop, its streams, the frames on them, and the two threads that turn it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring_model_server import leading
from mooring_model_server.channel import LENGTHS, LONGEST_HEAD, Frames, frame
from mooring_model_server.leading import Lead
from mooring_model_server.loop import Loop
from mooring_model_server.output import Output
from mooring_model_server.streams import Stream
from tests.model_server.serving import until

SETTLED_S = 0.05
"""Ten of the standby's looks."""


class Kept:
    """A stream's receiver that keeps what it hears."""

    def __init__(self) -> None:
        self.data = b""
        self.ends = 0
        self.resumed = 0

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self) -> None:
        self.ends += 1

    def writing_resumed(self) -> None:
        self.resumed += 1


@pytest.fixture
def pair() -> Iterator[tuple[Loop, Stream, Kept, socket.socket]]:
    """A stream in a loop, and the other end of its connection."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    kept = Kept()
    with contextlib.closing(Loop()) as loop, theirs:
        stream = Stream(loop, ours, kept, Output())
        yield loop, stream, kept, theirs
        stream.abort()


@pytest.fixture
def loop() -> Iterator[Loop]:
    with contextlib.closing(Loop()) as loop:
        yield loop


Pair = tuple[Loop, Stream, Kept, socket.socket]


def turn_until(loop: Loop, condition: object) -> None:
    for _ in range(10_000):
        if condition():  # type: ignore[operator]
            return
        loop.later(0.001, lambda: None)  # no turn waits for long
        loop.turn()
    raise AssertionError("it did not come")


def test_timers_fire_in_order_and_once(loop: Loop) -> None:
    seen: list[object] = []
    for delay in (0.02, 0.0, 0.01, 0.0):
        loop.later(delay, lambda delay=delay: seen.append(delay))
    turn_until(loop, lambda: len(seen) == 4)
    loop.later(0, lambda: seen.append("more"))
    turn_until(loop, lambda: "more" in seen)
    assert seen == [0.0, 0.0, 0.01, 0.02, "more"]


def test_what_is_told_is_heard_though_nobody_turned_the_loop_yet() -> None:
    heard: list[bytes] = []
    with contextlib.closing(Loop(heard.append)) as loop:
        loop.tell(b"a")
        loop.tell(b"b")
        loop.turn()
    assert heard == [b"ab"]


def test_telling_a_loop_that_nobody_turns_never_blocks(loop: Loop) -> None:
    for _ in range(5000):
        loop.tell(b"x" * 1000)
    loop.turn()


def test_more_than_a_peer_takes_is_sent_as_it_takes_it_and_meanwhile_nothing_is_read(pair: Pair) -> None:
    loop, stream, kept, theirs = pair
    sent = bytes(range(256)) * 20_000
    stream.write(sent[:3_000_000])
    stream.write(sent[3_000_000:])
    assert stream.congested
    theirs.sendall(b"asked meanwhile")
    got = bytearray()
    while len(got) < len(sent):
        assert not kept.data
        got += theirs.recv(1 << 20)
        loop.turn()
    assert bytes(got) == sent
    turn_until(loop, lambda: kept.data)
    assert (kept.data, kept.resumed, kept.ends) == (b"asked meanwhile", 1, 0)


def test_what_was_written_before_a_close_arrives(pair: Pair) -> None:
    loop, stream, kept, theirs = pair
    stream.write(b"x" * 3_000_000)
    stream.close()
    stream.write(b"too late")
    got = 0
    while data := theirs.recv(1 << 20):
        got += len(data)
        if not kept.ends:
            loop.turn()
    assert (got, kept.ends, stream.descriptor) == (3_000_000, 1, -1)


@pytest.mark.parametrize("when", ["while reading", "while sending"])
def test_the_end_of_a_peer_is_told_once(pair: Pair, when: str) -> None:
    loop, stream, kept, theirs = pair
    if when == "while sending":
        stream.write(b"x" * 3_000_000)
    theirs.close()
    turn_until(loop, lambda: kept.ends)
    stream.write(b"nobody reads this")
    stream.close()
    stream.abort()
    assert kept.ends == 1


def test_a_paused_stream_reads_when_it_is_resumed(pair: Pair) -> None:
    loop, stream, kept, theirs = pair
    stream.pause_reading()
    theirs.sendall(b"later")
    for _ in range(3):
        loop.later(0, lambda: None)
        loop.turn()
    assert kept.data == b""
    stream.resume_reading()
    turn_until(loop, lambda: kept.data == b"later")


def test_an_error_of_the_receiver_ends_its_stream_and_not_the_loop(pair: Pair) -> None:
    loop, stream, _, theirs = pair
    stream._receiver = broken = Broken()
    theirs.sendall(b"x")
    turn_until(loop, lambda: broken.ends)
    assert stream.closing
    assert theirs.recv(1) == b""


class Broken(Kept):
    def data_received(self, data: bytes) -> None:
        raise RuntimeError(f"cannot take {data!r}")


heads = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)


@given(frames=st.lists(st.tuples(heads, st.binary(max_size=30)), max_size=4), size=st.integers(1, 40))
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    frames: list[tuple[dict[str, str], bytes]], size: int
) -> None:
    reader = Frames()
    seen = []
    for head, body in frames:  # in turn: the next one comes when this one was taken
        data = frame(head, body)
        parts = [reader.feed(data[at : at + size]) for at in range(0, len(data), size)]
        seen += [part for part in parts if part is not None]
    assert seen == frames


@pytest.mark.parametrize(
    "data",
    [
        frame({}, b"a") + frame({}, b"b"),
        LENGTHS.pack(LONGEST_HEAD + 1, 0),
        LENGTHS.pack(3, 0) + b"{]}",
        LENGTHS.pack(2, 0) + b"\xff\xfe",
    ],
)
def test_what_is_not_a_frame_in_turn_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Frames().feed(data)


def test_a_frame_of_a_hostile_length_is_waited_for_without_taking_its_memory() -> None:
    reader = Frames()
    assert reader.feed(LENGTHS.pack(2, 2**60) + json.dumps({}).encode()) is None
    assert reader.feed(b"x" * 1000) is None


class Led:
    """A loop that the test's thread leads, and who turned it when it heard something."""

    def __init__(self) -> None:
        self.turned_by: list[str] = []
        self.loop = Loop(self._heard)
        self.lead = Lead(self.loop, Output())

    def _heard(self, said: bytes) -> None:
        if b"!" in said:
            self.turned_by.append(threading.current_thread().name)

    def who(self) -> str:
        return str(until(lambda: self.turned_by and self.turned_by.pop(), "it was heard"))


@pytest.fixture
def led() -> Iterator[Led]:
    led = Led()
    with contextlib.closing(led.loop), led.lead:
        yield led


def test_the_standby_turns_the_loop_only_during_a_call(led: Led) -> None:
    for _ in range(5):
        led.loop.tell(b"!")
        threading.Event().wait(SETTLED_S)
        assert not led.turned_by
        led.loop.turn()
        assert led.turned_by.pop() == threading.current_thread().name
        led.lead.let_go()
        led.loop.tell(b"!")
        assert led.who() == "standby"
        led.loop.tell(b"!")
        assert led.who() == "standby"
        led.lead.take()


def test_a_standby_that_sleeps_is_woken_by_the_next_call(led: Led) -> None:
    for _ in range(20):
        until(lambda: not led.lead._awake.is_set(), "it sleeps")
        led.lead.let_go()
        led.loop.tell(b"!")
        assert led.who() == "standby"
        led.lead.take()


def test_two_threads_never_turn_the_loop_at_once(monkeypatch: pytest.MonkeyPatch, led: Led) -> None:
    monkeypatch.setattr(leading, "LOOK_S", 0.0)
    turn, inside, overlaps, turned_by = Loop.turn, threading.Lock(), [], set()

    def watched(loop: Loop) -> None:
        alone = inside.acquire(blocking=False)
        overlaps.extend([] if alone else [loop.turns])
        turned_by.add(threading.current_thread().name)
        turn(loop)
        if alone:
            inside.release()

    monkeypatch.setattr(Loop, "turn", watched)
    for _ in range(3000):
        led.loop.tell()
        led.loop.turn()
        led.lead.let_go()
        time.sleep(0)
        led.lead.take()
    assert not overlaps
    assert len(turned_by) == 2


def test_a_lead_ends_whoever_has_it(led: Led) -> None:
    led.lead.let_go()
    led.loop.tell(b"!")
    assert led.who() == "standby"
