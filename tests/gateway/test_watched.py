"""Streams and sessions of an endpoint whose calls are watched: what completes an answer waits for who watches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from mooring.gateway.headers import STREAM
from mooring.gateway.instruments import Instruments
from mooring.gateway.observed import ObservedInvocation
from mooring.gateway.pipeline import Pipeline
from mooring.gateway.session_store import SessionStore
from mooring.gateway.sessions import InSession, Sessions
from mooring.gateway.streaming import EventStream
from mooring.hosting.routes import Route, RouteReplica, RouteVariant
from mooring.http1.listening import Limits, Listening
from mooring.http1.messages import Response
from mooring.http1.ticking import Ticker
from mooring.upstream.call import Call, Failure
from mooring.upstream.observing import Answer, Asked, Failed, Observer
from tests.gateway.running import route
from tests.wire.botocore_half import event_stream


class Connection:
    """The client's connection, as far as an invocation knows it."""

    relayed = STREAM.relayed

    def __init__(self) -> None:
        self.listening = Listening(Limits(), Ticker())
        self.said: list[str] = []
        self.body = b""

    def respond(self, status: int, *_: object) -> None:
        self.said.append(f"respond {status}")

    def send(self, _head: bytes, body: bytes) -> None:
        self.said.append("send")
        self.body += body

    def begin(self, _head: bytes, length: int | None) -> None:
        self.said.append(f"begin {length}")

    def write(self, data: bytes) -> None:
        self.said.append("write")
        self.body += data

    def end(self) -> None:
        self.said.append("end")

    def end_with(self, error: str) -> None:
        self.said.append(f"end with {error}")

    def break_off(self, why: Failure) -> None:
        self.said.append(f"break off {why.name}")


class Pool:
    """A replica that takes a call and leaves the answer to the test."""

    id = "r1"
    ejected = False
    held = 0

    def begin(self, call: Call) -> None:
        call.replica = cast(Any, self)

    def release(self, call: Call) -> None:
        call.replica = None

    def hold(self) -> None:
        self.held += 1

    def let_go(self) -> None:
        self.held -= 1


class Watching:
    """A feature that watches every call and lets go when the test says so."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.go: Callable[[], None] = lambda: None

    def observer(self, _route: Route, _variant: RouteVariant) -> Observer:
        return self

    def forget(self, _key: str) -> None: ...

    def began(self, asked: Asked) -> Watching:
        self.told.append(asked.operation)
        return self

    def answered(self, answer: Answer, go: Callable[[], None]) -> None:
        self.told.append(answer.body)
        self.go = go

    def failed(self, failed: Failed) -> None:
        self.told.append(failed.reason)

    def abandoned(self) -> None:
        self.told.append("abandoned")


class Scene:
    def __init__(self) -> None:
        self.watching, self.connection = Watching(), Connection()
        self.pipeline = Pipeline(
            route(RouteReplica("r1", "nowhere")), {"r1": cast(Any, Pool())}, Instruments(features=(self.watching,))
        )

    def stream(self) -> ObservedInvocation:
        client = EventStream(cast(Any, self.connection))
        call = ObservedInvocation(client, self.pipeline, b"", b"{}", {}, 0.0, STREAM.operation)
        call.as_it_comes = True
        call.invoke(None)
        assert self.watching.told == ["InvokeEndpointWithResponseStream"]
        return call

    def parts(self) -> list[bytes]:
        return [event["PayloadPart"]["Bytes"] for event in event_stream(self.connection.body)]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_stream_is_not_held_up_and_its_end_is(scene: Scene) -> None:
    call = scene.stream()
    call.reply_began(200, [], None)
    for part in (b"to", b"ken"):
        call.reply_data(part)
        assert scene.parts()[-1] == part, "each part goes out as it comes"
    call.reply_ended()
    assert scene.watching.told[1:] == [b"token"], "who watches gets what the replica said, not frames"
    assert scene.connection.said == ["begin None", "write", "write"]
    scene.watching.go()
    assert scene.connection.said[3:] == ["end"]


def test_an_answer_that_is_whole_at_once(scene: Scene) -> None:
    call = scene.stream()
    call.replied(200, [], b"token")
    assert (scene.watching.told[1:], scene.connection.said) == ([b"token"], [])
    scene.watching.go()
    assert (scene.parts(), scene.connection.said) == ([b"token"], ["begin None", "write", "end"])


def test_a_stream_that_breaks_off_has_failed(scene: Scene) -> None:
    call = scene.stream()
    call.reply_began(200, [], None)
    call.reply_data(b"to")
    call.failed(Failure.TIMED_OUT)
    assert scene.watching.told[1:] == [Failure.TIMED_OUT.value]
    assert scene.connection.said == ["begin None", "write", "write", "end with ModelStreamError"]


def test_a_client_that_leaves(scene: Scene) -> None:
    call = scene.stream()
    call.reply_began(200, [], None)
    call.cancel()
    assert scene.watching.told[1:] == ["abandoned"]


def test_a_session_is_bound_before_its_client_hears_of_it(scene: Scene, tmp_path: Path) -> None:
    store = SessionStore(tmp_path, 10)
    client = Sessions(store).enter(cast(Any, scene.connection), scene.pipeline, b"NEW_SESSION", None)
    assert isinstance(client, InSession)
    call = ObservedInvocation(client, scene.pipeline, b"", b"{}", {}, 0.0)
    call.invoke(None, client.variant)
    call.replied(200, [(b"x-amzn-sagemaker-session-id", b"s1; Expires=2999-01-01T00:00:00Z")], b"hello")
    assert scene.connection.said == []
    scene.watching.go()
    found = store.find(scene.pipeline.route.key, "s1")
    assert found is not None
    assert (found.replica, scene.connection.said) == ("r1", ["send"])


def test_a_refused_session_ends_the_call(scene: Scene, tmp_path: Path) -> None:
    client = Sessions(SessionStore(tmp_path, 10)).enter(
        cast(Any, scene.connection), scene.pipeline, b"NEW_SESSION", None
    )
    assert not isinstance(client, Response)
    call = ObservedInvocation(client, scene.pipeline, b"", b"{}", {}, 0.0)
    client.cancel = call.cancel
    call.invoke(None, client.variant)
    call.reply_began(200, [(b"x-amzn-sagemaker-session-id", b"wrong")], 1_000_000)
    call.reply_data(b"x")
    assert call.replica is None
    assert (scene.connection.said, scene.watching.told[1:]) == (["respond 424"], ["abandoned"])
