"""A call that has ended holds no body, however it ended: its connection may keep the object for long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from mooring.explainer.frames import Explain, Explained, Unexplained
from mooring.gateway.explained import ExplainedInvocation, ObservedExplainedInvocation
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


class Explainer:
    """Explains nothing until it is told to."""

    refusal = None

    def explains_nothing(self, expression: str | None) -> bool:
        return False

    def explanation(self, caller: Any, inference_id: str) -> Explainer:
        return self

    def begin(self, explain: Explain, head: bytes, replica: Any, *, only: bool) -> None:
        self.explain = explain

    def cancel(self) -> None:
        pass


def answered(call: ExplainedInvocation) -> None:
    call.replied(200, [], b"an answer")


def answered_in_pieces(call: ExplainedInvocation) -> None:
    call.reply_began(200, [], None)
    call.reply_data(b"an answer")
    call.reply_ended()


@pytest.mark.parametrize("kind", [ExplainedInvocation, ObservedExplainedInvocation])
@pytest.mark.parametrize("answer", [answered, answered_in_pieces])
@pytest.mark.parametrize(
    "end",
    [
        lambda call: call.explained(Explained(1, b"{}", 1, [0.0], 1)),
        lambda call: call.unexplained(Unexplained(1, "explainer", 0, "no")),
        lambda call: call.cancel(),
    ],
)
def test_an_explained_call_lets_go_of_what_its_model_answered(
    kind: type[ExplainedInvocation],
    answer: Callable[[ExplainedInvocation], None],
    end: Callable[[ExplainedInvocation], None],
) -> None:
    scene, explainer = Scene(), Explainer()
    scene.pipeline.variants[0].explainer = cast(Any, explainer)
    call = kind(cast(Any, scene.connection), scene.pipeline, b"", b"a body", {}, 0.0)
    call.invoke(None)
    replica: Any = call.replica
    answer(call)
    assert explainer.explain.answer == b"an answer"
    assert (call.body, replica.held) == (b"", 1)
    end(call)
    scene.watching.go()
    assert (call.model_answer, replica.held) == (None, 0)


def test_an_answer_that_breaks_off_is_let_go_of() -> None:
    scene = Scene()
    scene.pipeline.variants[0].explainer = cast(Any, Explainer())
    call = ExplainedInvocation(cast(Any, scene.connection), scene.pipeline, b"", b"a body", {}, 0.0)
    call.invoke(None)
    replica: Any = call.replica
    call.reply_began(200, [], None)
    call.reply_data(b"an ans")
    call.failed(Failure.BROKEN)
    assert (call._gathered, replica.held) == ([], 0)
