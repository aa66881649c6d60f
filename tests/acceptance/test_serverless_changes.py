"""Serverless variants that are changed while they serve, and what their callers may send."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.calling import call_at_once
from tests.acceptance.running import Deployment, wait_until
from tests.acceptance.sleeping import SCRIPT, Sleeper, code, variant

MB = 1024 * 1024


def outcomes(endpoint: Sleeper, calls: int, body: bytes = b"0.5") -> Counter[int | None]:
    told = call_at_once(endpoint.server.url, endpoint.name, [body] * calls)
    return Counter(each.status if each else None for each in told)


def change(endpoint: Sleeper, **serverless: int) -> None:
    wanted = [{"VariantName": "v", "ServerlessUpdateConfig": serverless}]
    endpoint.deployment.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=endpoint.name, DesiredWeightsAndCapacities=wanted
    )
    endpoint.deployment.wait(endpoint.name)


def test_limits_change_while_it_serves(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(MaxConcurrency=1)
    assert outcomes(endpoint, 4) == {200: 1, 400: 3}
    change(endpoint, MaxConcurrency=3)
    assert outcomes(endpoint, 4) == {200: 3, 400: 1}
    change(endpoint, MaxConcurrency=2, ProvisionedConcurrency=2)
    assert outcomes(endpoint, 4) == {200: 2, 400: 2}
    endpoint.wait_for(2)
    (shown,) = endpoint.deployment.wait(endpoint.name)["ProductionVariants"]
    wanted = {"MemorySizeInMB": 2048, "MaxConcurrency": 2, "ProvisionedConcurrency": 2}
    assert shown["CurrentServerlessConfig"] == shown["DesiredServerlessConfig"] == wanted
    assert endpoint.most_at_a_time == 3


def test_what_cannot_be_provisioned_leaves_what_was(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    endpoint.wait_for(0)
    (endpoint.seen / "broken").touch()
    change(endpoint, ProvisionedConcurrency=1)
    found = endpoint.deployment.wait(endpoint.name)
    assert "these weights are of another model" in found["FailureReason"]
    assert found["ProductionVariants"][0]["DesiredServerlessConfig"] == {"MemorySizeInMB": 2048, "MaxConcurrency": 4}


def test_an_update_moves_calls_to_another_model(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(MaxConcurrency=3)
    other = endpoint.deployment.model("other", SCRIPT, Environment={"SEEN": str(endpoint.seen), "OTHER": "1"})
    endpoint.deployment.config("other", variant(other, MaxConcurrency=3))
    before = endpoint.pids()
    stop = threading.Event()
    failed: list[Counter[int | None]] = []

    def call() -> None:
        while not stop.is_set():
            if (found := outcomes(endpoint, 2, b"0.02")) != {200: 2}:
                failed.append(found)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        update(endpoint.deployment, endpoint.name, "other")
    finally:
        stop.set()
        thread.join()
    assert failed == []
    assert endpoint.invoke()["pid"] not in before
    assert endpoint.most_at_a_time <= 3
    endpoint.wait_for(0)


def update(deployment: Deployment, name: str, config: str) -> dict[str, Any]:
    deployment.sagemaker.update_endpoint(EndpointName=name, EndpointConfigName=config)
    return deployment.wait(name)


def test_an_update_whose_model_cannot_be_started_leaves_what_was(sleeper: Callable[..., Sleeper]) -> None:
    """Though at this moment no replica of the old one is there."""
    endpoint = sleeper()
    endpoint.wait_for(0)
    bad = endpoint.deployment.model("bad", "def model_fn(model_dir): raise RuntimeError('bad weights')")
    endpoint.deployment.config("bad", variant(bad))
    found = update(endpoint.deployment, endpoint.name, "bad")
    assert "bad weights" in found["FailureReason"]
    assert endpoint.invoke()["pid"]


def test_it_becomes_an_endpoint_of_instances_and_never_back(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    deployment = endpoint.deployment
    deployment.config("instances", deployment.variant(endpoint.name, "v"))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(endpoint.invoke, b"1")
        found = update(deployment, endpoint.name, "instances")
        assert held.result()["pid"]
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 1
    endpoint.wait_for(1)
    assert endpoint.invoke()["workers"] == "4"
    with pytest.raises(ClientError, match="Cannot update an instance-based endpoint to a serverless endpoint."):
        deployment.sagemaker.update_endpoint(EndpointName=endpoint.name, EndpointConfigName=f"{endpoint.name}-config")


def test_it_is_stopped_and_started(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    assert endpoint.server.command("endpoints", "stop", endpoint.name).returncode == 0
    endpoint.wait_for(0)
    assert "OutOfService" in str(endpoint.refused())
    assert endpoint.server.command("endpoints", "start", endpoint.name).returncode == 0
    endpoint.deployment.wait(endpoint.name)
    assert endpoint.invoke()["pid"]


def test_a_call_that_is_held_ends_with_its_endpoint(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(load_s=3)
    endpoint.wait_for(0)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(endpoint.refused)
        wait_until(lambda: len(endpoint.pids()) == 1, what="a replica that loads")
        endpoint.deployment.sagemaker.delete_endpoint(EndpointName=endpoint.name)
        assert "not found" in str(held.result())


def test_four_megabytes_both_ways(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    assert endpoint.invoke(b"x" * 4 * MB)["pid"]
    refused = endpoint.refused(b"x" * (4 * MB + 1))
    assert code(refused) == "ValidationError"
    request_id = refused.response["ResponseMetadata"]["RequestId"]
    assert refused.response["Error"]["Message"] == f"Request {request_id} has oversize body."
    script = "def transform_fn(model, body, content_type, accept): return 'y' * int(body), accept\n"
    script += "def model_fn(model_dir): return 1"
    endpoint.deployment.model("large", script)
    endpoint.deployment.endpoint("large", variant("large"))
    endpoint.deployment.wait("large")
    runtime = endpoint.deployment.runtime
    answer = runtime.invoke_endpoint(EndpointName="large", Body=str(4 * MB).encode())
    assert len(answer["Body"].read()) == 4 * MB
    with pytest.raises(ClientError, match=f"exceeded the maximum limit of {4 * MB} bytes"):
        runtime.invoke_endpoint(EndpointName="large", Body=str(4 * MB + 1).encode())


def test_sessions_are_not_for_replicas_that_come_and_go(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    with pytest.raises(ClientError, match="Sessions are not supported for serverless endpoints"):
        endpoint.deployment.runtime.invoke_endpoint(EndpointName=endpoint.name, Body=b"x", SessionId="NEW_SESSION")


def test_a_response_stream_has_a_slot_until_its_end(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(MaxConcurrency=1)
    for _ in range(2):
        answer = endpoint.deployment.runtime.invoke_endpoint_with_response_stream(EndpointName=endpoint.name, Body=b"0")
        whole = b"".join(event["PayloadPart"]["Bytes"] for event in answer["Body"])
        assert json.loads(whole)["pid"]
        endpoint.wait_for(0)
