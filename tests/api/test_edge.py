from __future__ import annotations

import logging
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mooring.api import model_operations
from mooring.api.operations import OPERATIONS, Changing
from mooring.processes import identity
from mooring.store import models
from mooring.wire.errors import WireResponse
from tests.api.conftest import IMAGE
from tests.api.serving import Serving, serving, unique

JSON = "application/x-amz-json-1.1"


def model(name: str) -> dict[str, Any]:
    return {"ModelName": name, "PrimaryContainer": {"Image": IMAGE}}


def test_answers_carry_an_id_and_compact_json(edge: Serving) -> None:
    name = unique()
    made = edge.call("CreateModel", model(name), x_mooring_request_id="the-gateways-id")
    assert (made.status, made.headers["x-amzn-requestid"]) == (200, "the-gateways-id")
    assert made.headers["content-type"] == JSON
    assert made.body == b'{"ModelArn":"arn:aws:sagemaker:us-east-1:000000000000:model/%b"}' % name.encode()
    gone = edge.call("DeleteModel", {"ModelName": name})
    assert (gone.status, gone.body, gone.headers["content-length"]) == (200, b"", "0")
    assert uuid.UUID(gone.headers["x-amzn-requestid"])
    refused = edge.call("DeleteModel", {"ModelName": name})
    assert (refused.status, refused.headers["content-type"]) == (400, JSON)
    assert set(refused.json) == {"__type", "message"}


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[]", b'"x"', b'{"ModelName":{}}', b'{"ModelName":NaN}', b"[" * 90_000]
)
def test_a_body_that_is_not_what_the_protocol_reads(edge: Serving, body: bytes) -> None:
    answer = edge.call("DescribeModel", body)
    assert (answer.status, answer.json["__type"]) == (400, "SerializationException")


def test_null_is_absent_and_unknown_members_are_ignored(edge: Serving) -> None:
    answer = edge.call("ListModels", {"MaxResults": None, "Newer": {"x": 1}})
    assert answer.status == 200
    missing = edge.call("DescribeModel", {"ModelName": None})
    assert missing.json["message"] == (
        "1 validation error detected: Value null at 'modelName' failed to satisfy constraint: Member must not be null"
    )


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
def test_a_wrong_content_type(edge: Serving, content_type: str) -> None:
    answer = edge.call("ListModels", {}, Content_Type=content_type)
    assert (answer.status, answer.json["__type"]) == (400, "UnknownOperationException")


@pytest.mark.parametrize("target", ["SageMaker.Nothing", "Nothing", "", "SageMaker.", "Other.ListModels"])
def test_an_operation_that_aws_does_not_have(edge: Serving, target: str) -> None:
    answer = edge.call("x", {}, X_Amz_Target=target)
    assert (answer.status, answer.json) == (400, {"__type": "UnknownOperationException"})


def test_an_operation_that_is_not_there_yet_is_answered_and_logged(
    edge: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "mooring.api"):
        answer = edge.call("ListTrainingJobs", {})
    assert (answer.status, answer.json["__type"]) == (400, "UnknownOperationException")
    assert answer.json["message"] == "Mooring does not implement the operation ListTrainingJobs of sagemaker."
    assert "ListTrainingJobs of sagemaker is not implemented" in caplog.messages


def test_another_method_or_path(edge: Serving) -> None:
    scope = "AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/sagemaker/aws4_request, SignedHeaders=host, Signature=0"
    for method, path in (("GET", "/"), ("POST", "/elsewhere")):
        answer = edge.raw(method, path, {"Authorization": scope})
        assert (answer.status, answer.json) == (404, {"__type": "UnknownOperationException"})


def test_the_region_of_a_call_is_its_signatures_or_the_settings(edge: Serving) -> None:
    name = unique()
    assert ":eu-west-1:" in edge.call("CreateModel", model(name), region="eu-west-1").json["ModelArn"]
    headers = {"X-Amz-Target": "SageMaker.CreateModel", "Content-Type": JSON}
    answer = edge.raw("POST", "/", headers, b'{"ModelName":"%b","PrimaryContainer":{"Image":"i"}}' % name.encode())
    assert ":us-east-1:" in answer.json["ModelArn"]
    china = edge.call("CreateModel", model(name), region="cn-north-1")
    assert china.json["ModelArn"].startswith("arn:aws-cn:sagemaker:cn-north-1:")


def test_sts_says_who_calls(edge: Serving) -> None:
    found = edge.client("sts").get_caller_identity()
    assert found["Account"] == "000000000000"
    assert found["Arn"] == "arn:aws:sts::000000000000:assumed-role/mooring/session"
    assert found["UserId"].endswith(":session")


def test_a_defect_is_told_without_its_trace(
    edge: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise RuntimeError("a secret")

    monkeypatch.setitem(OPERATIONS["sagemaker"], "CreateModel", Changing(broken))
    answer = edge.call("CreateModel", model("m"), x_mooring_request_id="the-id")
    assert (answer.status, answer.json["__type"]) == (500, "InternalFailure")
    assert b"secret" not in answer.body
    record = next(record for record in caplog.records if "failed, request id the-id" in record.getMessage())
    assert record.exc_info is not None


def test_every_call_has_a_line_in_the_log(edge: Serving, caplog: pytest.LogCaptureFixture) -> None:
    name = unique()
    with caplog.at_level(logging.INFO, "mooring.api"):
        edge.call("CreateModel", model(name))
        edge.call("CreateModel", model(name))
    lines = [line for line in caplog.messages if name in line]
    assert lines[0].startswith(f"CreateModel '{name}' 200 OK ")
    assert lines[1].startswith(f"CreateModel '{name}' 400 ValidationException ")


def test_a_repeated_call_gets_the_first_answer(edge: Serving) -> None:
    name, invocation = unique(), str(uuid.uuid4())
    first = edge.call("CreateModel", model(name), invocation=invocation)
    again = edge.call("CreateModel", model(name), invocation=invocation)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["content-type"] == JSON
    assert again.headers["x-amzn-requestid"] != first.headers["x-amzn-requestid"]
    assert edge.call("CreateModel", model(name), invocation=str(uuid.uuid4())).status == 400
    removal = str(uuid.uuid4())
    assert edge.call("DeleteModel", {"ModelName": name}, invocation=removal).status == 200
    assert edge.call("DeleteModel", {"ModelName": name}, invocation=removal).status == 200
    assert edge.call("DeleteModel", {"ModelName": name}).status == 400


def test_calls_repeated_at_the_same_moment_get_one_answer(edge: Serving) -> None:
    name, invocation = unique(), str(uuid.uuid4())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: edge.call("CreateModel", model(name), invocation=invocation), range(8)))
    assert {answer.status for answer in answers} == {200}


def test_another_call_under_the_same_id_is_a_call_of_its_own(edge: Serving) -> None:
    invocation, names = str(uuid.uuid4()), [unique(), unique()]
    for name in names:
        answer = edge.call("CreateModel", model(name), invocation=invocation)
        assert answer.json["ModelArn"].endswith(name)


def test_refusals_are_not_kept(edge: Serving) -> None:
    name, invocation = unique(), str(uuid.uuid4())
    assert edge.call("DeleteModel", {"ModelName": name}, invocation=invocation).status == 400
    edge.call("CreateModel", model(name))
    assert edge.call("DeleteModel", {"ModelName": name}, invocation=invocation).status == 200


def test_a_call_repeated_after_a_restart_gets_the_first_answer(tmp_path: Path) -> None:
    path, invocation = tmp_path / "state.db", str(uuid.uuid4())
    with serving(path) as before:
        first = before.call("CreateModel", model("m"), invocation=invocation)
    with serving(path) as after:
        again = after.call("CreateModel", model("m"), invocation=invocation)
        assert (again.status, again.body) == (200, first.body)
        assert after.store.epoch == 2
        assert len(after.write(models.all)) == 1
        assert after.control.prewarmed == []


def test_an_answer_that_cannot_be_kept_undoes_its_change(edge: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    def create_then_break(*arguments: Any) -> dict[str, Any]:
        model_operations.create_model(*arguments)
        raise RuntimeError("died after its insert")

    name = unique()
    with monkeypatch.context() as patched:
        patched.setitem(OPERATIONS["sagemaker"], "CreateModel", Changing(create_then_break))
        assert edge.call("CreateModel", model(name)).status == 500
    assert edge.call("DescribeModel", {"ModelName": name}).status == 400


def test_the_admin_api(edge: Serving) -> None:
    client = {"X-Mooring-Client": "test"}
    base = "/-/mooring/v1"
    assert edge.raw("GET", f"{base}/status", client).json == {"version": "0", "endpoints": []}
    logs = edge.raw("GET", f"{base}/endpoints/e/logs?region=eu-west-1&after=t", client).json
    assert logs["lines"][0]["text"] == "eu-west-1 e t"
    assert edge.raw("DELETE", f"{base}/endpoints/e?region=eu-west-1", client).json == {}
    assert edge.control.deleted[-1][0].region == "eu-west-1"
    absent = edge.raw("DELETE", f"{base}/endpoints/absent", client)
    assert absent.status == 404
    assert absent.json["message"].startswith('Could not find endpoint "arn:aws:sagemaker:us-east-1:')
    image = edge.raw("GET", f"{base}/images/sklearn?region=eu-west-1&processor=cpu", client).json
    assert ".dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:" in image["image"]
    assert edge.raw("GET", f"{base}/images/nothing", client).status == 404
    assert edge.raw("GET", f"{base}/nothing", client).status == 404
    assert edge.raw("POST", f"{base}/status", client).status == 404
    accepted = edge.raw("POST", f"{base}/stop", client)
    assert accepted.status == 202
    assert accepted.json == identity.of(os.getppid()).to_document(), "the supervisor is control's parent"
    assert edge.stops == [1]


def test_the_admin_api_is_closed_to_web_pages_and_tells_no_trace(edge: Serving) -> None:
    refused = edge.raw("POST", "/-/mooring/v1/stop")
    assert refused.status == 403
    assert "X-Mooring-Client" in refused.json["message"]
    edge.control.broken = True
    try:
        failed = edge.raw("GET", "/-/mooring/v1/status", {"X-Mooring-Client": "test"})
    finally:
        edge.control.broken = False
    assert failed.status == 500
    assert b"secret" not in failed.body


def test_what_cannot_be_a_call_of_logs_is_the_neighbours(edge: Serving) -> None:
    asked: list[bytes] = []
    edge.control.neighbours = lambda request: (asked.append(request.body), WireResponse(200, (), b"{}"))[1]
    try:
        for body in (b"[", b"[]", b'{"logGroupName": 5}', b'{"logGroupName": "/mine"}'):
            headers = {"X-Amz-Target": "Logs_20140328.FilterLogEvents", "Content-Type": "application/x-amz-json-1.1"}
            assert edge.raw("POST", "/", headers, body).status == 200
        headers["X-Amz-Target"] = "Logs_20140328.PutLogEvents"
        assert edge.raw("POST", "/", headers, b'{"logGroupName": "/aws/sagemaker/Endpoints/x"}').status == 200
    finally:
        edge.control.neighbours = None
    assert len(asked) == 5
