"""No reply is found in bytes that a strict reading finds none in; after a doubtful one its connection is not kept."""

from __future__ import annotations

from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from mooring.http1.ticking import Ticker
from mooring.upstream.connection import ReplicaConnection
from tests.http1 import reference
from tests.http1.oddities import messages, pieces
from tests.http1.test_parsing import Recorder
from tests.upstream.scene import Recorded

STATUSES = st.sampled_from(
    [b"200 OK", b"200 OK", b"200 OK", b"500 Oh", b"100 Continue", b"201", b"2000 X", b"-20 X", b"20 X"]
)


class Pool:
    """What a connection tells its replica."""

    id = "r"
    may_retry = True
    stream_within_s = 480.0

    def __init__(self) -> None:
        self.ticker = Ticker()
        self.kept = False
        self.released = 0

    def free(self, _connection: ReplicaConnection, _call: Recorded) -> None:
        self.kept = True
        self.released += 1

    def release(self, _call: Recorded) -> None:
        self.released += 1

    def lost(self, _connection: ReplicaConnection) -> None:
        self.kept = False


class Whole(Recorded):
    """Keeps the reply's body, however it comes."""

    __slots__ = ("body_seen", "ended", "status")

    def __init__(self) -> None:
        super().__init__()
        self.body_seen = b""
        self.ended = False
        self.status = 0

    def replied(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.reply_began(status, headers, len(body))
        self.reply_data(body)
        self.reply_ended()

    def reply_began(self, status: int, headers: list[tuple[bytes, bytes]], length: int | None) -> None:
        super().reply_began(status, headers, length)
        self.status = status

    def reply_data(self, data: bytes) -> None:
        super().reply_data(data)
        self.body_seen += data

    def reply_ended(self) -> None:
        super().reply_ended()
        self.ended = True


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    starts = draw(st.lists(STATUSES, min_size=1, max_size=2))
    return b"".join(draw(messages(b"HTTP/1.1 " + start)) for start in starts)


@settings(max_examples=800)
@given(replies(), st.lists(st.integers(0, 1000), max_size=4), st.booleans())
def test_what_is_relayed_is_what_a_strict_reading_finds(sent: bytes, places: list[int], as_it_comes: bool) -> None:
    pool: Any = Pool()
    connection, call, transport = ReplicaConnection(pool), Whole(), Wire()
    call.as_it_comes = as_it_comes
    connection.connection_made(transport)  # type: ignore[arg-type]
    connection.start(call)
    for piece in pieces(sent, places):
        if not transport.closed:
            connection.data_received(piece)
    kept_at_end = pool.kept and not transport.closed
    if not transport.closed:
        connection.connection_lost(None)
    assert pool.released == 1, "counted as outstanding until its end, and once"
    assert call.done.is_set()
    if not call.ended:
        event("refused")
        return
    event("relayed")
    strict, end = reference.first_response(sent)
    assert (b"%d" % call.status, call.body_seen) == (strict.start, strict.body), sent
    if kept_at_end:
        # The parser passes over empty lines between two messages.
        assert not sent[end:].strip(b"\r\n"), "what follows would be taken for the next reply"
        assert not strict.ends_with_connection


class Wire(Recorder):
    """As uvloop's, with what a connection asks of it."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed
