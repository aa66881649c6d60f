"""Event streams, held against botocore's own reader."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.wire import event_stream
from tests.wire import botocore_half
from tests.wire.botocore_half import CALM


def read(data: bytes, size: int = 65_536) -> list[dict[str, Any]]:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return list(botocore_half.event_stream(*pieces))


def parts(events: list[dict[str, Any]]) -> list[bytes]:
    return [event["PayloadPart"]["Bytes"] for event in events]


@CALM
@given(st.lists(st.binary(min_size=1)), st.integers(1, 50))
def test_parts_arrive_as_they_were_sent(sent: list[bytes], size: int) -> None:
    assert parts(read(b"".join(map(event_stream.payload_parts, sent)), size)) == sent


@CALM
@given(st.binary(max_size=40), st.integers(1, 9))
@example(b"", 3)
@example(b"x" * 9, 3)
def test_many_bytes_are_several_parts(data: bytes, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_stream, "PART_LIMIT_BYTES", limit)
        found = parts(read(event_stream.payload_parts(data)))
    assert b"".join(found) == data
    assert all(0 < len(part) <= limit for part in found)


def test_a_part_of_many_bytes_is_what_readers_take() -> None:
    data = bytes(range(256)) * 20_000
    found = parts(read(event_stream.payload_parts(data), 1_000_000))
    assert (b"".join(found), len(found)) == (data, 5)


@CALM
@given(st.text(), st.sampled_from(["ModelInvocationTimeExceeded", "StreamBroken"]))
def test_a_failure_is_raised(message: str, code: str) -> None:
    data = event_stream.payload_parts(b"half") + event_stream.failure(
        "ModelStreamError", {"Message": message, "ErrorCode": code}
    )
    events = iter(botocore_half.event_stream(data))
    assert next(events) == {"PayloadPart": {"Bytes": b"half"}}
    with pytest.raises(EventStreamError) as raised:
        next(events)
    shown = message.encode("utf-8", "replace").decode()
    assert raised.value.response["Error"] == {"Code": "ModelStreamError", "Message": shown}


def test_the_headers_of_a_frame() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event_stream.payload_parts(b"x") + event_stream.failure("InternalStreamFailure", {"Message": "m"}))
    part, failure = buffer
    assert part.headers == {
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    assert failure.headers == {
        ":exception-type": "InternalStreamFailure",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    assert failure.payload == b'{"Message":"m"}'
