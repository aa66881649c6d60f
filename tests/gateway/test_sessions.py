"""Stateful sessions through a real gateway, with containers that open, close and lie."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.gateway.session_store import Session, SessionStore
from mooring.gateway.sessions import opened_session
from mooring.hosting.routes import RouteReplica, RouteVariant, Version
from tests.gateway.running import Response, ScriptedServer, Seen, Stage, answer, eventually, invocation, route
from tests.wire.botocore_half import event_stream

FOREVER = "2999-01-01T00:00:00Z"


def container(name: str, made: str | None = None) -> Callable[[Seen, socket.socket], bytes]:
    """Opens sessions `NAME-1`, `NAME-2`, … (or `made`), closes on the body `close`, and answers with its own name."""
    count = 0

    def script(seen: Seen, _: socket.socket) -> bytes:
        nonlocal count
        asked = seen.headers.get("x-amzn-sagemaker-session-id")
        headers = {}
        if asked == "NEW_SESSION":
            count += 1
            headers["X_Amzn_SageMaker_Session_Id"] = made or f"{name}-{count}; Expires={FOREVER}"
        elif seen.body.startswith(b"close"):
            headers["X_Amzn_SageMaker_Closed_Session_Id"] = seen.body.decode().partition(" ")[2] or str(asked)
        return answer(f"{name} {asked}".encode(), **headers)

    return script


class Pair:
    """A gateway with replicas `ra` of variant `a` and `rb`, `rc` of variant `b`, all told by their answers."""

    def __init__(self, stage: Stage, made: str | None = None) -> None:
        self.stage = stage
        self.version = 0
        self.servers: dict[str, ScriptedServer] = {
            name: stage.server(name, container(name, made)) for name in ("ra", "rb", "rc")
        }
        _ = stage.control  # it must be there before the gateway calls
        stage.start()
        stage.control.accept()
        self.publish()
        self.client = stage.client()

    def publish(self, *gone: str, weight_a: float = 1.0, weight_b: float = 1.0) -> None:
        self.version += 1
        replicas = {
            name: RouteReplica(name, str(server.path)) for name, server in self.servers.items() if name not in gone
        }
        variants = (
            RouteVariant("a", weight_a, tuple(each for name, each in replicas.items() if name == "ra")),
            RouteVariant("b", weight_b, tuple(each for name, each in replicas.items() if name != "ra")),
        )
        self.stage.control.publish(route(variants=variants, version=Version(1, self.version)))

    def call(self, session: str | None = None, body: bytes = b"{}", **headers: str) -> Response:
        named = headers if session is None else {**headers, "session_id": session}
        return self.client.call(invocation(body=body, **named))

    def open(self, **headers: str) -> tuple[str, str]:
        """A new session's id, and the name of the replica that has it."""
        response = self.call("NEW_SESSION", **headers)
        assert response.status == 200, response.body
        named, _, expires = response.headers["x-amzn-sagemaker-new-session-id"].partition("; Expires=")
        assert expires == FOREVER
        return named, response.body.decode().partition(" ")[0]

    def refused(self, session: str, **headers: str) -> str:
        before = sum(len(server.seen) for server in self.servers.values())
        response = self.call(session, **headers)
        assert (response.status, response.headers["x-amzn-errortype"]) == (400, "ValidationError")
        assert sum(len(server.seen) for server in self.servers.values()) == before, "no container hears of it"
        message: str = response.document["Message"]
        return message


@pytest.fixture
def pair(stage: Stage) -> Pair:
    return Pair(stage)


def test_a_session_stays_where_it_was_opened(pair: Pair) -> None:
    sessions = [pair.open() for _ in range(8)]
    assert len({replica for _, replica in sessions}) > 1, "sessions are spread like calls"
    for _ in range(5):
        for session, replica in sessions:
            response = pair.call(session)
            assert response.body.decode() == f"{replica} {session}", "the container gets the plain id"
            assert "x-amzn-sagemaker-new-session-id" not in response.headers


def test_it_survives_a_change_of_weights_down_to_nothing(pair: Pair) -> None:
    session, replica = pair.open(target_variant="b")
    pair.publish(weight_a=1, weight_b=0)
    assert pair.call().headers["x-amzn-invoked-production-variant"] == "a"
    for _ in range(10):
        response = pair.call(session)
        assert response.body.decode() == f"{replica} {session}"
        assert response.headers["x-amzn-invoked-production-variant"] == "b"


def test_it_survives_the_gateway(pair: Pair) -> None:
    """What the client was told is on disk: the successor of a gateway that was killed knows it."""
    sessions = [pair.open() for _ in range(4)]
    pair.stage.kill()
    pair.stage.start()
    pair.client = pair.stage.client()
    for session, replica in sessions:
        assert pair.call(session).body.decode() == f"{replica} {session}"


def test_a_closed_session_is_nobodys(pair: Pair) -> None:
    session, replica = pair.open()
    other, _ = pair.open()
    closed = pair.call(session, b"close")
    assert (closed.status, closed.headers["x-amzn-sagemaker-closed-session-id"]) == (200, session)
    assert closed.body.decode() == f"{replica} {session}"
    assert pair.refused(session) == (
        f"Session {session} of endpoint ep does not exist: it was never opened, was closed or has expired."
        " Open one with SessionId NEW_SESSION."
    )
    assert pair.call(other).status == 200


def test_a_container_closes_only_the_session_that_was_called(pair: Pair) -> None:
    (session, _), (victim, _) = pair.open(), pair.open()
    response = pair.call(session, f"close {victim}".encode())
    assert "x-amzn-sagemaker-closed-session-id" not in response.headers
    assert [pair.call(each).status for each in (session, victim)] == [200, 200]


def test_a_session_expires(stage: Stage) -> None:
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    pair = Pair(stage, f"short; Expires={expires}")
    assert pair.call("NEW_SESSION", target_variant="a").headers["x-amzn-sagemaker-new-session-id"] == (
        f"short; Expires={expires}"
    )
    deadline = time.monotonic() + 10
    while pair.call("short").status == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert pair.refused("short").startswith("Session short of endpoint ep does not exist")


def test_the_session_of_a_lost_replica(pair: Pair) -> None:
    session, _ = pair.open(target_variant="a")
    pair.publish("ra")
    assert pair.refused(session) == (
        f"Session {session} of endpoint ep is lost: the instance of variant a that had it no longer serves."
        " Open another with SessionId NEW_SESSION."
    )


def test_a_replica_that_refuses_is_not_replaced(pair: Pair) -> None:
    """The state of the session is there and nowhere else; SDKs try again on this error."""
    session, _ = pair.open(target_variant="b")
    replica = pair.call(session).body.decode().partition(" ")[0]
    pair.servers[replica].close()
    response = pair.call(session)
    assert (response.status, response.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
    other = next(name for name in ("rb", "rc") if name != replica)
    assert all(seen.headers.get("x-amzn-sagemaker-session-id") != session for seen in pair.servers[other].seen)


def test_a_new_session_goes_elsewhere_when_a_replica_refuses(pair: Pair) -> None:
    pair.servers["rb"].close()
    for _ in range(6):
        session, replica = pair.open(target_variant="b")
        assert replica == "rc"
        assert pair.call(session).body.decode() == f"rc {session}"


def test_a_target_variant_must_agree(pair: Pair) -> None:
    session, _ = pair.open(target_variant="a")
    assert pair.call(session, target_variant="a").status == 200
    assert pair.refused(session, target_variant="b") == (
        f"Session {session} of endpoint ep is on variant a, and TargetVariant names b."
    )
    assert pair.refused("NEW_SESSION", target_variant="zz") == "Variant zz does not exist in endpoint ep."


def test_an_unknown_id_and_one_that_cannot_be(pair: Pair) -> None:
    assert pair.refused("unheard").startswith("Session unheard of endpoint ep does not exist")
    assert "Member must satisfy regular expression pattern" in pair.refused("../../etc")
    assert "Member must have length less than or equal to 256" in pair.refused("x" * 257)


def test_a_container_that_opens_none(pair: Pair) -> None:
    for server in pair.servers.values():
        server.script = lambda *_: answer(b"as usual")
    response = pair.call("NEW_SESSION")
    assert (response.status, response.body) == (200, b"as usual")
    assert "x-amzn-sagemaker-new-session-id" not in response.headers


def test_a_session_that_nobody_asked_for_is_not_told(pair: Pair) -> None:
    for server in pair.servers.values():
        server.script = lambda *_: answer(b"x", X_Amzn_SageMaker_Session_Id=f"s1; Expires={FOREVER}")
    assert "x-amzn-sagemaker-new-session-id" not in pair.call().headers
    assert pair.refused("s1")


@pytest.mark.parametrize(
    "made",
    [
        "s1",
        "s1; Expires=soon",
        f"s 1; Expires={FOREVER}",
        f"../x; Expires={FOREVER}",
        "s; Expires=2030-13-01T00:00:00Z",
    ],
)
def test_a_container_that_opens_it_wrongly(stage: Stage, made: str) -> None:
    pair = Pair(stage, made)
    response = pair.call("NEW_SESSION")
    assert (response.status, response.headers["x-amzn-errortype"]) == (424, "ModelError")
    assert response.document["OriginalMessage"] == (
        "The header X-Amzn-SageMaker-Session-Id of the container's response is not ID; Expires=yyyy-mm-ddThh:mm:ssZ."
    )
    assert pair.call().status == 200, "the connection serves on"


def test_a_container_cannot_take_the_session_of_another(stage: Stage) -> None:
    pair = Pair(stage, f"mine; Expires={FOREVER}")
    assert pair.call("NEW_SESSION", target_variant="a").status == 200
    stolen = pair.call("NEW_SESSION", target_variant="b")
    assert (stolen.status, stolen.headers["x-amzn-errortype"]) == (424, "ModelError")
    assert "open on another instance" in stolen.document["OriginalMessage"]
    assert pair.call("mine").body == b"ra mine"
    pair.publish("ra")
    assert pair.call("NEW_SESSION", target_variant="b").status == 200, "a lost one may be opened anew"
    assert pair.call("mine").body.split()[0] in (b"rb", b"rc")


def test_a_large_answer_opens_a_session_too(pair: Pair) -> None:
    body = b"x" * 2_000_000
    for server in pair.servers.values():
        server.script = lambda *_: answer(body, X_Amzn_SageMaker_Session_Id=f"big; Expires={FOREVER}")
    response = pair.call("NEW_SESSION", target_variant="a")
    assert response.headers["x-amzn-sagemaker-new-session-id"] == f"big; Expires={FOREVER}"
    assert response.body == body
    for server in pair.servers.values():
        server.script = lambda *_: answer(body, X_Amzn_SageMaker_Session_Id="wrong")
    assert pair.call("NEW_SESSION").status == 424
    assert pair.call("big").body == body, "what the refused answer went on to say reached nobody"


def test_a_session_that_cannot_be_recorded_is_not_told(pair: Pair) -> None:
    sessions = pair.stage.paths.sessions
    shutil.rmtree(sessions, ignore_errors=True)
    sessions.write_bytes(b"")  # nothing can be made below it
    try:
        response = pair.call("NEW_SESSION")
    finally:
        Path(sessions).unlink()
    assert (response.status, response.headers["x-amzn-errortype"]) == (500, "InternalFailure")
    assert response.document["Message"] == "The new session cannot be recorded: Not a directory."
    assert pair.open()


def test_the_number_of_sessions_is_bounded(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_SESSIONS_PER_ENDPOINT"] = "3"
    pair = Pair(stage)
    sessions = [pair.open()[0] for _ in range(3)]
    before = sum(len(server.seen) for server in pair.servers.values())
    full = pair.call("NEW_SESSION")
    assert (full.status, full.headers["x-amzn-errortype"]) == (400, "ThrottlingException")
    assert sum(len(server.seen) for server in pair.servers.values()) == before, "the container is not asked in vain"
    assert pair.call(sessions[0]).status == 200
    pair.call(sessions[0], b"close")
    deadline = time.monotonic() + 10
    while pair.call("NEW_SESSION").status != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_stream_in_a_session(pair: Pair) -> None:
    session, replica = pair.open()
    for _ in range(3):
        response = pair.client.call(invocation(api="invocations-response-stream", session_id=session))
        parts = [event["PayloadPart"]["Bytes"] for event in event_stream(response.body)]
        assert b"".join(parts).decode() == f"{replica} {session}"
    closing = invocation(api="invocations-response-stream", session_id=session, body=b"close")
    assert pair.client.call(closing).status == 200
    assert pair.refused(session)


def test_an_endpoint_that_was_stopped(pair: Pair) -> None:
    session, _ = pair.open()
    pair.stage.control.publish(
        route(variants=(RouteVariant("a", 1.0, ()),), version=Version(2, 1), status="OutOfService")
    )
    for named in (session, "NEW_SESSION"):
        assert pair.refused(named).startswith("Endpoint ep is OutOfService")


def test_what_has_expired_is_swept(stage: Stage) -> None:
    """Once control has said that the routes are in step: before, every replica is unknown."""
    store = SessionStore(stage.paths.sessions, 0)
    store.open(route().key, Session("old", "a", "ra", time.time() - 1), lambda _: True)
    store.open(route().key, Session("good", "a", "ra", time.time() + 1000), lambda _: True)
    Pair(stage)
    assert len(list(stage.paths.sessions.glob("*/*"))) == 2
    stage.control.tell({"synced": {"epoch": 1}})
    eventually(lambda: len(list(stage.paths.sessions.glob("*/*"))) == 1)
    assert store.find(route().key, "good") is not None


def test_what_a_container_may_say() -> None:
    assert opened_session(b"s-1; Expires=1970-01-01T00:01:00Z") == ("s-1", 60)
    assert opened_session(b"a" * 200 + b"; Expires=2030-01-01T00:00:00Z") is not None
    for wrong in (
        b"",
        b"s1",
        b"a" * 300 + b"; Expires=2030-01-01T00:00:00Z",
        b"s1; Expires=2030-01-01T00:00:00",
        b"\xff",
    ):
        assert opened_session(wrong) is None
