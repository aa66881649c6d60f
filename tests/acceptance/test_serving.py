"""The main job through unmodified boto3: models behind an endpoint, split by weight, changed live."""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import ECHO, IMAGE, ROLE, Deployment, Load, Server, archive, wait_until

SUBSTANTIAL = 400


def split(deployment: Deployment, endpoint: str, calls: int = SUBSTANTIAL) -> collections.Counter[str]:
    return collections.Counter(deployment.invoke(endpoint)["variant"] for _ in range(calls))


def two_variants(deployment: Deployment) -> str:
    first, second = f"{deployment.prefix}-a", f"{deployment.prefix}-b"
    deployment.model(first)
    deployment.model(second)
    endpoint = f"{deployment.prefix}-two"
    deployment.endpoint(
        endpoint,
        deployment.variant(first, "a", InitialVariantWeight=1),
        deployment.variant(second, "b", InitialVariantWeight=3),
    )
    deployment.wait(endpoint)
    return endpoint


def test_traffic_splits_by_weight_and_the_split_moves_live(shared: Deployment) -> None:
    endpoint = two_variants(shared)
    seen = split(shared, endpoint)
    # 400 draws at 3/4: outside 240..355 once in a billion.
    assert 240 < seen["b"] < 355
    shared.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint,
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 1},
            {"VariantName": "b", "DesiredWeight": 0},
        ],
    )
    described = shared.wait(endpoint)
    assert {each["VariantName"]: each["CurrentWeight"] for each in described["ProductionVariants"]} == {"a": 1, "b": 0}
    assert split(shared, endpoint, 50) == {"a": 50}
    assert shared.invoke(endpoint, TargetVariant="b")["variant"] == "b"


def test_no_call_fails_while_weights_and_capacities_change(shared: Deployment) -> None:
    endpoint = two_variants(shared)
    with Load(shared, endpoint) as load:
        for weight, count in ((0, 2), (5, 1), (1, 2), (2, 1)):
            shared.sagemaker.update_endpoint_weights_and_capacities(
                EndpointName=endpoint,
                DesiredWeightsAndCapacities=[
                    {"VariantName": "a", "DesiredWeight": weight, "DesiredInstanceCount": count}
                ],
            )
            shared.wait(endpoint)
            load.wait_for_more(30)
    assert load.failures == []
    assert len(shared.server.replicas(endpoint)) == 2


def test_capacity_is_real_processes(shared: Deployment) -> None:
    name = shared.simple(f"{shared.prefix}-count", InitialInstanceCount=3)
    pids = {shared.invoke(name)["pid"] for _ in range(60)}
    assert len(pids) == 3
    assert pids == {replica["pid"] for replica in shared.server.replicas(name)}
    shared.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredInstanceCount": 1}]
    )
    shared.wait(name)
    assert len({shared.invoke(name)["pid"] for _ in range(20)}) == 1
    wait_until(lambda: len(shared.server.replicas(name)) == 1, what="two replicas to leave")


def test_a_describe_echoes_everything_that_a_config_said(shared: Deployment) -> None:
    model = shared.model(f"{shared.prefix}-echo")
    said: dict[str, Any] = {
        "ProductionVariants": [
            shared.variant(
                model,
                "v",
                InitialVariantWeight=0.5,
                AcceleratorType="ml.eia2.medium",
                CoreDumpConfig={"DestinationS3Uri": "s3://b/cores"},
                ModelDataDownloadTimeoutInSeconds=60,
                ContainerStartupHealthCheckTimeoutInSeconds=61,
                EnableSSMAccess=True,
                RoutingConfig={"RoutingStrategy": "RANDOM"},
            )
        ],
        "DataCaptureConfig": {
            "EnableCapture": True,
            "InitialSamplingPercentage": 50,
            "DestinationS3Uri": "s3://b/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        },
        "KmsKeyId": "alias/some-key",
    }
    name = f"{shared.prefix}-echo"
    shared.sagemaker.create_endpoint_config(EndpointConfigName=name, **said)
    described = shared.sagemaker.describe_endpoint_config(EndpointConfigName=name)
    for member, value in said.items():
        assert described[member] == value


def test_headers_travel_both_ways(shared: Deployment) -> None:
    script = """
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    return (body.upper() if isinstance(body, str) else body), accept
"""
    name = shared.simple(f"{shared.prefix}-headers", script)
    response = shared.runtime.invoke_endpoint(
        EndpointName=name, ContentType="text/csv", Accept="text/csv", Body=b"abc", InferenceId="my id 1"
    )
    assert response["Body"].read() == b"ABC"
    assert response["ContentType"].startswith("text/csv")
    assert response["ResponseMetadata"]["RequestId"]


def test_model_data_from_a_prefix_and_a_sourcedir(shared: Deployment) -> None:
    prefix = f"{shared.prefix}-prefix"
    shared.s3.put_object(Bucket=shared.bucket, Key=f"{prefix}/weights/w.txt", Body=b"from the prefix")
    source = "import os\ndef model_fn(d): return open(os.path.join(d, 'weights/w.txt')).read()\n"
    source += "def transform_fn(model, body, content_type, accept): return model, 'text/plain'\n"
    shared.s3.put_object(Bucket=shared.bucket, Key=f"{prefix}.tar.gz", Body=archive({"serve.py": source}))
    data_source = {"S3Uri": f"s3://{shared.bucket}/{prefix}/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    shared.sagemaker.create_model(
        ModelName=prefix,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataSource": {"S3DataSource": data_source},
            "Environment": {
                "SAGEMAKER_PROGRAM": "serve.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": f"s3://{shared.bucket}/{prefix}.tar.gz",
            },
        },
    )
    shared.endpoint(prefix, shared.variant(prefix))
    shared.wait(prefix)
    response = shared.runtime.invoke_endpoint(EndpointName=prefix, Body=b"x", ContentType="text/csv")
    assert response["Body"].read() == b"from the prefix"


def test_a_replica_sees_only_what_the_contract_names(shared: Deployment) -> None:
    script = """
import json, os
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd"))
    links = {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")}
    return json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "group": os.getpgid(0) == os.getpid(),
                       "fds": list(links.values())}), "application/json"
"""
    name = f"{shared.prefix}-clean"
    shared.model(name, script, Environment={"MY_OWN": "value"})
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    response = shared.runtime.invoke_endpoint(EndpointName=name, Body=b"x", ContentType="text/csv")
    seen = json.loads(response["Body"].read())
    assert seen["env"]["MY_OWN"] == "value"
    assert not [variable for variable in seen["env"] if variable.startswith("MOORING")]
    assert seen["env"]["AWS_REGION"] == "us-east-1"
    assert seen["env"]["AWS_ENDPOINT_URL"] == shared.server.url
    assert seen["group"]
    assert "replicas" in seen["cwd"]
    files = [link for link in seen["fds"] if link.startswith("/") and not link.startswith(("/dev/", "/proc/"))]
    assert all(link.endswith(".log") for link in files), files


def test_deleting_what_is_in_use_leaves_the_endpoint_serving(shared: Deployment) -> None:
    name = shared.simple(f"{shared.prefix}-inuse")
    shared.sagemaker.delete_model(ModelName=name)
    shared.sagemaker.delete_endpoint_config(EndpointConfigName=f"{name}-config")
    shared.s3.delete_object(Bucket=shared.bucket, Key=f"{name}/model.tar.gz")
    assert shared.invoke(name)["model"] == name
    with pytest.raises(ClientError) as refused:
        shared.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": name, "DesiredWeight": 2}]
        )
    arn = f"arn:aws:sagemaker:us-east-1:000000000000:endpoint-config/{name}-config"
    assert refused.value.response["Error"]["Message"] == f'Could not find endpoint configuration "{arn}".'
    assert shared.invoke(name)["model"] == name


def test_the_waiters_and_the_end(shared: Deployment) -> None:
    name = f"{shared.prefix}-end"
    shared.model(name)
    shared.endpoint(name, shared.variant(name))
    delay = {"Delay": 0.05, "MaxAttempts": 400}
    shared.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=delay)
    pid = shared.invoke(name)["pid"]
    shared.sagemaker.delete_endpoint(EndpointName=name)
    shared.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=delay)
    with pytest.raises(ClientError) as unknown:
        shared.invoke(name)
    assert unknown.value.response["Error"]["Code"] == "ValidationError"
    time.sleep(0.01)
    wait_until(lambda: pid not in {each["pid"] for each in shared.server.status()["processes"]})
    assert not (shared.server.data / "artifacts" / name).exists()


def test_a_history_tells_the_steps_and_what_has_no_effect(shared: Deployment) -> None:
    name = f"{shared.prefix}-told"
    shared.model(name)
    kms = shared.server.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    shared.config(f"{name}-config", shared.variant(name, VolumeSizeInGB=5), KmsKeyId=key)
    shared.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=f"{name}-config")
    shared.wait(name)
    lines = shared.server.command("endpoints", "events", name).stdout.splitlines()
    told = "\n".join(line.split("  ", 1)[1] for line in lines)
    places = [
        told.index(part) for part in ("Creating", "fetching s3://", "loads the model", "answers /ping", "InService")
    ]
    assert places == sorted(places)
    assert "no effect yet  KmsKeyId: the model's files lie unencrypted" in told
    assert f'no effect yet: variant "{name}", VolumeSizeInGB' in shared.server.command("status").stdout


def test_logs_hold_what_the_model_printed(shared: Deployment) -> None:
    name = shared.simple(f"{shared.prefix}-logs", "print('loading the model')\n" + ECHO.format(name="x"))
    wait_until(lambda: "loading the model" in shared.server.command("logs", name).stdout)


def test_requirements_get_an_environment_of_their_own(shared: Deployment) -> None:
    script = """
import sys
def model_fn(model_dir):
    import iniconfig
    return iniconfig.__file__
def transform_fn(model, body, content_type, accept): return model + " " + sys.executable, "text/plain"
"""
    name = f"{shared.prefix}-requirements"
    files: dict[str, str | bytes] = {"code/inference.py": script, "code/requirements.txt": "iniconfig\n"}
    shared.model(name, data=archive(files))
    shared.endpoint(name, shared.variant(name))
    shared.wait(name, timeout=55)
    answer = shared.runtime.invoke_endpoint(EndpointName=name, Body=b"x", ContentType="text/csv")["Body"].read()
    assert answer.count(str(shared.server.data / "environments").encode()) == 2


def test_two_regions_are_two_worlds(shared: Deployment) -> None:
    name = shared.simple(f"{shared.prefix}-region")
    elsewhere = shared.server.client("sagemaker", region="eu-west-1")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        elsewhere.describe_endpoint(EndpointName=name)
    with pytest.raises(ClientError, match="not found"):
        shared.invoke(name, client=shared.server.client("sagemaker-runtime", region="eu-west-1"))


def test_a_serverless_variant_is_served_by_one_replica(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-serverless")
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 5}
    shared.endpoint(name, {"VariantName": "v", "ModelName": name, "ServerlessConfig": serverless})
    (variant,) = shared.wait(name)["ProductionVariants"]
    assert variant["CurrentServerlessConfig"] == serverless
    assert "DesiredInstanceCount" not in variant
    assert shared.invoke(name)["model"] == name
    assert len(shared.server.replicas(name)) == 1


def test_an_unmodified_waiter_goes_on_when_the_endpoint_is_ready(shared: Deployment) -> None:
    """It would ask again after 30 seconds; its one call is held instead. The same for one that is deleted."""
    slow = "import time\n" + ECHO.format(name="x").replace('return "x"', 'time.sleep(1); return "x"')
    name = shared.model(f"{shared.prefix}-waiter", slow)
    client = shared.server.client("sagemaker", retries=3)
    asked: list[str] = []
    client.meta.events.register("before-call.sagemaker.DescribeEndpoint", lambda **_: asked.append("describe"))
    shared.endpoint(name, shared.variant(name))
    client.get_waiter("endpoint_in_service").wait(EndpointName=name)
    assert asked == ["describe"]
    client.delete_endpoint(EndpointName=name)
    client.get_waiter("endpoint_deleted").wait(EndpointName=name)
    assert asked == ["describe"] * 2


def test_a_models_own_boto3_reaches_this_server_in_its_endpoints_region(shared: Deployment) -> None:
    script = """
import boto3, json
def model_fn(model_dir):
    return boto3.client("s3").get_object(Bucket="{bucket}", Key="for-the-model")["Body"].read().decode()
def transform_fn(model, body, content_type, accept):
    seen = {{"read": model, "region": boto3.client("sagemaker").meta.region_name,
             "endpoints": [each["EndpointName"] for each in boto3.client("sagemaker").list_endpoints()["Endpoints"]]}}
    return json.dumps(seen), "application/json"
"""
    elsewhere = Deployment(shared.server, f"{shared.prefix}-ireland", region="eu-west-1")
    elsewhere.s3.put_object(Bucket=elsewhere.bucket, Key="for-the-model", Body=b"from S3")
    name = f"{shared.prefix}-boto3"
    elsewhere.simple(name, script.format(bucket=elsewhere.bucket))
    response = elsewhere.runtime.invoke_endpoint(EndpointName=name, Body=b"x", ContentType="text/csv")
    assert json.loads(response["Body"].read()) == {"read": "from S3", "region": "eu-west-1", "endpoints": [name]}


def test_what_one_worker_wrote_every_other_one_reads(make_server: Callable[..., Server]) -> None:
    """AWS may say "Could not find" for a while. Each client has a connection of its own, to one of the workers."""
    own = Deployment(make_server().start("--workers", "3"))
    own.model("m")
    clients = [own.server.client("sagemaker") for _ in range(6)]
    variant = own.variant("m", "v")
    for number in range(18):
        writer, reader, deleter = (clients[(number + each) % 6] for each in (0, 1, 2))
        writer.create_endpoint_config(EndpointConfigName=f"c{number}", ProductionVariants=[variant])
        assert reader.describe_endpoint_config(EndpointConfigName=f"c{number}")["ProductionVariants"]
        if number % 6 == 0:
            reader.create_endpoint(EndpointName=f"e{number}", EndpointConfigName=f"c{number}")
            assert deleter.describe_endpoint(EndpointName=f"e{number}")["EndpointStatus"] in ("Creating", "InService")
        deleter.delete_endpoint_config(EndpointConfigName=f"c{number}")
        with pytest.raises(writer.exceptions.ClientError, match="Could not find endpoint configuration"):
            writer.describe_endpoint_config(EndpointConfigName=f"c{number}")
