"""Limits of size and time that were raised, through all that a call passes: gateway, model server and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, Server

MIB = 1024 * 1024
SCRIPT = """
import time
def model_fn(model_dir):
    return 1
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    if data.startswith(b"sleep"):
        time.sleep(float(data.split()[1]))
    if data.startswith(b"make"):
        return b"x" * int(data.split()[1])
    return data
def output_fn(data, accept):
    return data, "application/octet-stream"
"""


def call(deployment: Deployment, body: bytes) -> bytes:
    found = deployment.runtime.invoke_endpoint(
        EndpointName="echo", ContentType="application/octet-stream", Body=body
    )["Body"].read()  # fmt: skip
    assert isinstance(found, bytes)
    return found


@pytest.mark.parametrize("workers", ["1", "2"])
def test_limits_can_be_raised(make_server: Callable[..., Server], workers: str) -> None:
    server = make_server(
        MOORING_GATEWAY_BODY_LIMIT_BYTES=str(25 * MIB),
        MOORING_GATEWAY_RESPONSE_LIMIT_BYTES=str(25 * MIB),
        MOORING_GATEWAY_INVOCATION_TIMEOUT_S="70",
    ).start()
    deployment = Deployment(server)
    deployment.model("echo", SCRIPT, Environment={"SAGEMAKER_MODEL_SERVER_WORKERS": workers})
    deployment.endpoint("echo", deployment.variant("echo"))
    deployment.wait("echo")
    body = b"0123456789abcdef" * (25 * MIB // 16)
    assert call(deployment, body) == body
    with pytest.raises(ClientError) as error:
        call(deployment, body + b"x")
    assert error.value.response["Error"]["Code"] == "413"
    with pytest.raises(ClientError) as error:
        call(deployment, b"make %d" % (25 * MIB + 1))
    assert error.value.response["Error"]["Code"] == "ModelError"


def test_the_limits_are_awss(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_GATEWAY_INVOCATION_TIMEOUT_S="1").start()
    deployment = Deployment(server)
    deployment.simple("echo", SCRIPT)
    body = b"x" * 6_291_456
    assert call(deployment, body) == body
    with pytest.raises(ClientError) as error:
        call(deployment, body + b"x")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    with pytest.raises(ClientError) as error:
        call(deployment, b"make 6291457")
    found = error.value.response
    assert (found["Error"]["Code"], found["OriginalStatusCode"]) == ("ModelError", 200)
    assert "the response payload is 6291457 bytes" in found["OriginalMessage"]
    assert found["LogStreamArn"] == (
        "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/echo"
    )  # fmt: skip
    with pytest.raises(ClientError) as error:
        call(deployment, b"sleep 3")
    found = error.value.response
    assert (found["Error"]["Code"], found["OriginalStatusCode"]) == ("ModelError", 0)
    assert "timed out while waiting" in found["OriginalMessage"]
