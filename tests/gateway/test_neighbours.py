"""Control, the objects front and the supervisor, as a gateway deals with them."""

from __future__ import annotations

import json
import socket
import threading
import time

import pytest

from mooring.hosting.routes import RouteReplica
from mooring.processes.sockets import listen_unix
from tests.gateway.running import (
    ACCOUNT,
    REGION,
    WAIT_S,
    Client,
    Seen,
    Stage,
    answer,
    eventually,
    handed_over,
    invocation,
    route,
    signed,
)

KEY = f"{ACCOUNT}/{REGION}/ep"


def api_call(body: bytes = b"{}", **headers: str) -> bytes:
    named = {
        "Host": "127.0.0.1",
        "X-Amz-Target": "SageMaker.ListModels",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": signed(),
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return "".join(["POST /?x=1 HTTP/1.1\r\n", *(f"{k}: {v}\r\n" for k, v in named.items()), "\r\n"]).encode() + body


def s3_put(body: bytes) -> bytes:
    head = f"PUT /bucket/key HTTP/1.1\r\nHost: localhost\r\nAuthorization: {signed('s3')}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


# Routes


def test_a_route_is_acknowledged_once_it_is_on_disk(stage: Stage) -> None:
    control = stage.control
    stage.start()
    assert control.accept()["routes"] == {}
    assert control.publish(route()) == {"key": KEY, "version": [1, 1], "busy": []}
    (stored,) = stage.paths.gateway_routes(0).glob("*.json")
    assert json.loads(stored.read_text())["version"] == [1, 1]


def test_an_older_route_is_refused_with_the_version_that_is_held(stage: Stage) -> None:
    replica = stage.served(lambda *_: answer(), version=(2, 1))
    assert stage.control.publish(route(version=(1, 9)))["version"] == [2, 1]
    dropped = stage.control.say({"drop": {"key": KEY, "version": [1, 9]}})
    assert dropped["ack"]["version"] == [2, 1]
    assert stage.client().call(invocation()).status == 200
    assert replica.seen


def test_a_dropped_endpoint_is_unknown(stage: Stage) -> None:
    stage.served(lambda *_: answer())
    client = stage.client()
    assert client.call(invocation()).status == 200
    assert stage.control.say({"drop": {"key": KEY, "version": [1, 2]}})["ack"]["version"] == [1, 2]
    assert client.call(invocation()).document["ErrorCode"] == "NO_SUCH_ENDPOINT"
    assert not list(stage.paths.gateway_routes(0).glob("*.json"))


def test_a_successor_serves_from_disk_without_control(stage: Stage) -> None:
    stage.served(lambda *_: answer(b"served"))
    stage.kill()
    (stage.paths.gateway_routes(0) / "broken.json").write_text("{")
    stage.start()
    assert stage.client().call(invocation()).body == b"served"
    assert stage.control.accept()["routes"] == {KEY: [1, 1]}


def test_a_replica_that_left_is_busy_until_its_last_call_has_ended(stage: Stage) -> None:
    go = threading.Event()

    def script(*_: object) -> bytes:
        go.wait(WAIT_S)
        return answer(b"old")

    replica = stage.served(script)
    new = stage.server("new", lambda *_: answer(b"new"))
    client = stage.client()
    client.send(invocation())
    eventually(lambda: bool(replica.seen))
    first = stage.control.publish(route(RouteReplica("new", str(new.path)), version=(1, 2)))
    assert first["busy"] == ["replica-1"]
    assert stage.control.publish(route(RouteReplica("new", str(new.path)), version=(1, 3)))["busy"] == ["replica-1"]
    assert stage.client().call(invocation()).body == b"new"
    go.set()
    assert client.receive().body == b"old"
    assert stage.control.next() == {"idle": {"replica": "replica-1"}}
    assert stage.control.publish(route(version=(1, 4)))["busy"] == []


def test_a_replica_that_became_idle_while_control_was_away_is_told_later(stage: Stage) -> None:
    go = threading.Event()

    def script(*_: object) -> bytes:
        go.wait(WAIT_S)
        return answer()

    replica = stage.served(script)
    client = stage.client()
    client.send(invocation())
    eventually(lambda: bool(replica.seen))
    assert stage.control.publish(route(version=(1, 2)))["busy"] == ["replica-1"]
    stage.control.hang_up()
    time.sleep(0.1)
    go.set()
    assert client.receive().status == 200
    stage.control.accept()
    assert stage.control.next() == {"idle": {"replica": "replica-1"}}


def test_serving_goes_on_while_control_is_away(stage: Stage) -> None:
    stage.served(lambda *_: answer())
    client = stage.client()
    stage.control.hang_up()
    assert [client.call(invocation()).status for _ in range(20)] == [200] * 20
    hello = stage.control.accept()
    assert hello["routes"] == {KEY: [1, 1]}


# API calls


def test_an_api_call_goes_to_control_as_it_is(stage: Stage) -> None:
    def script(seen: Seen, _: socket.socket) -> bytes:
        told = {"line": seen.line, "headers": seen.headers, "body": seen.body.decode()}
        return answer(json.dumps(told).encode(), 418, X_Of_Control="kept")

    stage.control_edge(script)
    stage.start()
    response = stage.client().call(
        api_call(b'{"a":1}', X_Mooring_Client="cli", X_Other="no", X_Mooring_Request_Id="mine")
    )
    assert (response.status, response.headers["x-of-control"]) == (418, "kept")
    seen = response.document
    assert (seen["line"], seen["body"]) == ("POST /?x=1 HTTP/1.1", '{"a":1}')
    headers = seen["headers"]
    assert headers["x-amz-target"] == "SageMaker.ListModels"
    assert headers["x-mooring-client"] == "cli"
    assert headers["host"] == "127.0.0.1"
    assert "x-other" not in headers
    assert len(headers["x-mooring-request-id"]) == 36


def test_an_api_call_waits_for_a_control_that_is_being_restarted(stage: Stage) -> None:
    stage.start()
    client = stage.client()
    client.send(api_call())
    time.sleep(0.3)
    stage.control_edge(lambda *_: answer(b"late"))
    assert client.receive().body == b"late"


@pytest.mark.parametrize("form", [False, True])
def test_control_stays_away(stage: Stage, form: bool) -> None:
    stage.environment["MOORING_GATEWAY_CONTROL_WAIT_S"] = "0.2"
    stage.start()
    kind = {"Content_Type": "application/x-www-form-urlencoded"} if form else {}
    response = stage.client().call(api_call(**kind))
    assert response.status == 503
    if form:
        assert b"<Code>ServiceUnavailable</Code>" in response.body
    else:
        assert response.document["__type"] == "ServiceUnavailable"


def test_a_call_that_was_sent_is_not_sent_again(stage: Stage) -> None:
    edge = stage.control_edge(lambda *_: None)
    stage.start()
    response = stage.client().call(api_call())
    assert (response.status, len(edge.seen)) == (503, 1)


# S3


def test_an_s3_connection_is_handed_over_with_its_bytes(stage: Stage) -> None:
    with listen_unix(stage.paths.handover_socket) as front:
        stage.start()
        client = stage.client()
        client.send(s3_put(b"x" * 100_000))
        taken, data = handed_over(front)
        with taken:
            while len(data) < len(s3_put(b"x" * 100_000)):
                data += taken.recv(65536)
            assert data == s3_put(b"x" * 100_000)
            taken.sendall(answer(b"stored"))
            assert client.receive().body == b"stored"
            client.send(b"more")
            assert taken.recv(100) == b"more", "the connection belongs to the front now"


def test_a_later_request_of_a_connection_may_be_s3s(stage: Stage) -> None:
    with listen_unix(stage.paths.handover_socket) as front:
        stage.served(lambda *_: answer())
        client = stage.client()
        assert client.call(invocation()).status == 200
        put = s3_put(b"abc")
        client.send(put[:30])
        time.sleep(0.05)
        client.send(put[30:])
        taken, data = handed_over(front)
        with taken:
            assert data == put


def test_a_bucket_may_be_called_endpoints(stage: Stage) -> None:
    with listen_unix(stage.paths.handover_socket) as front:
        stage.start()
        client = stage.client()
        put = s3_put(b"").replace(b"PUT /bucket/key", b"POST /endpoints/key?uploads")
        client.send(put)
        taken, data = handed_over(front)
        with taken:
            assert data == put


def test_the_objects_front_comes_late_or_not_at_all(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_CONTROL_WAIT_S"] = "0.6"
    stage.start()
    client = stage.client()
    response = client.call(s3_put(b"abc"))
    assert response.status == 503
    assert b"<Code>ServiceUnavailable</Code>" in response.body
    late = stage.client()
    late.send(s3_put(b"abc"))
    time.sleep(0.1)
    with listen_unix(stage.paths.handover_socket) as front:
        taken, data = handed_over(front)
        with taken:
            assert data == s3_put(b"abc")


def test_objects_that_live_elsewhere(stage: Stage) -> None:
    stage.environment["MOORING_OBJECTS_ENDPOINT_URL"] = "http://minio:9000"
    stage.start()
    response = stage.client().call(s3_put(b"abc"))
    assert response.status == 400
    assert b"AWS_ENDPOINT_URL_S3" in response.body
    assert b"http://minio:9000" in response.body


# The supervisor


def test_sigterm_lets_what_is_in_flight_finish(stage: Stage) -> None:
    go = threading.Event()

    def script(*_: object) -> bytes:
        go.wait(WAIT_S)
        return answer(b"finished")

    replica = stage.served(script)
    idle, busy = stage.client(), stage.client()
    busy.send(invocation())
    eventually(lambda: bool(replica.seen))
    stage.terminate()
    assert idle.at_end()
    queued = Client(stage.port)  # accepted by the kernel: the socket is the supervisor's, and waits for a successor
    go.set()
    response = busy.receive()
    assert (response.body, response.headers["connection"]) == (b"finished", "close")
    assert stage.wait() == 0
    stage.kill()
    stage.start()
    with queued:
        assert queued.call(invocation()).body == b"finished"


def test_the_drain_has_an_end(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_DRAIN_S"] = "0.3"
    go = threading.Event()
    replica = stage.served(lambda *_: go.wait(WAIT_S) and None)
    client = stage.client()
    client.send(invocation())
    eventually(lambda: bool(replica.seen))
    stage.terminate()
    assert stage.wait() == 0
    assert client.at_end()
    go.set()


def test_the_end_of_the_supervisor_is_the_end_of_the_gateway(stage: Stage) -> None:
    stage.served(lambda *_: answer())
    stage.cut_lifeline()
    assert stage.wait() != 0
