"""Response streams through boto3, from a script that yields: tokens, failures, clients that leave, keys and the log."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EventStreamError

from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.test_access import allow, new_key
from tests.acceptance.test_audit import of

SCRIPT = """
import json, os, time
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return json.loads(body)
def wait_for(name):
    while not os.path.exists(name):
        time.sleep(0.005)
def predict_fn(asked, model):
    if "refuse" in asked:
        raise ValueError("refused at once")
    return tokens(**asked)
def tokens(count=0, turns=None, fail_at=None, note=None, pause=0.0):
    try:
        for number in range(count):
            if turns:
                wait_for(os.path.join(turns, str(number)))
            if number == fail_at:
                raise ValueError("in the middle")
            time.sleep(pause)
            yield f"token {number} "
    finally:
        if note:
            open(note, "x").close()
def output_fn(parts, accept):
    return parts, "text/plain"
"""


@pytest.fixture(scope="module")
def streaming(tmp_path_factory: pytest.TempPathFactory) -> Any:
    server = Server(
        tmp_path_factory.mktemp("streams") / "data", MOORING_AUDIT_LEVEL="all", MOORING_GATEWAY_INVOCATION_TIMEOUT_S="2"
    )
    try:
        deployment = Deployment(server.start("--workers", "2"))
        deployment.simple("talker", SCRIPT)
        deployment.model("talkers", SCRIPT, Environment={"SAGEMAKER_MODEL_SERVER_WORKERS": "2"})
        deployment.endpoint("talkers", deployment.variant("talkers"))
        deployment.wait("talkers")
        yield deployment
    finally:
        server.end()


ENDPOINTS = pytest.mark.parametrize("endpoint", ["talker", "talkers"])


@contextlib.contextmanager
def begun(streaming: Deployment, endpoint: str, asked: dict[str, Any], **members: Any) -> Iterator[dict[str, Any]]:
    """An answer as it comes, which is left at the end whether it is whole or not."""
    answer: dict[str, Any] = streaming.runtime.invoke_endpoint_with_response_stream(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps(asked), **members
    )
    with contextlib.closing(answer["Body"]):
        yield answer


def parts(answer: dict[str, Any]) -> Iterator[bytes]:
    return (event["PayloadPart"]["Bytes"] for event in answer["Body"])


@ENDPOINTS
def test_tokens_come_one_by_one(streaming: Deployment, endpoint: str, tmp_path: Path) -> None:
    """Each is made only once the client has the one before."""
    (tmp_path / "0").touch()
    got = []
    with begun(streaming, endpoint, {"count": 4, "turns": str(tmp_path)}, Accept="text/plain") as answer:
        assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/plain; charset=utf-8", endpoint)
        for part in parts(answer):
            got.append(part)
            (tmp_path / str(len(got))).touch()
    assert got == [b"token %d " % number for number in range(4)]


@ENDPOINTS
def test_the_same_through_invoke_endpoint(streaming: Deployment, endpoint: str) -> None:
    answer = streaming.runtime.invoke_endpoint(
        EndpointName=endpoint, ContentType="application/json", Body=json.dumps({"count": 3})
    )
    assert answer["Body"].read() == b"token 0 token 1 token 2 "


@ENDPOINTS
def test_what_fails_at_once_is_a_model_error(streaming: Deployment, endpoint: str) -> None:
    for asked in ({"refuse": 1}, {"count": 3, "fail_at": 0}):
        with pytest.raises(ClientError) as error, begun(streaming, endpoint, asked):
            pass
        assert error.value.response["Error"]["Code"] == "ModelError"
        assert error.value.response["OriginalStatusCode"] == 500


@ENDPOINTS
def test_what_fails_later_is_an_event(streaming: Deployment, endpoint: str) -> None:
    got: list[bytes] = []
    asked = {"count": 3, "fail_at": 2}
    with begun(streaming, endpoint, asked) as answer, pytest.raises(EventStreamError) as error:
        got.extend(parts(answer))
    assert b"".join(got) == b"token 0 token 1 "
    assert error.value.response["Error"]["Code"] == "ModelStreamError"


@ENDPOINTS
def test_a_silence_is_an_event(streaming: Deployment, endpoint: str, tmp_path: Path) -> None:
    (tmp_path / "0").touch()
    got: list[bytes] = []
    asked = {"count": 3, "turns": str(tmp_path)}
    with begun(streaming, endpoint, asked) as answer, pytest.raises(EventStreamError, match="longer than it may"):
        got.extend(parts(answer))
    (tmp_path / "1").touch()
    assert got == [b"token 0 "]


@ENDPOINTS
def test_a_client_that_leaves_ends_the_generator(streaming: Deployment, endpoint: str, tmp_path: Path) -> None:
    note = tmp_path / "stopped"
    with begun(streaming, endpoint, {"count": 10**9, "note": str(note), "pause": 0.001}) as answer:
        assert next(parts(answer)).startswith(b"token 0 ")
    wait_until(note.exists, what="the script to be stopped")
    with begun(streaming, endpoint, {"count": 1}) as answer:
        assert list(parts(answer)) == [b"token 0 "]


def test_a_stream_outlasts_the_time_for_an_answer(streaming: Deployment) -> None:
    """The time is for the first byte, and for each silence."""
    began = time.monotonic()
    with begun(streaming, "talker", {"count": 6, "pause": 0.5}) as answer:
        assert len(list(parts(answer))) == 6
    assert time.monotonic() - began > 2


def test_streams_are_in_the_audit_log(streaming: Deployment) -> None:
    server = streaming.server
    before = len(of(server, "InvokeEndpointWithResponseStream", 0))
    with begun(streaming, "talker", {"count": 1}) as answered:
        assert list(parts(answered))
    asked = {"count": 3, "fail_at": 2}
    with begun(streaming, "talker", asked) as failed, pytest.raises(EventStreamError):
        list(parts(failed))
    with pytest.raises(ClientError), begun(streaming, "nobody", {}):
        pass
    with begun(streaming, "talker", {"count": 10**9, "pause": 0.001}) as left:
        next(parts(left))
    lines = of(server, "InvokeEndpointWithResponseStream", before + 4)[before:]
    assert [(line["status"], line.get("error")) for line in lines] == [
        (200, None),
        (200, "ModelStreamError"),
        (400, "ValidationError"),
        (200, "ClientGone"),
    ]
    assert lines[0]["request_id"] == answered["ResponseMetadata"]["RequestId"]


def test_a_key_needs_a_permission_of_its_own(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_ACCESS_MODE="keys")
    server.key = new_key(server, "admin")
    server.start()
    deployment = Deployment(server)
    deployment.simple("talker", SCRIPT)
    runtime = server.client("sagemaker-runtime", key=new_key(server, "caller", allow("sagemaker:InvokeEndpoint")))
    asked = {"EndpointName": "talker", "ContentType": "application/json", "Body": b'{"count": 2}'}
    assert runtime.invoke_endpoint(**asked)["Body"].read() == b"token 0 token 1 "
    with pytest.raises(ClientError, match="not authorized to perform: sagemaker:InvokeEndpointWithResponseStream"):
        runtime.invoke_endpoint_with_response_stream(**asked)
    assert list(deployment.runtime.invoke_endpoint_with_response_stream(**asked)["Body"])
