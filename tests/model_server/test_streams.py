"""Scripts that yield their answer: parts go out as they are made, in one process and with several workers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path

import pytest

from tests.model_server.serving import Replica, UnixClient, executed, prepare, until

SCRIPT = """
import json, os, time
def model_fn(d): return d
def input_fn(body, content_type): return json.loads(body)
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.005)
def note(name):
    open(name, "x").close()
def predict_fn(data, model):
    return data
def output_fn(data, accept):
    kind = data.pop("kind")
    return {"tokens": tokens, "typed": typed, "plain": plain, "mixed": mixed, "raises": raises, "first": first,
            "exit": leave, "endless": endless, "empty": empty, "file": file, "map": mapped}[kind](**data)
def tokens(count, turn=None):
    for number in range(count):
        if turn is not None:
            wait_for(f"{turn}-{number}")
        yield f"token {number}"
def typed(): return (part for part in (b"a", "ä", bytearray(b"c"), memoryview(b"d"), b"", "")), "text/event-stream"
def plain(): return "plain"
def mixed():
    yield b"good"
    yield 7
def raises():
    yield b"good"
    raise ValueError("in the middle")
def first():
    raise ValueError("at once")
    yield b""
def leave():
    yield b"good"
    os._exit(1)
def endless(turn, size=1000):
    try:
        while True:
            yield b"x" * size
    finally:
        note(f"{turn}-stopped")
def empty(): return iter(())
def file():
    import io
    return io.BytesIO(b"a file is whole")
def mapped(): return map(str, range(3))
"""


@pytest.fixture(scope="module", params=[1, 3])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    prepared = prepare(tmp_path_factory.mktemp("streams") / "r", SCRIPT, workers=request.param)
    with executed(prepared) as running:
        yield running


@pytest.fixture
def turn(request: pytest.FixtureRequest) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)


def begin(replica: Replica, kind: str, client: UnixClient | None = None, **arguments: object) -> HTTPResponse:
    client = client or replica.connect()
    client.request(
        "POST", "/invocations", json.dumps({"kind": kind, **arguments}), {"Content-Type": "application/json"}
    )
    return client.getresponse()


def test_parts_go_out_as_they_are_made(replica: Replica, turn: str) -> None:
    """Each is made only when the one before has arrived; `/ping` is answered meanwhile."""
    go = [replica.root / "work" / f"{turn}-{number}" for number in range(3)]
    go[0].touch()
    response = begin(replica, "tokens", count=3, turn=turn)
    assert (response.status, response.getheader("Transfer-Encoding")) == (200, "chunked")
    assert response.read1(100) == b"token 0"
    go[1].touch()
    assert response.read1(100) == b"token 1"
    assert replica.ping().status == 200
    go[2].touch()
    assert response.read() == b"token 2"


def test_a_connection_serves_on_after_a_stream(replica: Replica) -> None:
    client = replica.connect()
    for count in (3, 1, 50):
        assert begin(replica, "tokens", client, count=count).read() == b"".join(b"token %d" % n for n in range(count))
        assert begin(replica, "plain", client).read() == b"plain"


def test_what_may_be_yielded(replica: Replica) -> None:
    response = begin(replica, "typed")
    assert response.read() == "aäcd".encode()
    assert response.getheader("Content-Type") == "text/event-stream"


@pytest.mark.parametrize(("kind", "body"), [("empty", b""), ("file", b"a file is whole"), ("map", b"012")])
def test_other_iterators(replica: Replica, kind: str, body: bytes) -> None:
    assert begin(replica, kind).read() == body


@pytest.mark.parametrize(
    ("kind", "said"), [("raises", "ValueError: in the middle"), ("mixed", "a int is in the script's")]
)
def test_an_exception_breaks_the_answer_off(replica: Replica, kind: str, said: str) -> None:
    response = begin(replica, kind)
    with pytest.raises(IncompleteRead) as error:
        response.read()
    assert error.value.partial == b"good"
    until(lambda: said in replica.log, "the exception is in the log")
    assert begin(replica, "plain").read() == b"plain"


def test_an_exception_before_the_first_part_is_an_error(replica: Replica) -> None:
    response = begin(replica, "first")
    assert response.status == 500
    assert b"at once" in response.read()


def test_a_caller_that_leaves_stops_the_script(replica: Replica, turn: str) -> None:
    client = replica.connect()
    response = begin(replica, "endless", client, turn=turn)
    assert response.read(10_000)
    response.close()
    client.close()
    until((replica.root / "work" / f"{turn}-stopped").exists, "the generator is closed")
    for _ in range(4):
        assert begin(replica, "plain").read() == b"plain"


def test_a_slow_caller_slows_the_script(replica: Replica, turn: str) -> None:
    client = replica.connect()
    response = begin(replica, "endless", client, turn=turn, size=100_000)
    time.sleep(0.5)
    memory = max(_resident(pid) for pid in _processes(replica))
    time.sleep(1.0)
    assert max(_resident(pid) for pid in _processes(replica)) < memory + 50_000_000, "it runs ahead of its caller"
    assert replica.ping().status == 200
    assert response.read(1_000_000) == b"x" * 1_000_000
    response.close()
    client.close()
    until((replica.root / "work" / f"{turn}-stopped").exists, "the generator is closed")


def test_a_client_of_http_1_0(replica: Replica) -> None:
    body = b'{"kind": "tokens", "count": 2}'
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(replica.socket))
        client.sendall(
            b"POST /invocations HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        client.sendall(body)
        answer = b""
        while data := client.recv(65536):
            answer += data
    head, _, streamed = answer.partition(b"\r\n\r\n")
    assert (streamed, b"Transfer-Encoding" in head) == (b"token 0token 1", False)


def test_a_worker_that_dies_in_a_stream(tmp_path: Path) -> None:
    with executed(prepare(tmp_path / "r", SCRIPT, workers=2)) as running:
        with pytest.raises((IncompleteRead, ConnectionError)):
            begin(running, "exit").read()
        assert until(lambda: begin(running, "plain").read() == b"plain", "another answers")


def test_a_predict_fn_that_yields_needs_no_output_fn(tmp_path: Path) -> None:
    script = """
def model_fn(d): return d
def input_fn(body, content_type): return body
def predict_fn(data, model):
    yield data
    yield b"!"
"""
    with executed(prepare(tmp_path / "r", script)) as running:
        reply = running.invoke("hello", "text/csv", "text/plain")
        assert (reply.status, reply.body, reply.type) == (200, b"hello!", "text/plain")


def test_a_transform_fn_that_yields_and_sets_its_type(tmp_path: Path) -> None:
    script = """
def model_fn(d, context): return d
def transform_fn(model, body, content_type, accept, context):
    context.set_response_content_type(0, "application/jsonlines")
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "c=1")
    for word in body.split():
        yield word + "\\n"
"""
    with executed(prepare(tmp_path / "r", script)) as running:
        reply = running.invoke("a b", "text/csv")
        assert (reply.body, reply.type) == (b"a\nb\n", "application/jsonlines")
        assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "c=1"


def _processes(replica: Replica) -> list[int]:
    pids = [replica.pid]
    for pid in pids:
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return pids


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
