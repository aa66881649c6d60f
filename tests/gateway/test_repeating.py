"""What is sent again and what is not, by what the replicas see: a call that may have been acted on comes once."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from mooring.hosting.routes import RouteReplica
from tests.gateway.running import Response, ScriptedServer, Seen, Stage, answer, invocation, route
from tests.wire.botocore_half import event_stream

Script = Callable[[Seen, socket.socket], bytes | None]
BOTH = pytest.mark.parametrize("api", ["invocations", "invocations-response-stream"])


def closes(*_: object) -> None:
    """Without a byte of answer."""


def says_a_byte(_: Seen, connection: socket.socket) -> None:
    connection.sendall(b"H")


def says_an_interim_answer(_: Seen, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def dawdles(*_: object) -> None:
    time.sleep(1.5)


def body_of(response: Response, api: str) -> bytes:
    assert response.status == 200, response.body
    if api == "invocations":
        return response.body
    return b"".join(event["PayloadPart"]["Bytes"] for event in event_stream(response.body))


class Kept:
    """One replica, with one connection to it that has been used, and another replica that nothing should reach."""

    def __init__(self, stage: Stage, api: str) -> None:
        self.api = api
        self.replica: ScriptedServer = stage.served(lambda *_: answer(b"first"))
        self.client = stage.client()
        assert body_of(self.call(), api) == b"first"
        assert len(self.replica.seen) == 1

    def call(self) -> Response:
        return self.client.call(invocation(api=self.api))

    def seen_with(self, script: Script) -> tuple[int, int]:
        """The status of a call over the kept connection, and how often the replica got it."""
        self.replica.script = script
        status = self.call().status
        return status, len(self.replica.seen) - 1


@BOTH
def test_a_kept_connection_that_closes_without_a_byte_is_tried_once_more(stage: Stage, api: str) -> None:
    kept = Kept(stage, api)
    assert kept.seen_with(closes) == (424, 2), "once, on a fresh connection, and no more"
    assert [seen.connection for seen in kept.replica.seen] == [1, 1, 2]


@BOTH
@pytest.mark.parametrize(
    "script",
    [
        says_a_byte,
        says_an_interim_answer,
        lambda *_: b"nonsense\r\n\r\n",
        lambda *_: answer(b"no", 500),
        lambda *_: answer(b"no", 503),
        lambda *_: answer(b"no", 429),
        lambda *_: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    ],
    ids=["a byte", "interim", "nonsense", "500", "503", "429", "a head"],
)
def test_nothing_else_is_tried_again(stage: Stage, api: str, script: Script) -> None:
    def and_closes(seen: Seen, connection: socket.socket) -> None:
        connection.sendall(script(seen, connection) or b"")

    assert Kept(stage, api).seen_with(and_closes) == (424, 1)


def test_nor_is_one_that_the_replica_had_for_a_while(stage: Stage) -> None:
    """It was not stale: the replica died on the call."""
    assert Kept(stage, "invocations").seen_with(dawdles) == (424, 1)


def test_nor_is_one_that_took_too_long(stage: Stage) -> None:
    replica = stage.served(lambda *_: answer(b"first"), invocation_timeout_s=0.3)
    client = stage.client()
    assert client.call(invocation()).status == 200

    def silent(_: Seen, connection: socket.socket) -> None:
        connection.recv(1)

    replica.script = silent
    assert client.call(invocation()).status == 424
    assert len(replica.seen) == 2


def test_nor_is_any_where_the_setting_is_off(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_RETRY_STALE_CONNECTION"] = "off"
    assert Kept(stage, "invocations").seen_with(closes) == (424, 1)


@BOTH
def test_a_fresh_connection_that_closes_is_the_replicas_failure(stage: Stage, api: str) -> None:
    replica = stage.served(closes)
    assert stage.client().call(invocation(api=api)).status == 424
    assert len(replica.seen) == 1


@BOTH
def test_a_connect_that_failed_goes_to_another_replica(stage: Stage, api: str) -> None:
    alive = stage.server("alive", lambda *_: answer(b"alive"))
    control = stage.control
    stage.start()
    control.accept()
    missing = [RouteReplica(name, str(stage.paths.sockets / f"{name}.sock")) for name in ("m1", "m2")]
    control.publish(route(*missing, RouteReplica("alive", str(alive.path))))
    client = stage.client()
    for count in range(1, 11):
        assert body_of(client.call(invocation(api=api)), api) == b"alive"
        assert len(alive.seen) == count
