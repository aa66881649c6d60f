"""Response streams through a real gateway, with replicas that stream, stall, break and are left."""

from __future__ import annotations

import re
import socket
import threading
import time
from http.client import HTTPResponse
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import EventStreamError

from tests.gateway.running import WAIT_S, Client, Response, Seen, Stage, answer, eventually, invocation, route
from tests.wire.botocore_half import event_stream

STREAM = "invocations-response-stream"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
PART_TIMEOUT = "The model took longer than it may, between two parts of its response or for all of it."


def stream(**headers: str) -> bytes:
    return invocation(api=STREAM, **headers)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def parts(response: Response) -> list[bytes]:
    assert response.status == 200, response.body
    return [event["PayloadPart"]["Bytes"] for event in event_stream(response.body)]


def broken(response: Response) -> tuple[list[bytes], str, str]:
    """The parts that came before a stream failed, the ErrorCode of its last event, and the message."""
    got: list[bytes] = []
    with pytest.raises(EventStreamError) as raised:  # noqa: PT012 - the parts before it are wanted
        for event in event_stream(response.body):
            got.append(event["PayloadPart"]["Bytes"])
    error = raised.value.response["Error"]
    assert error["Code"] == "ModelStreamError"
    found = re.search(rb'"ErrorCode":"(\w+)"', response.body)
    assert found is not None
    return got, found[1].decode(), error["Message"]


def test_tokens_arrive_one_by_one(stage: Stage) -> None:
    """Each is sent only when the client has the one before: nothing is waited for, or gathered."""
    taken = threading.Semaphore(0)

    def script(_: Seen, connection: socket.socket) -> bytes:
        connection.sendall(HEAD)
        for number in range(5):
            connection.sendall(chunk(b"token %d" % number))
            assert taken.acquire(timeout=WAIT_S)
        return END

    stage.served(script)
    client = stage.client()
    client.send(stream())
    response = HTTPResponse(client.socket)
    response.begin()
    buffer = EventStreamBuffer()
    got: list[bytes] = []
    while data := response.read1(65_536):
        buffer.add_data(data)
        for event in buffer:
            got.append(event.payload)
            taken.release()
    assert got == [b"token %d" % number for number in range(5)]


def test_headers_both_ways(stage: Stage) -> None:
    replica = stage.served(
        lambda *_: answer(b"x", Content_Type="text/event-stream", X_Amzn_SageMaker_Custom_Attributes="c=2", Server="no")
    )
    request = stream(content_type="text/csv", accept="ignored/one", custom_attributes="c=1", inference_id="i d")
    request = request.replace(b"Host:", b"X-Amzn-SageMaker-Accept: text/event-stream\r\nHost:")
    response = stage.client().call(request)
    assert parts(response) == [b"x"]
    assert re.fullmatch(r"[0-9a-f-]{36}", response.headers["x-amzn-requestid"])
    assert {k: v for k, v in response.headers.items() if k not in ("date", "x-amzn-requestid")} == {
        "content-type": "application/vnd.amazon.eventstream",
        "x-amzn-sagemaker-content-type": "text/event-stream",
        "x-amzn-invoked-production-variant": "a",
        "x-amzn-sagemaker-custom-attributes": "c=2",
        "transfer-encoding": "chunked",
    }
    assert replica.seen[0].line == "POST /invocations HTTP/1.1"
    assert replica.seen[0].headers == {
        "host": "localhost:8080",
        "x-amzn-sagemaker-forwarded-api": "InvokeEndpointWithResponseStream",
        "content-type": "text/csv",
        "accept": "text/event-stream",
        "x-amzn-sagemaker-custom-attributes": "c=1",
        "x-amzn-sagemaker-inference-id": "i d",
        "content-length": "2",
    }


def test_absent_headers_stay_absent(stage: Stage) -> None:
    replica = stage.served(lambda *_: answer(b"x"))
    response = stage.client().call(stream(accept="ignored/one"))
    assert "x-amzn-sagemaker-content-type" not in response.headers
    assert set(replica.seen[0].headers) == {"host", "x-amzn-sagemaker-forwarded-api", "content-length"}


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_an_answer_that_is_no_stream(stage: Stage, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    replica = stage.served(lambda *_: answer(body))
    client = stage.client()
    for _ in range(2):
        assert b"".join(parts(client.call(stream()))) == body
    assert [seen.connection for seen in replica.seen] == [1, 1], "the connection to the replica is used again"


def test_an_answer_that_ends_with_its_connection(stage: Stage) -> None:
    def script(_: Seen, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.0 200 OK\r\n\r\nhal")
        time.sleep(0.05)
        connection.sendall(b"ves")

    stage.served(script)
    client = stage.client()
    assert b"".join(parts(client.call(stream()))) == b"halves"
    assert b"".join(parts(client.call(stream()))) == b"halves"


def test_a_client_of_http_1_0(stage: Stage) -> None:
    stage.served(lambda *_: HEAD + chunk(b"a") + chunk(b"b") + END)
    client = stage.client()
    response = client.call(stream().replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    assert "transfer-encoding" not in response.headers
    assert b"".join(parts(response)) == b"ab"
    assert client.at_end()


def test_streams_and_plain_calls_share_a_connection(stage: Stage) -> None:
    """With the same headers: what is remembered of one is not taken for the other."""
    replica = stage.served(lambda *_: answer(b"x", Content_Type="text/csv"))
    client = stage.client()
    for _ in range(2):
        assert parts(client.call(stream(content_type="text/csv"))) == [b"x"]
        plain = client.call(invocation(content_type="text/csv"))
        assert (plain.body, plain.headers["content-type"]) == (b"x", "text/csv")
    told = [seen.headers["x-amzn-sagemaker-forwarded-api"] for seen in replica.seen]
    assert told == ["InvokeEndpointWithResponseStream", "InvokeEndpoint"] * 2


def test_pipelined_streams_come_in_order(stage: Stage) -> None:
    stage.served(lambda seen, _: HEAD + chunk(seen.body) + END)
    client = stage.client()
    client.send(b"".join(invocation(api=STREAM, body=b"%d" % number) for number in range(5)))
    assert [parts(client.receive()) for _ in range(5)] == [[b"%d" % number] for number in range(5)]


class TestBeforeTheFirstByte:
    """A failure is an answer like any other."""

    @staticmethod
    def refused(response: Response) -> dict[str, Any]:
        assert response.headers["content-type"] == "application/json"
        return {"status": response.status, "type": response.headers["x-amzn-errortype"], **response.document}

    @pytest.mark.parametrize("body", [b"no", b"n" * 3_000_000])
    def test_the_container_refuses(self, stage: Stage, body: bytes) -> None:
        stage.served(lambda *_: answer(body, 415))
        said = self.refused(stage.client().call(stream()))
        assert (said["status"], said["type"], said["OriginalStatusCode"]) == (424, "ModelError", 415)
        assert said["OriginalMessage"] == ("no" if len(body) == 2 else "")

    def test_it_dies_after_its_head(self, stage: Stage) -> None:
        def script(_: Seen, connection: socket.socket) -> None:
            connection.sendall(HEAD)

        stage.served(script)
        client = stage.client()
        for _ in range(2):
            said = self.refused(client.call(stream()))
            assert (said["status"], said["type"], said["OriginalStatusCode"]) == (424, "ModelError", 0)

    def test_it_says_nothing(self, stage: Stage) -> None:
        def script(_: Seen, connection: socket.socket) -> bytes:
            connection.sendall(HEAD)
            time.sleep(1.5)
            return END

        stage.served(script, invocation_timeout_s=0.3)
        said = self.refused(stage.client().call(stream()))
        assert (said["status"], said["OriginalStatusCode"]) == (424, 0)
        assert "timed out" in said["OriginalMessage"]

    def test_no_such_endpoint(self, stage: Stage) -> None:
        stage.served(lambda *_: answer())
        said = self.refused(stage.client().call(invocation("nope", api=STREAM)))
        assert (said["status"], said["ErrorCode"]) == (400, "NO_SUCH_ENDPOINT")

    def test_a_body_that_is_too_long(self, stage: Stage) -> None:
        stage.served(lambda *_: answer())
        assert stage.client().call(invocation(api=STREAM, body=b"x" * 6_291_457)).status == 413

    def test_the_fields_of_invoke_endpoint_alone_are_ignored(self, stage: Stage) -> None:
        stage.served(lambda *_: answer(b"x"))
        assert parts(stage.client().call(stream(target_model="m", enable_explanations="`true`"))) == [b"x"]


class TestAfterTheFirstByte:
    """A failure is an event, and the stream around it is whole: the connection serves on."""

    @pytest.mark.parametrize("end", [b"", b"nonsense\r\n"])
    def test_the_replica_breaks_off(self, stage: Stage, end: bytes) -> None:
        def script(_: Seen, connection: socket.socket) -> None:
            connection.sendall(HEAD + chunk(b"half"))
            time.sleep(0.05)
            connection.sendall(end)

        stage.served(script)
        client = stage.client()
        for _ in range(2):
            assert broken(client.call(stream())) == (
                [b"half"],
                "StreamBroken",
                "The response of the model ended before it was complete.",
            )

    def test_an_answer_that_is_shorter_than_it_says(self, stage: Stage) -> None:
        def script(_: Seen, connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

        stage.served(script)
        assert broken(stage.client().call(stream()))[:2] == ([b"half"], "StreamBroken")

    def test_the_replica_falls_silent(self, stage: Stage) -> None:
        def script(_: Seen, connection: socket.socket) -> bytes:
            connection.sendall(HEAD + chunk(b"half"))
            connection.recv(1)  # until the gateway gives it up
            return END

        replica = stage.served(script, invocation_timeout_s=0.3)
        client = stage.client()
        assert broken(client.call(stream())) == ([b"half"], "ModelInvocationTimeExceeded", PART_TIMEOUT)
        eventually(lambda: not replica._open)
        replica.script = lambda *_: answer(b"x")
        assert parts(client.call(stream())) == [b"x"]

    def test_a_stream_has_an_end_however_steady(self, stage: Stage) -> None:
        stage.environment["MOORING_GATEWAY_STREAM_TIMEOUT_S"] = "0.6"

        def script(_: Seen, connection: socket.socket) -> None:
            connection.sendall(HEAD)
            while True:
                connection.sendall(chunk(b"x"))
                time.sleep(0.05)

        replica = stage.served(script, invocation_timeout_s=0.3)
        got, code, _ = broken(stage.client().call(stream()))
        assert (code, len(got) > 3) == ("ModelInvocationTimeExceeded", True)
        eventually(lambda: not replica._open)


def test_a_gateway_that_stops_ends_its_streams(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_DRAIN_S"] = "0.3"

    def script(_: Seen, connection: socket.socket) -> None:
        connection.sendall(HEAD)
        while True:
            connection.sendall(chunk(b"x"))
            time.sleep(0.05)

    replica = stage.served(script)
    client = stage.client()
    client.send(stream())
    eventually(lambda: bool(replica.seen))
    stage.terminate()
    response = client.receive()
    with pytest.raises(EventStreamError) as raised:
        list(event_stream(response.body))
    assert raised.value.response["Error"] == {
        "Code": "InternalStreamFailure",
        "Message": "The server is being stopped, and the response of the model took longer than it waits.",
    }
    assert stage.wait() == 0


def test_a_client_that_leaves_stops_the_work(stage: Stage) -> None:
    stopped = threading.Event()

    def script(_: Seen, connection: socket.socket) -> None:
        connection.sendall(HEAD)
        try:
            while True:
                connection.sendall(chunk(b"x" * 1000))
                time.sleep(0.01)
        except OSError:
            stopped.set()

    replica = stage.served(script)
    with Client(stage.port) as client:
        client.send(stream())
        assert client.socket.recv(4096)
    assert stopped.wait(WAIT_S), "the replica goes on for nobody"
    replica.script = lambda *_: answer(b"x")
    assert parts(stage.client().call(stream())) == [b"x"]
    ack = stage.control.publish(route(version=(2, 1)))
    assert ack["busy"] == [], "what it left is counted no more"


def test_a_slow_client_slows_the_replica(stage: Stage) -> None:
    total, sent = 60_000_000, 0
    piece = b"x" * 100_000

    def script(_: Seen, connection: socket.socket) -> bytes:
        nonlocal sent
        connection.sendall(HEAD)
        while sent < total:
            connection.sendall(chunk(piece))
            sent += len(piece)
        return END

    stage.served(script)
    client = stage.client()
    client.send(stream())
    settled = -1
    while settled != sent:  # until nothing more moves
        settled = sent
        time.sleep(0.5)
    assert sent < total // 2, "the replica is not slowed down"
    assert sum(map(len, parts(client.receive()))) == total
