"""Foreign web pages at the gateway's door, and paths that nobody serves."""

from __future__ import annotations

import pytest

from mooring.processes.sockets import listen_unix
from tests.gateway.running import Stage, answer, handed_over, invocation, signed

EVIL = "Origin: http://evil.example\r\n"
REBOUND = "rebind.evil.example:8080"


def request(line: str, host: str = "127.0.0.1:8080", extra: str = "", body: bytes = b"") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: {host}\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


FOREIGN = {
    "invocation": request("POST /endpoints/ep/invocations", extra=EVIL, body=b"x"),
    "signed invocation": request(
        "POST /endpoints/ep/invocations", extra=f"{EVIL}Authorization: {signed()}\r\n", body=b"x"
    ),
    "large invocation": request("POST /endpoints/ep/invocations", extra=EVIL, body=b"x" * 1_000_000),
    "same-site invocation": request("POST /endpoints/ep/invocations", extra="Sec-Fetch-Site: same-site\r\n"),
    "rebound invocation": request("POST /endpoints/ep/invocations", REBOUND),
    "another invocation": request("POST /endpoints/ep/async-invocations", extra=EVIL),
    "delete objects": request("POST /bucket?delete", extra=EVIL, body=b"<Delete/>"),
    "get an object": request("GET /bucket/key", extra="Sec-Fetch-Site: cross-site\r\n"),
    "signed object": request("GET /bucket/key", REBOUND, f"Authorization: {signed('s3')}\r\n"),
    "list buckets, rebound": request("GET /", REBOUND),
    "form": request(
        "POST /", extra=f"{EVIL}Content-Type: application/x-www-form-urlencoded\r\n", body=b"Action=GetCallerIdentity"
    ),
    "api, rebound": request("POST /", REBOUND, "X-Amz-Target: SageMaker.ListEndpoints\r\n", b"{}"),
    "admin, rebound": request("GET /-/mooring/v1/status", REBOUND, "X-Mooring-Client: a\r\n"),
    "preflight": request("OPTIONS /bucket/key", extra=f"{EVIL}Access-Control-Request-Method: PUT\r\n"),
}


@pytest.mark.parametrize("sent", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_page_is_refused_and_nothing_is_done(stage: Stage, sent: bytes) -> None:
    control = stage.control_edge(lambda *_: answer())
    with listen_unix(stage.paths.handover_socket) as front:
        replica = stage.served(lambda *_: answer())
        client = stage.client()
        response = client.call(sent)
        assert response.status == 403
        assert response.document["__type"] == "AccessDeniedException"
        assert response.headers["x-amzn-errortype"] == "AccessDeniedException"
        assert "evil.example" in response.document["message"] or "another site" in response.document["message"]
        assert not replica.seen
        assert not control.seen
        front.setblocking(False)
        with pytest.raises(BlockingIOError):
            front.accept()


def test_a_connection_that_was_trusted_is_not_trusted_for_ever(stage: Stage) -> None:
    replica = stage.served(lambda *_: answer())
    client = stage.client()
    assert client.call(invocation()).status == 200
    assert client.call(invocation().replace(b"\r\nHost", b"\r\nOrigin: http://evil.example\r\nHost")).status == 403
    assert client.call(invocation().replace(b"Host: localhost", b"Host: evil.example")).status == 403
    assert client.call(invocation()).status == 200
    assert client.call(invocation().replace(b"\r\nHost", b"\r\nOrigin: http://localhost\r\nHost")).status == 200
    assert len(replica.seen) == 3


def test_hosts_that_are_allowed(stage: Stage) -> None:
    stage.environment["MOORING_ALLOWED_HOSTS"] = "box.example, *.s3.example"
    with listen_unix(stage.paths.handover_socket) as front:
        stage.served(lambda *_: answer())
        client = stage.client()
        for host in (b"box.example:8080", b"[::1]:8080", b"10.1.2.3", b"a.localhost"):
            assert client.call(invocation().replace(b"Host: localhost", b"Host: " + host)).status == 200
        assert client.call(invocation().replace(b"Host: localhost\r\n", b"").replace(b"1.1", b"1.0")).status == 200
        get = request("GET /key", "bucket.s3.example")
        other = stage.client()
        other.send(get)
        taken, data = handed_over(front)
        with taken:
            assert data == get


def test_a_server_on_the_network_has_any_name(stage: Stage) -> None:
    stage.environment |= {"MOORING_HOST": "0.0.0.0", "MOORING_ACCESS_MODE": "any"}
    stage.served(lambda *_: answer())
    client = stage.client()
    assert client.call(invocation().replace(b"Host: localhost", b"Host: box.example")).status == 200
    foreign = invocation().replace(b"Host: localhost", b"Host: box.example\r\nOrigin: http://evil.example")
    assert client.call(foreign).status == 403


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("GET /-/x", "the admin API is below /-/mooring/v1/"),
        ("POST /-/", "the admin API is below /-/mooring/v1/"),
        ("GET /-/mooring", "the admin API is below /-/mooring/v1/"),
        ("GET /endpoints/ep/invocations", "POST to /endpoints/NAME/invocations"),
        ("PUT /endpoints/ep", "POST to /endpoints/NAME/invocations"),
        ("POST /endpoints/a/b/invocations", "POST to /endpoints/NAME/invocations"),
    ],
)
def test_paths_that_nobody_serves(stage: Stage, line: str, said: str) -> None:
    stage.start()
    client = stage.client()
    for _ in range(2):
        response = client.call(request(line))
        assert (response.status, response.headers["x-amzn-errortype"]) == (404, "UnknownOperationException")
        assert said in response.document["message"]
