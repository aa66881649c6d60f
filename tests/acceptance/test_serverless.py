"""Serverless variants: no replica while nobody calls, calls that wait for one, and never more than MaxConcurrency."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.acceptance.calling import call_at_once
from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.sleeping import Sleeper, code
from tests.acceptance.test_metrics import query, values


def test_it_falls_to_zero_and_comes_back(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    logs = list((endpoint.server.data / "logs").glob("*/v/i-*.log"))
    assert len(logs) == 1, "CreateEndpoint showed that the model can be started"
    assert endpoint.invoke()["workers"] == "1"
    for _ in range(2):
        endpoint.wait_for(0)
        first = endpoint.invoke()
        assert endpoint.invoke() == first
        assert "of 4" in endpoint.server.command("status").stdout
    assert endpoint.most_at_a_time == 1


def test_more_calls_get_more_replicas_and_the_surplus_is_throttled(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    told = call_at_once(endpoint.server.url, endpoint.name, [b"1"] * 6)
    assert Counter(each.status if each else None for each in told) == {200: 4, 400: 2}
    assert len({each.document["pid"] for each in told if each and each.status == 200}) == 4
    throttled = next(each for each in told if each and each.status == 400)
    assert (throttled.error, throttled.document) == ("ThrottlingException", {"message": None})
    assert endpoint.most_at_a_time == 4
    endpoint.wait_for(0)


def test_boto3_raises_and_repeats_what_is_throttled(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(MaxConcurrency=1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(endpoint.invoke, b"2")
        wait_until(lambda: any((endpoint.seen / "calls").iterdir()), what="the model to have a call")
        assert code(endpoint.refused()) == "ThrottlingException"
        patient = endpoint.server.client("sagemaker-runtime", retries=8)
        endpoint.invoke(client=patient)
        slow.result()
    assert endpoint.most_at_a_time == 1


def test_five_hundred_calls_at_once_on_nothing(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper("--workers", "2", MaxConcurrency=20)
    endpoint.wait_for(0)
    told = call_at_once(endpoint.server.url, endpoint.name, [b"0.05"] * 500)
    assert None not in told
    found = Counter((each.status, each.error) for each in told if each is not None)
    assert set(found) == {(200, ""), (400, "ThrottlingException")}
    assert found[200, ""] >= 20
    assert endpoint.most_at_a_time <= 20


def test_a_client_that_leaves_while_its_call_is_held_frees_its_slot(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(load_s=2, MaxConcurrency=2)
    endpoint.wait_for(0)
    host, port = endpoint.server.url.removeprefix("http://").split(":")
    request = f"POST /endpoints/{endpoint.name}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
    with contextlib.ExitStack() as leaving:
        for _ in range(2):
            leaving.enter_context(socket.create_connection((host, int(port)))).sendall(request.encode())
        wait_until(lambda: len(endpoint.server.replicas(endpoint.name)) == 2, what="both calls to be held")
        assert code(endpoint.refused()) == "ThrottlingException"
    told = call_at_once(endpoint.server.url, endpoint.name, [b"0"] * 2)
    assert [each.status if each else None for each in told] == [200, 200]
    assert len((endpoint.seen / "most").read_text().split()) == 2  # nobody was called for those who left


def test_a_model_that_loads_longer_than_replicas_may_be_idle(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(load_s=3, idle_s=0.5)
    endpoint.wait_for(0)
    assert endpoint.invoke()["pid"]


def test_a_call_that_waits_for_too_long_is_told_so_and_the_replica_comes_all_the_same(
    sleeper: Callable[..., Sleeper],
) -> None:
    endpoint = sleeper(load_s=3, hold_s=1, idle_s=3)
    endpoint.wait_for(0)
    refused = endpoint.refused()
    assert code(refused) == "ModelNotReadyException"
    assert refused.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    (replica,) = endpoint.pids()
    wait_until(lambda: endpoint.server.replicas(endpoint.name)[0]["state"] == "healthy", what="the replica")
    assert endpoint.invoke()["pid"] == replica


def test_a_model_that_cannot_be_started_any_more_fails_its_calls_soon(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper()
    endpoint.wait_for(0)
    (endpoint.seen / "broken").touch()
    began = time.monotonic()
    refused = endpoint.refused()
    assert code(refused) == "ModelError"
    assert "these weights are of another model" in str(refused)
    for _ in range(20):
        assert code(endpoint.refused()) == "ModelError"
    logs = list((endpoint.server.data / "logs").glob("*/v/i-*.log"))
    assert len(logs) < 2 + (time.monotonic() - began) / 0.5, "it is tried ever more seldom"
    assert endpoint.deployment.wait(endpoint.name)["EndpointStatus"] == "InService"
    (endpoint.seen / "broken").unlink()
    wait_until(lambda: endpoint.works(), what="the model to be tried again")


def test_an_endpoint_whose_model_cannot_be_started_fails(make_server: Callable[..., Server], tmp_path: Path) -> None:
    endpoint = Sleeper(Deployment(make_server().start()), tmp_path / "seen")
    (endpoint.seen / "broken").touch()
    endpoint.make(wait=False)
    failed = endpoint.deployment.wait(endpoint.name, status="Failed")
    assert "these weights are of another model" in failed["FailureReason"]


def test_what_is_measured(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(load_s=1, MaxConcurrency=4, ProvisionedConcurrency=1)
    told = call_at_once(endpoint.server.url, endpoint.name, [b"2"] * 5)
    assert Counter(each.status if each else None for each in told) == {200: 4, 400: 1}
    cloudwatch = endpoint.server.client("cloudwatch", retries=3)

    def seen(name: str, stat: str = "Sum") -> float:
        (found,) = values(cloudwatch, query(name, endpoint.name, "v", stat)).values()
        return max(found) if stat != "Sum" and found else sum(found)

    provisioned = "ServerlessProvisionedConcurrency"
    wait_until(lambda: seen("Invocations") == 4, what="the calls to be counted; what was throttled never had a model")
    assert (seen(f"{provisioned}Invocations"), seen(f"{provisioned}SpilloverInvocations")) == (1, 3)
    assert seen("ModelSetupTime", "SampleCount") == 4
    assert seen("ModelSetupTime", "Minimum") >= 1e6
    assert seen("OverheadLatency", "Maximum") >= 1e6, "it has the time for which a call was held"
    assert seen("InvocationsPerInstance") == 0, "a serverless variant has no instances"
    wait_until(lambda: seen("ServerlessConcurrentExecutionsUtilization", "Maximum") == 1, what="all slots in use")
    assert seen(f"{provisioned}Executions", "Maximum") == seen(f"{provisioned}Utilization", "Maximum") == 1
