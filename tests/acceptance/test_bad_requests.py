"""AWS's code, status and text for what is wrong with a request."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import ROLE, Deployment, Server, wait_until

ARN = "arn:aws:sagemaker:us-east-1:000000000000"


def refusal(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as refused:
        call(**members)
    response = refused.value.response
    error = response["Error"]
    return error["Code"], response["ResponseMetadata"]["HTTPStatusCode"], error["Message"]


def raw(server: Server, method: str, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=15)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=named)
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_unknown_names(shared: Deployment) -> None:
    sagemaker = shared.sagemaker
    assert refusal(sagemaker.describe_endpoint, EndpointName="nobody") == (
        "ValidationException",
        400,
        f'Could not find endpoint "{ARN}:endpoint/nobody".',
    )
    assert refusal(sagemaker.describe_model, ModelName="nobody")[2] == f'Could not find model "{ARN}:model/nobody".'
    assert refusal(sagemaker.create_endpoint, EndpointName="x", EndpointConfigName="nobody")[2] == (
        f'Could not find endpoint configuration "{ARN}:endpoint-config/nobody".'
    )
    assert refusal(
        sagemaker.create_endpoint_config,
        EndpointConfigName=f"{shared.prefix}-c",
        ProductionVariants=[shared.variant("nobody")],
    )[2] == (f'Could not find model "{ARN}:model/nobody".')


def test_an_unknown_endpoint_and_variant_at_the_runtime(shared: Deployment) -> None:
    code, status, message = refusal(shared.runtime.invoke_endpoint, EndpointName="nobody", Body=b"x")
    assert (code, status) == ("ValidationError", 400)
    assert message.startswith("Endpoint nobody of account 000000000000 not found. ")
    name = shared.simple(f"{shared.prefix}-v")
    code, status, message = refusal(
        shared.runtime.invoke_endpoint, EndpointName=name, Body=b"x", TargetVariant="nobody"
    )
    assert (code, status) == ("ValidationError", 400)
    assert "nobody" in message


def test_duplicate_names(shared: Deployment) -> None:
    name = shared.simple(f"{shared.prefix}-Dup")
    again = refusal(
        shared.sagemaker.create_model, ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer={"Image": "x"}
    )
    assert again == ("ValidationException", 400, f'Cannot create already existing model "{ARN}:model/{name}".')
    config = f"{name}-config"
    assert refusal(
        shared.sagemaker.create_endpoint_config, EndpointConfigName=config, ProductionVariants=[shared.variant(name)]
    )[2] == (f'Cannot create already existing endpoint configuration "{ARN}:endpoint-config/{config}".')
    assert refusal(shared.sagemaker.create_endpoint, EndpointName=name, EndpointConfigName=config)[2] == (
        f'Cannot create already existing endpoint "{ARN}:endpoint/{name}".'
    )


def test_violations_are_worded_as_aws_words_them(shared: Deployment) -> None:
    code, status, message = refusal(
        shared.sagemaker.create_endpoint_config,
        EndpointConfigName="x" * 64,
        ProductionVariants=[shared.variant("m", "v", InstanceType="ml.none.large", VolumeSizeInGB=513)],
    )
    assert (code, status) == ("ValidationException", 400)
    assert message.startswith("4 validation errors detected: Value '" + "x" * 64 + "' at 'endpointConfigName' failed")
    assert "Member must have length less than or equal to 63" in message
    assert (
        "Value 'ml.none.large' at 'productionVariants.1.member.instanceType' failed to satisfy constraint: "
        "Member must satisfy enum value set: [" in message
    )
    assert "Value '513' at 'productionVariants.1.member.volumeSizeInGB'" in message


@pytest.mark.parametrize("body", [b"{", b"[1]", b'{"EndpointName": 5}', b"\xff\xfe", b'{"EndpointName": {"a": 1}}'])
def test_malformed_json(shared: Deployment, body: bytes) -> None:
    status, headers, answer = raw(
        shared.server,
        "POST",
        "/",
        body,
        X_Amz_Target="SageMaker.DescribeEndpoint",
        Content_Type="application/x-amz-json-1.1",
    )
    assert status == 400
    assert json.loads(answer)["__type"] == "SerializationException"
    assert headers["x-amzn-requestid"]


def test_a_wrong_content_type(shared: Deployment) -> None:
    target = {"X_Amz_Target": "SageMaker.DescribeEndpoint", "Content_Type": "text/html"}
    status, headers, answer = raw(shared.server, "POST", "/", b'{"EndpointName": "nobody"}', **target)
    assert status == 400
    assert json.loads(answer)["__type"] == "UnknownOperationException"
    assert headers["content-type"] == "application/x-amz-json-1.1"


def test_unknown_operations(shared: Deployment) -> None:
    status, _, answer = raw(
        shared.server, "POST", "/", b"{}", X_Amz_Target="SageMaker.NoSuchThing",
        Content_Type="application/x-amz-json-1.1",
    )  # fmt: skip
    assert status == 400
    assert json.loads(answer)["__type"] == "UnknownOperationException"


def test_an_operation_that_is_not_there_says_so(shared: Deployment) -> None:
    with pytest.raises(ClientError) as refused:
        shared.sagemaker.create_training_job(
            TrainingJobName="t",
            AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
            RoleArn=ROLE,
            OutputDataConfig={"S3OutputPath": "s3://b/o"},
            ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 60},
        )
    assert 400 <= refused.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    assert "ModelDataUrl" in refused.value.response["Error"]["Message"]
    wait_until(lambda: "CreateTrainingJob" in shared.server.log.read_text())


def test_a_body_over_the_limit(shared: Deployment) -> None:
    name = shared.simple(f"{shared.prefix}-big")
    with pytest.raises(ClientError) as refused:
        shared.runtime.invoke_endpoint(EndpointName=name, Body=bytes(6_291_457), ContentType="text/csv")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert shared.invoke(name, body=bytes(6_291_456))["model"] == name


def test_two_creates_of_one_name_at_the_same_moment(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-race")
    shared.config(f"{name}-config", shared.variant(name))
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def create() -> None:
        client = shared.server.client("sagemaker")
        barrier.wait()
        try:
            client.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")
            outcomes.append("created")
        except ClientError as error:
            outcomes.append(error.response["Error"]["Message"])

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("created") == 1
    assert outcomes.count(f'Cannot create already existing endpoint "{ARN}:endpoint/{name}".') == 3
    shared.wait(name)
    assert len(shared.server.replicas(name)) == 1


def test_delete_while_creating_is_refused_and_forced(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-slow", "import time\ndef model_fn(d): time.sleep(600)")
    shared.endpoint(name, shared.variant(name))
    wait_until(lambda: any(each["pid"] for each in shared.server.replicas(name)), what="a replica to start")
    pids = [replica["pid"] for replica in shared.server.replicas(name)]
    refused = refusal(shared.sagemaker.delete_endpoint, EndpointName=name)
    assert refused == ("ValidationException", 400, f'Cannot update in-progress endpoint "{ARN}:endpoint/{name}".')
    done = shared.server.command("endpoints", "delete", name, "--force")
    assert done.returncode == 0, done.stderr
    assert refusal(shared.sagemaker.describe_endpoint, EndpointName=name)[2].startswith("Could not find endpoint")
    shared.server.note_processes()
    wait_until(lambda: not set(pids) & set(shared.server.survivors()), what="its processes to end")
    assert shared.simple(f"{shared.prefix}-after")


def test_a_repeated_call_gets_the_first_answer(shared: Deployment) -> None:
    name = f"{shared.prefix}-repeat"
    body = json.dumps({"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": "x"}}).encode()

    def create(invocation: str) -> tuple[int, dict[str, Any]]:
        status, _, answer = raw(
            shared.server,
            "POST",
            "/",
            body,
            X_Amz_Target="SageMaker.CreateModel",
            Content_Type="application/x-amz-json-1.1",
            amz_sdk_invocation_id=invocation,
        )
        return status, json.loads(answer)

    first = create("11111111-2222-3333-4444-555555555555")
    assert first == (200, {"ModelArn": f"{ARN}:model/{name}"})
    assert create("11111111-2222-3333-4444-555555555555") == first
    assert create("another")[1]["message"].startswith("Cannot create already existing model")
