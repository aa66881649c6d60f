"""What a client may not send, and how it is told."""

from __future__ import annotations

import re
import threading
import time
from http.client import IncompleteRead

import pytest

from tests.gateway.running import Stage, answer, eventually, invocation, signed

LIMIT = 6_291_456


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
def test_the_largest_body(stage: Stage, size: int) -> None:
    stage.served(lambda seen, _: answer(str(len(seen.body)).encode()))
    response = stage.client().call(invocation(body=b"x" * size))
    if size <= LIMIT:
        assert response.body == str(size).encode()
    else:
        assert (response.status, response.headers["content-type"]) == (413, "text/plain")
        assert response.body.startswith(b"HTTP content length exceeded 6291456 bytes. Put larger input into S3")


def test_the_routes_own_limit_counts_for_small_and_for_chunked_bodies(stage: Stage) -> None:
    stage.served(lambda *_: answer(), body_limit_bytes=100)
    client = stage.client()
    assert client.call(invocation(body=b"x" * 101)).status == 413
    assert client.call(invocation(body=b"x" * 100)).status == 200
    head = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", invocation(body=b""))
    assert client.call(head + b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n").status == 413
    assert client.call(head + b"3\r\nabc\r\n0\r\n\r\n").status == 200


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("limit", [100, 400_000])
def test_the_largest_response(stage: Stage, limit: int) -> None:
    replica = stage.served(lambda seen, _: answer(b"x" * int(seen.body)), response_limit_bytes=limit)
    client = stage.client()
    assert len(client.call(invocation(body=b"%d" % limit)).body) == limit
    for length in (limit + 1, 30 * limit):
        response = client.call(invocation(body=b"%d" % length))
        assert (response.status, response.headers["x-amzn-errortype"]) == (424, "ModelError")
        assert response.document["OriginalStatusCode"] == 200
        assert response.document["OriginalMessage"].startswith(
            f"Received response from primary with status code 200. However, the response payload is {length} bytes, "
            f"which has exceeded the maximum limit of {limit} bytes."
        )
    stream = client.call(invocation(api="invocations-response-stream", body=b"%d" % (30 * limit)))
    assert (stream.status, len(stream.body) > 30 * limit) == (200, True), "a stream has no such limit"
    eventually(lambda: len(replica._open) <= 1)


def test_the_largest_response_of_an_unknown_length(stage: Stage) -> None:
    """Its beginning is with the client before it is too long: a reset tells that it is not whole."""
    chunk = b"4e20\r\n" + b"x" * 20_000 + b"\r\n"
    replica = stage.served(lambda seen, _: CHUNKS + chunk * int(seen.body) + b"0\r\n\r\n", response_limit_bytes=400_000)
    client = stage.client()
    assert len(client.call(invocation(body=b"20")).body) == 400_000
    with pytest.raises((ConnectionError, IncompleteRead)):
        client.call(invocation(body=b"400"))
    eventually(lambda: not replica._open)
    assert stage.client().call(invocation(body=b"1")).status == 200


def test_a_response_without_a_limit(stage: Stage) -> None:
    stage.served(lambda *_: answer(b"x" * 20_000_000))
    assert len(stage.client().call(invocation()).body) == 20_000_000


def test_expect_is_answered_once_the_head_is_accepted(stage: Stage) -> None:
    stage.served(lambda seen, _: answer(seen.body))
    client = stage.client()
    head, body = invocation(body=b"12345", expect="100-continue").split(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert client.socket.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert client.call(body).body == b"12345"


@pytest.mark.parametrize(("endpoint", "length", "status"), [("nope", 5, 400), ("ep", LIMIT + 1, 413)])
def test_expect_is_refused_before_the_body(stage: Stage, endpoint: str, length: int, status: int) -> None:
    stage.served(lambda *_: answer())
    client = stage.client()
    head = invocation(endpoint, expect="100-continue").replace(b"Content-Length: 2", b"Content-Length: %d" % length)
    response = client.call(head.removesuffix(b"{}"))
    assert (response.status, response.headers["connection"]) == (status, "close")
    assert client.at_end()


def test_an_unknown_expectation(stage: Stage) -> None:
    stage.served(lambda *_: answer())
    assert stage.client().call(invocation(expect="200-ok").removesuffix(b"{}")).status == 417


@pytest.mark.parametrize(
    "extra",
    [b"X: " + b"a" * 33_000, b"\r\n".join(b"X%d: a" % number for number in range(200))],
    ids=["bytes", "count"],
)
@pytest.mark.parametrize(
    "start",
    [invocation(), b"GET /other HTTP/1.1\r\nX-Amz-Target: SageMaker.X\r\nHost: localhost\r\n\r\n"],
    ids=["invocation", "other"],
)
def test_heads_out_of_bounds(stage: Stage, start: bytes, extra: bytes) -> None:
    stage.served(lambda *_: answer())
    client = stage.client()
    response = client.call(start.replace(b"Host:", extra + b"\r\nHost:"))
    assert response.status == 431
    assert client.at_end()


@pytest.mark.parametrize("start", [b"POST /endpoints/ep/invocations HTTP/1.1\r\nX: ", b"GET /a HTTP/1.1\r\nX: "])
def test_a_head_without_end(stage: Stage, start: bytes) -> None:
    stage.served(lambda *_: answer())
    assert stage.client().call(start + b"a" * 40_000).status == 431


SMUGGLED = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3",
    "equal lengths": b"Content-Length: 2\r\nContent-Length: 2",
    "length and chunked": b"Content-Length: 2\r\nTransfer-Encoding: chunked",
    "signed length": b"Content-Length: +2",
    "list of lengths": b"Content-Length: 2, 2",
    "space before colon": b"Content-Length : 2",
    "folded": b"Content-Length: 2\r\nX: a\r\n b",
    "bare newline": b"Content-Length: 2\nX: a",
    "null": b"Content-Length: 2\r\nX: a\x00b",
    "unknown coding": b"Transfer-Encoding: xchunked",
    "coding before chunked": b"Transfer-Encoding: gzip, chunked",
    "coding after chunked": b"Transfer-Encoding: chunked, gzip",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "identity": b"Transfer-Encoding: identity",
    "upgrade": b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2",
}


@pytest.mark.parametrize("framing", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_doubtful_framing_never_reaches_a_replica(stage: Stage, framing: bytes) -> None:
    replica = stage.served(lambda *_: answer())
    head = invocation(body=b"").replace(b"Content-Length: 0", framing)
    client = stage.client()
    response = client.call(head + b"0\r\n\r\nPOST /endpoints/ep/invocations HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
    assert response.status in (400, 501)
    assert client.at_end()
    assert not replica.seen


def test_a_trailer_is_not_a_header(stage: Stage) -> None:
    replica = stage.served(lambda *_: answer())
    head = invocation(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    assert stage.client().call(head + b"1\r\na\r\n0\r\nContent-Type: evil\r\n\r\n").status == 200
    assert "content-type" not in replica.seen[0].headers


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2"])
def test_versions_that_are_not_spoken(stage: Stage, version: bytes) -> None:
    stage.served(lambda *_: answer())
    assert stage.client().call(invocation().replace(b"HTTP/1.1", version)).status in (400, 505)


@pytest.mark.parametrize("change", [(b"HTTP/1.1", b"HTTP/1.0"), (b"Host", b"Connection: close\r\nHost")])
def test_connections_that_end_after_the_answer(stage: Stage, change: tuple[bytes, bytes]) -> None:
    stage.served(lambda *_: answer(b"x" * 100_000))
    client = stage.client()
    response = client.call(invocation().replace(*change))
    assert (response.status, len(response.body)) == (200, 100_000)
    assert response.headers["connection"] == "close"
    assert client.at_end()


def test_pipelined_requests_are_answered_in_order(stage: Stage) -> None:
    stage.served(lambda seen, _: answer(seen.body))
    client = stage.client()
    bodies = [b"%d" % number for number in range(300)]
    client.send(b"".join(invocation("ep" if n % 7 else "nope", body) for n, body in enumerate(bodies)))
    for number, body in enumerate(bodies):
        response = client.receive()
        assert (response.status, response.body) == (200, body) if number % 7 else response.status == 400


def test_a_head_that_is_cut_behind_pipelined_requests_is_not_a_large_one(stage: Stage) -> None:
    stage.served(lambda seen, _: answer(seen.body))
    client = stage.client()
    request = invocation(body=b"x")
    many = request * (60_000 // len(request))
    client.send(many + request[:40])
    time.sleep(0.1)
    client.send(request[40:])
    for _ in range(60_000 // len(request) + 1):
        assert client.receive().status == 200


def test_a_flood_of_pipelined_requests_is_not_read_ahead_of_its_answers(stage: Stage) -> None:
    stage.served(lambda *_: time.sleep(0.5))
    client = stage.client()
    client.socket.setblocking(False)
    one = invocation(body=b"x" * 1000)
    sent = 0
    try:
        for _ in range(40_000):
            sent += client.socket.send(one)
    except BlockingIOError:
        pass
    assert sent < 40_000 * len(one)


def test_a_request_in_single_bytes(stage: Stage) -> None:
    stage.served(lambda seen, _: answer(seen.body))
    client = stage.client()
    client.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
    for byte in invocation(body=b"12345", content_type="a/b"):
        client.send(bytes([byte]))
    assert client.receive().body == b"12345"


def test_idle_and_half_sent_connections_are_closed(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_IDLE_TIMEOUT_S"] = "0.3"
    stage.environment["MOORING_GATEWAY_BODY_GRACE_S"] = "0.3"
    stage.served(lambda *_: answer())
    idle, half_head, half_body = stage.client(), stage.client(), stage.client()
    half_head.send(b"GET /a HTTP/1.1\r\nX")
    half_body.send(invocation(body=b"12345")[:-2])
    assert idle.at_end()
    assert half_head.at_end()
    assert half_body.receive().status == 408
    assert half_body.at_end()


def test_large_bodies_wait_for_each_other(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_BUFFERED_LIMIT_BYTES"] = "5000000"
    replica = stage.served(lambda seen, _: answer(b"%d" % len(seen.body)))
    large = invocation(body=b"x" * 3_000_000)
    clients = [stage.client() for _ in range(6)]
    clients[0].send(large[:2000])
    time.sleep(0.1)
    senders = [threading.Thread(target=client.send, args=(large,)) for client in clients[1:]]
    for sender in senders:
        sender.start()
    small = stage.client().call(invocation(body=b"x" * 300))
    assert small.status == 200, "what is small does not wait"
    assert len(replica.seen) == 1
    assert clients[0].call(large[2000:]).body == b"3000000"
    assert [client.receive().body for client in clients[1:]] == [b"3000000"] * 5
    for sender in senders:
        sender.join()


def test_a_large_body_does_not_wait_for_ever(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_BUFFERED_LIMIT_BYTES"] = "5000000"
    stage.environment["MOORING_GATEWAY_BUFFERED_WAIT_S"] = "0.5"
    stage.served(lambda *_: answer())
    first, second = stage.client(), stage.client()
    large = invocation(body=b"x" * 3_000_000)
    first.send(large[:2000])
    time.sleep(0.1)
    refused = second.call(large)
    assert (refused.status, refused.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
    assert first.call(large[2000:]).status == 200
    assert stage.client().call(large).status == 200


@pytest.mark.parametrize("outcome", ["answered", "refused", "broken", "lost"])
def test_a_large_body_counts_until_its_message_is_done(stage: Stage, outcome: str) -> None:
    stage.environment["MOORING_GATEWAY_BUFFERED_LIMIT_BYTES"] = "2000000"
    stage.served(lambda seen, _: None if outcome == "broken" else answer(b"%d" % len(seen.body)))
    large = invocation(body=b"x" * 1_500_000)
    client = stage.client()
    for _ in range(3):
        if outcome == "refused":
            cut = re.sub(rb"Content-Length: \d+", b"Transfer-Encoding: chunked", large[: large.index(b"xx")])
            assert client.call(cut[:2000] + b"5\r\nabcde\r\nnonsense\r\n").status == 400
            client = stage.client()
        elif outcome == "lost":
            client.send(large[:700_000])
            client.close()
            time.sleep(0.1)
            client = stage.client()
        else:
            assert client.call(large).status == (424 if outcome == "broken" else 200)
    # At once, and from another connection: nothing waits for a sweep.
    assert stage.client().call(large).status == (424 if outcome == "broken" else 200)


def test_one_client_may_send_large_bodies_for_ever(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_BUFFERED_LIMIT_BYTES"] = "1000000"
    stage.served(lambda seen, _: answer(b"%d" % len(seen.body)))
    client = stage.client()
    large = invocation(body=b"x" * 900_000)
    assert {client.call(large).status for _ in range(40)} == {200}


def test_an_api_call_may_have_eight_mebibytes(stage: Stage) -> None:
    stage.served(lambda *_: answer())
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SageMaker.X\r\nAuthorization: {signed()}\r\n".encode()
    response = stage.client().call(head + b"Content-Length: 8388609\r\n\r\n" + b"x" * 1000)
    assert response.status == 413
