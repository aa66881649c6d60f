"""A call that has ended holds no body, however it ended: its connection may keep the object for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from mooring.gateway.invocation import Invocation
from mooring.gateway.observed import ObservedInvocation
from mooring.upstream.call import Failure
from tests.gateway.test_watched import Scene


def whole(call: Invocation) -> None:
    call.replied(200, [], b"ok")


def in_pieces(call: Invocation) -> None:
    call.reply_began(200, [], None)
    call.reply_data(b"ok")
    call.reply_ended()


def broken_off(call: Invocation) -> None:
    call.reply_began(200, [], None)
    call.failed(Failure.BROKEN)


def long_error(call: Invocation) -> None:
    call.reply_began(500, [], None)


def no_answer(call: Invocation) -> None:
    call.failed(Failure.TIMED_OUT)


def left(call: Invocation) -> None:
    call.reply_began(200, [], None)
    call.reply_data(b"ok")
    call.cancel()


@pytest.mark.parametrize("kind", [Invocation, ObservedInvocation])
@pytest.mark.parametrize("end", [whole, in_pieces, broken_off, long_error, no_answer, left])
def test_an_end_lets_go_of_the_body(kind: type[Invocation], end: Callable[[Invocation], None]) -> None:
    scene = Scene()
    call = kind(cast(Any, scene.connection), scene.pipeline, b"", b"a body", {}, 0.0)
    call.invoke(None)
    assert call.body == b"a body"
    end(call)
    scene.watching.go()
    assert call.body == b""
    assert not getattr(call, "_kept", None)


def test_a_call_that_is_refused_lets_go_too() -> None:
    scene = Scene()
    call = Invocation(cast(Any, scene.connection), scene.pipeline, b"", b"a body", {}, 0.0)
    call.invoke(b"nobody")
    assert scene.connection.said == ["respond 400"]
    assert call.body == b""


@pytest.mark.parametrize("kind", [Invocation, ObservedInvocation])
def test_an_answer_that_is_too_long_at_its_last_piece_has_failed_only(kind: type[Invocation]) -> None:
    scene = Scene()
    scene.pipeline.response_limit = 10.0
    call = kind(cast(Any, scene.connection), scene.pipeline, b"", b"a body", {}, 0.0)
    call.invoke(None)
    call.reply_began(200, [], None)
    call.reply_data(b"x" * 10)
    call.reply_data(b"x")  # what completes it; the replica's connection has let go of the call by now
    call.reply_ended()
    assert scene.connection.said[-1] == "break off TOO_LONG"
    counters = scene.pipeline.variants[0].counters
    assert counters.invocations == 1
