"""What goes wrong between a client, the gateway and a replica."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from mooring.hosting.routes import RouteReplica
from tests.gateway.running import WAIT_S, Client, Seen, Stage, answer, eventually, invocation, route

LARGE = b"x" * 3_000_000


def test_a_replica_that_dies_before_its_answer(stage: Stage) -> None:
    stage.served(lambda *_: None)
    response = stage.client().call(invocation())
    assert (response.status, response.headers["x-amzn-errortype"]) == (424, "ModelError")
    assert response.document["OriginalStatusCode"] == 0


def test_a_replica_that_dies_in_its_answer(stage: Stage) -> None:
    def script(_: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    stage.served(script)
    client = stage.client()
    assert client.call(invocation()).status == 424
    assert client.call(invocation()).status == 424, "the connection serves on"


def test_a_replica_that_dies_in_a_streamed_answer_truncates_the_clients(stage: Stage) -> None:
    def script(_: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 200_000)

    stage.served(script)
    client = stage.client()
    client.send(invocation())
    received = b""
    with pytest.raises(ConnectionResetError):  # noqa: PT012 - how many reads it takes is the kernel's choice
        while piece := client.socket.recv(65536):
            received += piece
    assert len(received) < 1_000_000


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 abc\r\n\r\n", b"\x00\x01", b"HTTP/1.1 200 OK\r\nA" + b"b" * 100_000])
def test_a_replica_that_speaks_no_http(stage: Stage, nonsense: bytes) -> None:
    stage.served(lambda *_: nonsense)
    response = stage.client().call(invocation())
    assert (response.status, response.document["OriginalStatusCode"]) == (424, 0)


def test_a_second_response_never_reaches_the_next_client(stage: Stage) -> None:
    stage.served(lambda *_: answer(b"mine") + answer(b"stolen"))
    client = stage.client()
    assert [client.call(invocation()).body for _ in range(5)] == [b"mine"] * 5


def test_a_late_second_response_never_reaches_the_next_client(stage: Stage) -> None:
    def script(_: Seen, connection: socket.socket) -> bytes:
        connection.sendall(answer(b"mine"))
        time.sleep(0.05)
        return answer(b"stolen")

    replica = stage.served(script)
    client = stage.client()
    assert client.call(invocation()).body == b"mine"
    eventually(replica.lost.is_set)
    assert client.call(invocation()).body == b"mine"


def test_an_interim_response_is_not_the_answer(stage: Stage) -> None:
    stage.served(lambda *_: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 X\r\nA: b\r\n\r\n" + answer(b"real"))
    client = stage.client()
    assert [client.call(invocation()).body for _ in range(3)] == [b"real"] * 3


def test_an_answer_that_ends_with_the_connection(stage: Stage) -> None:
    def script(_: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/csv\r\n\r\n1,2")

    stage.served(script)
    client = stage.client()
    assert [client.call(invocation()).body for _ in range(2)] == [b"1,2"] * 2


def test_trailers_are_not_headers(stage: Stage) -> None:
    stage.served(
        lambda *_: (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nContent-Type: evil/evil\r\n\r\n"
        )
    )
    client = stage.client()
    for _ in range(2):
        response = client.call(invocation())
        assert (response.body, response.headers.get("content-type")) == (b"ok", None)


def test_a_kept_connection_that_turned_stale_is_tried_again(stage: Stage) -> None:
    replica = stage.served(lambda *_: answer())

    def close_on_reuse(seen: Seen, _: socket.socket) -> bytes | None:
        on_this_one = [other for other in replica.seen if other.connection == seen.connection]
        return answer() if len(on_this_one) == 1 else None

    replica.script = close_on_reuse
    client = stage.client()
    assert [client.call(invocation()).status for _ in range(4)] == [200] * 4


def test_a_stale_connection_is_an_error_where_the_retry_is_off(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_RETRY_STALE_CONNECTION"] = "off"
    replica = stage.served(lambda *_: answer())
    client = stage.client()
    assert client.call(invocation()).status == 200
    replica.script = lambda *_: None
    assert client.call(invocation()).status == 424


def test_a_replica_that_is_gone_after_it_took_the_call_is_not_replaced_by_another(stage: Stage) -> None:
    other = stage.server("other", lambda *_: answer(b"other"))
    first = stage.served(lambda *_: answer(b"first"))
    client = stage.client()
    assert client.call(invocation()).body == b"first"

    def die(*_: object) -> None:
        first.path.unlink()

    first.script = die
    replicas = (RouteReplica("replica-1", str(first.path)), RouteReplica("other", str(other.path)))
    stage.control.publish(route(*replicas, version=(1, 2)))
    bodies = [client.call(invocation()) for _ in range(30)]
    assert [response.status for response in bodies].count(424) == 1
    assert {response.body for response in bodies if response.status == 200} == {b"other"}


def test_a_replica_that_takes_too_long(stage: Stage) -> None:
    go = threading.Event()
    replica = stage.served(lambda *_: go.wait(WAIT_S) and None, invocation_timeout_s=0.3)
    began = time.monotonic()
    response = stage.client().call(invocation())
    assert time.monotonic() - began >= 0.3
    go.set()
    assert response.status == 424
    assert response.document["OriginalStatusCode"] == 0
    assert (
        "Your invocation timed out while waiting for a response from container primary."
        in (response.document["Message"])
    )
    assert len(replica.seen) == 1


def test_a_refused_connection_moves_on_to_another_replica(stage: Stage) -> None:
    alive = stage.server("alive", lambda *_: answer(b"alive"))
    control = stage.control
    stage.start()
    control.accept()
    missing = RouteReplica("missing", str(stage.paths.sockets / "missing.sock"))
    control.publish(route(missing, RouteReplica("alive", str(alive.path))))
    client = stage.client()
    assert {client.call(invocation()).body for _ in range(20)} == {b"alive"}


def test_all_replicas_refuse(stage: Stage) -> None:
    control = stage.control
    stage.start()
    control.accept()
    control.publish(route(RouteReplica("missing", str(stage.paths.sockets / "missing.sock"))))
    client = stage.client()
    for _ in range(3):
        response = client.call(invocation())
        assert (response.status, response.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
    late = stage.server("missing", lambda *_: answer(b"back"))
    assert client.call(invocation()).body == b"back"
    assert late.seen


def test_a_client_that_leaves_takes_its_call_with_it(stage: Stage) -> None:
    replica = stage.served(lambda *_: time.sleep(0.3))
    with Client(stage.port) as client:
        client.send(invocation())
        eventually(lambda: len(replica.seen) == 1)
    acknowledged = stage.control.publish(route(version=(1, 2)))
    if acknowledged["busy"]:  # the loss and the route race; either way it ends as idle
        assert stage.control.next() == {"idle": {"replica": "replica-1"}}


@pytest.mark.parametrize("chunked", [False, True])
def test_large_answers_stream_and_a_slow_client_slows_the_replica(stage: Stage, chunked: bool) -> None:
    total = 64 * 1024 * 1024
    piece = b"x" * 1_000_000
    sent = [0]

    def script(_: Seen, connection: socket.socket) -> bytes:
        framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % total
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n%b\r\n\r\n" % framing)
        while sent[0] < total:
            part = piece[: total - sent[0]]
            connection.sendall(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            sent[0] += len(part)
        return b"0\r\n\r\n" if chunked else b""

    stage.served(script)
    client = stage.client()
    client.send(invocation())
    time.sleep(0.5)
    # What is under way fits the kernel's buffers and ours; without backpressure it would be everything.
    assert sent[0] < total // 2
    response = client.receive()
    assert (response.headers["content-type"], len(response.body)) == ("a/b", total)
    assert ("transfer-encoding" in response.headers) is chunked


def test_a_large_request_arrives_whole(stage: Stage) -> None:
    stage.served(lambda seen, _: answer(str(len(seen.body)).encode()))
    client = stage.client()
    assert [client.call(invocation(body=LARGE)).body for _ in range(3)] == [b"3000000"] * 3


def test_a_replica_that_answers_before_it_has_read_the_request(stage: Stage) -> None:
    replica = stage.served(lambda *_: answer())
    client = stage.client()

    def early(path: str) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen()
        with listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer(b"early"))
                time.sleep(0.2)

    path = str(stage.paths.sockets / "early.sock")
    thread = threading.Thread(target=early, args=(path,))
    thread.start()
    eventually(Path(path).exists)
    stage.control.publish(route(RouteReplica("early", path), version=(1, 2)))
    assert client.call(invocation(body=LARGE)).body == b"early"
    thread.join()
    stage.control.publish(route(RouteReplica("replica-1", str(replica.path)), version=(1, 3)))
    assert client.call(invocation()).body == b"ok"
