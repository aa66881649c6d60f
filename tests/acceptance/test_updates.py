"""UpdateEndpoint through boto3, of every kind, while calls come without pause: none is lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.running import ECHO, Deployment, Load, Server, wait_until
from tests.acceptance.updating import HALF, MODES, QUIET, Updating, generations, put_alarm, rolling, routed, running


@pytest.mark.parametrize("mode", MODES)
def test_no_call_is_lost(shared: Deployment, mode: str) -> None:
    put_alarm(shared, QUIET)
    updating = Updating(shared, f"{shared.prefix}-{mode}")
    updating.prepare("new")
    with Load(shared, updating.name) as load:
        updating.update("new", MODES[mode])
        found = updating.settled()
        load.wait_for_more(20)
    assert not load.failures
    assert {answer["model"] for answer in load.answers[-5:]} == {updating.config("new")}
    assert found["EndpointConfigName"] == updating.config("new")
    assert "PendingDeploymentSummary" not in found
    assert found.get("LastDeploymentConfig") == (MODES[mode] or None)
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert generations(shared.server, updating.name) == {2}
    assert len(shared.server.replicas(updating.name)) == 2
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MODES)
def test_no_call_is_lost_in_twenty_updates(make_server: Callable[..., Server], mode: str) -> None:
    own = Deployment(make_server().start("--workers", "2"))
    put_alarm(own, QUIET)
    updating = Updating(own, mode)
    updating.prepare("new")
    with Load(own, updating.name, threads=4) as load:
        for number in range(20):
            config = "old" if number % 2 else "new"
            updating.update(config, MODES[mode])
            assert updating.settled()["EndpointConfigName"] == updating.config(config)
            assert not load.failures
        load.wait_for_more(20)
    assert not load.failures


def test_a_canary_takes_its_share_and_is_described(shared: Deployment) -> None:
    updating = Updating(shared, f"{shared.prefix}-share")
    updating.prepare("new", InitialVariantWeight=3)
    updating.update("new", routed("CANARY", 600, CanarySize=HALF))
    wait_until(lambda: updating.pending().get("VariantStatus", [{}])[0].get("Status") == "Baking")
    found = updating.described()
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Updating", updating.config("old"))
    old, summary = found["ProductionVariants"][0], found["PendingDeploymentSummary"]
    assert (old["CurrentWeight"], old["DesiredWeight"], old["CurrentInstanceCount"]) == (0.5, 1.0, 2)
    assert summary["EndpointConfigName"] == updating.config("new")
    new = summary["ProductionVariants"][0]
    assert (new["CurrentWeight"], new["DesiredWeight"]) == (1.5, 3.0)
    assert (new["CurrentInstanceCount"], new["DesiredInstanceCount"], new["InstanceType"]) == (1, 2, "ml.m5.large")
    assert new["VariantStatus"][0]["StatusMessage"] == (
        "Baking for 600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    )
    for named in ({}, {"TargetVariant": "v"}):
        answers = [shared.invoke(updating.name, **named)["model"] for _ in range(100)]
        assert 20 < answers.count(updating.config("new")) < 80
    words = f"from {updating.config('old')} to {updating.config('new')}, step 1 of 2: baking for 600 s"
    assert f"{updating.name}: {words}" in shared.server.command("status").stdout
    refusal = f'Cannot update in-progress endpoint "{found["EndpointArn"]}".'
    for operation, more in (
        ("delete_endpoint", {}),
        ("update_endpoint", {"EndpointConfigName": updating.config("old")}),
    ):
        with pytest.raises(shared.sagemaker.exceptions.ClientError, match="in-progress") as caught:
            getattr(shared.sagemaker, operation)(EndpointName=updating.name, **more)
        assert caught.value.response["Error"]["Message"] == refusal
    pids = {each["pid"] for each in shared.server.replicas(updating.name)}
    assert len(pids) == 4
    forced = shared.server.command("endpoints", "delete", updating.name, "--force")
    assert forced.returncode == 0, forced.stderr
    assert not pids & running(shared.server)


def test_the_history_tells_each_step(shared: Deployment) -> None:
    updating = Updating(shared, f"{shared.prefix}-told")
    updating.prepare("new")
    updating.update("new", rolling(0))
    updating.settled()
    told = shared.server.command("endpoints", "events", updating.name).stdout
    for words in (
        "step 1 of 2: new replicas that are to run: 1",
        "step 1 of 2: 50 % of the traffic goes to the new replicas",
        "step 2 of 2: replicas that stay: 0 old, 2 new",
    ):
        assert f"from {updating.config('old')} to {updating.config('new')}, {words}" in told, told
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def test_the_same_config_is_deployed_anew(shared: Deployment) -> None:
    updating = Updating(shared, f"{shared.prefix}-again")
    before = {each["pid"] for each in shared.server.replicas(updating.name)}
    updating.update("old")
    assert updating.settled()["EndpointConfigName"] == updating.config("old")
    after = {each["pid"] for each in shared.server.replicas(updating.name)}
    assert len(after) == 2
    assert not before & after
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def test_variants_and_sizes_change(shared: Deployment) -> None:
    """From two replicas of one variant to one each of two; the kept one keeps what was desired where it is retained."""
    updating = Updating(shared, f"{shared.prefix}-size")
    one, two = shared.model(f"{updating.name}-one"), shared.model(f"{updating.name}-two")
    shared.config(updating.config("both"), shared.variant(one, "v"), shared.variant(two, "w"))
    with Load(shared, updating.name) as load:
        updating.update("both", RetainAllVariantProperties=True)
        found = updating.settled()
    assert not load.failures
    counts = {each["VariantName"]: each["CurrentInstanceCount"] for each in found["ProductionVariants"]}
    assert counts == {"v": 2, "w": 1}
    assert updating.models(60) == {one, two}
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def test_a_slow_call_ends_on_the_fleet_that_began_it(shared: Deployment) -> None:
    updating = Updating(shared, f"{shared.prefix}-slow", 1)
    slow = ECHO.replace("return data", "import time; time.sleep(float(data)); return data")
    updating.prepare("slow", slow.format(name="slow"))
    updating.update("slow")
    updating.settled()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(shared.invoke, updating.name, b"2")
        time.sleep(0.3)  # the call is on its way
        updating.update("old")
        found = updating.settled()
        assert call.result()["model"] == "slow"
    assert found["EndpointConfigName"] == updating.config("old")
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)
