"""The audit log of real calls: who did what, of every kind of call, and nothing of what was sent."""

from __future__ import annotations

import contextlib
import http.client
import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.test_access import new_key

Line = dict[str, Any]
SLOW = """
import time
def model_fn(model_dir):
    return 1
def predict_fn(data, model):
    time.sleep(3)
    return data
"""


def lines(server: Server) -> list[Line]:
    path = server.data / "logs" / "audit.jsonl"
    return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []


def of(server: Server, operation: str, count: int = 1) -> list[Line]:
    """The lines about an operation, once there are so many."""
    wait_until(lambda: sum(line["operation"] == operation for line in lines(server)) >= count, what=operation)
    return [line for line in lines(server) if line["operation"] == operation]


def refused(call: Callable[..., Any], **members: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**members)
    return str(error.value.response["Error"]["Code"])


def test_every_call_is_a_line(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_AUDIT_LEVEL="all").start()
    own = Deployment(server)
    own.model("echo", Environment={"SECRET": "a-secret-value"})
    own.endpoint("echo", own.variant("echo"))
    own.wait("echo")
    answered = own.runtime.invoke_endpoint(EndpointName="echo", Body=b"a-secret-body", ContentType="text/csv")
    refused(own.runtime.invoke_endpoint, EndpointName="nobody", Body=b"x")
    refused(own.sagemaker.describe_model, ModelName="nobody")
    refused(own.s3.get_object, Bucket=own.bucket, Key="nothing\nhere")
    own.s3.get_object(Bucket=own.bucket, Key="echo/model.tar.gz")["Body"].read()
    server.client("iam").create_role(RoleName="Made", AssumeRolePolicyDocument="{}")
    refused(server.client("iam").get_role, RoleName="Nobody")

    [created] = of(server, "CreateEndpoint")
    assert created["resource"] == "arn:aws:sagemaker:us-east-1:000000000000:endpoint/echo"
    assert (created["service"], created["key_id"], created["source"]) == ("sagemaker", "test", "127.0.0.1")
    assert (created["status"], created["region"]) == (200, "us-east-1")
    assert created["duration_ms"] > 0
    [made] = of(server, "CreateModel")
    assert made["resource"].endswith(":model/echo")
    [missing] = of(server, "DescribeModel")
    assert (missing["status"], missing["error"]) == (400, "ValidationException")

    invoked = of(server, "InvokeEndpoint", 2)
    assert [line["status"] for line in invoked] == [200, 400]
    assert invoked[0]["request_id"] == answered["ResponseMetadata"]["RequestId"]
    assert invoked[0]["resource"] == created["resource"]
    assert invoked[0]["key_id"] == "test"
    assert (invoked[1]["error"], invoked[1]["resource"].endswith(":endpoint/nobody")) == ("ValidationError", True)

    put = next(line for line in of(server, "PutObject") if line["resource"].endswith("/echo/model.tar.gz"))
    assert put["resource"] == f"arn:aws:s3:::{own.bucket}/echo/model.tar.gz"
    assert (put["service"], put["status"], put["source"], put["key_id"]) == ("s3", 200, "127.0.0.1", "test")
    got = {line["resource"]: line for line in of(server, "GetObject", 2)}
    assert got[f"arn:aws:s3:::{own.bucket}/nothing\nhere"]["error"] == "NoSuchKey"
    assert len(got) == 2, "what Mooring itself reads is nobody's call"

    [role] = of(server, "CreateRole")
    assert (role["service"], role["resource"], role["status"]) == ("iam", "Made", 200)
    assert [line["error"] for line in of(server, "GetRole")] == ["NoSuchEntity"]

    assert server.command("endpoints", "delete", "echo", "--force").returncode == 0
    [forced] = of(server, "DELETE /-/mooring/v1/endpoints/echo")
    assert (forced["service"], forced["status"]) == ("mooring", 200)
    text = (server.data / "logs" / "audit.jsonl").read_text()
    assert "secret" not in text
    assert "Signature" not in text
    status = server.status()["audit"]
    assert (status["level"], status["lost"]) == ("all", 0)
    assert status["file"].endswith("/logs/audit.jsonl")


def test_a_caller_cannot_choose_its_address(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    headers = {
        "X-Amz-Target": "SageMaker.ListModels",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Mooring-Source": "6.6.6.6",
        "X-Mooring-Request-Id": "mine",
    }
    with contextlib.closing(connection):
        connection.request("POST", "/", b"{}", headers)
        assert connection.getresponse().status == 200
    [line] = of(server, "ListModels")
    assert line["source"] == "127.0.0.1"
    assert line["request_id"] != "mine"
    assert "key_id" not in line, "nobody signed it"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")
def test_nor_hide_it_behind_a_call_of_s3(make_server: Callable[..., Server]) -> None:
    """After S3's, a connection's request comes to the gateway from the objects front."""
    server = make_server().start()
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(
        str(address.hostname), address.port, timeout=20, source_address=("127.0.0.77", 0)
    )
    with contextlib.closing(connection):
        connection.request("GET", "/bucket/key")
        assert connection.getresponse().read().startswith(b"<?xml")
        headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
        connection.request("POST", "/", b"{}", {**headers, "X-Mooring-Source": "6.6.6.6"})
        assert connection.getresponse().status == 200
    assert [line["source"] for line in of(server, "ListModels")] == ["127.0.0.77"]


def test_only_what_is_wanted_is_recorded(make_server: Callable[..., Server]) -> None:
    changes = make_server("changes", MOORING_AUDIT_LEVEL="changes").start()
    own = Deployment(changes)
    own.model("m")
    own.sagemaker.list_models()
    own.s3.list_objects_v2(Bucket=own.bucket)
    own.sagemaker.delete_model(ModelName="m")
    of(changes, "DeleteModel")
    assert {line["operation"] for line in lines(changes)} == {"CreateBucket", "PutObject", "CreateModel", "DeleteModel"}
    nothing = make_server("off", MOORING_AUDIT_LEVEL="off").start()
    nothing.client("sagemaker").list_models()
    assert lines(nothing) == []
    assert nothing.status()["audit"]["level"] == "off"


def test_a_log_that_cannot_be_written_fails_no_call_and_is_told(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    server.client("sagemaker").list_models()
    of(server, "ListModels")
    path = server.data / "logs" / "audit.jsonl"
    path.unlink()
    path.mkdir()
    assert server.client("sagemaker").list_models()["Models"] == []
    server.client("s3").create_bucket(Bucket="bucket")
    wait_until(lambda: server.status()["audit"]["lost"] >= 2, what="the lost lines to be told")
    assert "audit: 2 lines could not be written to" in server.command("status").stdout
    path.rmdir()
    server.client("sagemaker").list_models()
    assert [line["operation"] for line in of(server, "ListModels")] == ["ListModels"]


def test_an_invocation_that_ends_early_is_a_line_too(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_AUDIT_LEVEL="all", MOORING_GATEWAY_INVOCATION_TIMEOUT_S="20").start()
    own = Deployment(server)
    own.simple(
        "slow", "import time\ndef model_fn(d):\n    return 1\ndef predict_fn(x, m):\n    time.sleep(3)\n    return x\n"
    )
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", "/endpoints/slow/invocations", b"1", {"Content-Type": "text/csv"})
        wait_until(
            lambda: any("slow" in line.get("resource", "") for line in lines(server)), what="the endpoint's calls"
        )
    [gone] = of(server, "InvokeEndpoint")
    assert (gone["status"], gone["error"]) == (None, "ClientGone")
    connection.request("POST", "/endpoints/slow/invocations", b"x" * 100, {"Content-Length": str(7 * 1024 * 1024)})
    with contextlib.closing(connection):
        assert connection.getresponse().status == 413
    too_long = of(server, "InvokeEndpoint", 2)[1]
    assert too_long["status"] == 413


def test_what_keys_refuse_is_recorded_with_the_key_that_was_claimed(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_AUDIT_LEVEL="all", MOORING_ACCESS_MODE="keys")
    server.key = new_key(server, "admin")
    server.start()
    own = Deployment(server)
    own.simple("echo")
    assert own.invoke("echo")["model"] == "echo"
    server.key = ("MKIASTRANGERSTRANGER", "x" * 40)
    for service, operation, members in (
        ("sagemaker", "delete_endpoint", {"EndpointName": "echo"}),
        ("sagemaker-runtime", "invoke_endpoint", {"EndpointName": "echo", "Body": b"x"}),
        ("s3", "delete_object", {"Bucket": own.bucket, "Key": "echo/model.tar.gz"}),
        ("iam", "delete_role", {"RoleName": "mooring"}),
    ):
        refused(getattr(server.client(service), operation), **members)
    for operation in ("DeleteEndpoint", "DeleteRole", "InvokeEndpoint"):
        line = of(server, operation)[-1]
        assert (line["key_id"], line["status"] in (400, 403)) == ("MKIASTRANGERSTRANGER", True), line
        assert line["error"], line
    wait_until(
        lambda: any(line["service"] == "s3" and line["status"] == 403 for line in lines(server)), what="S3's line"
    )
    [denied] = [line for line in lines(server) if line["service"] == "s3" and line["status"] == 403]
    assert (denied["key_id"], denied["error"]) == ("MKIASTRANGERSTRANGER", "InvalidAccessKeyId")
    good = of(server, "InvokeEndpoint")[0]
    assert good["status"] == 200
    assert good["key_id"] == own.runtime._request_signer._credentials.access_key
