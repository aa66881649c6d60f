"""Updates that turn back, with calls coming without pause: none is lost, and the endpoint says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.failing import PING_FAILURE, gone
from tests.acceptance.running import ECHO, Deployment, Load, Server, wait_until
from tests.acceptance.updating import (
    HALF,
    MODES,
    Updating,
    generations,
    put_alarm,
    rolling,
    routed,
    running,
    with_alarms,
)

FAILS = """
import sys
def model_fn(model_dir):
    print("the weights look odd", flush=True)
    raise RuntimeError("no such layer: 7")
"""
SLOW = "import time\ndef model_fn(d):\n    time.sleep(600)\n"


@pytest.fixture
def quick(make_server: Callable[..., Server]) -> Deployment:
    """A server that looks at alarms all the time."""
    return Deployment(make_server(MOORING_DEPLOYMENTS_ALARM_INTERVAL_S="0.1").start())


def is_back(updating: Updating, found: dict[str, Any]) -> None:
    assert found["EndpointConfigName"] == updating.config("old")
    assert "PendingDeploymentSummary" not in found
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == updating.instances
    assert generations(updating.deployment.server, updating.name) == {1}
    assert updating.models() == {updating.config("old")}


@pytest.mark.parametrize("mode", ["canary", "linear", "rolling"])
def test_an_alarm_during_the_bake(quick: Deployment, mode: str) -> None:
    updating = Updating(quick, f"alarm-{mode}")
    updating.prepare("new")
    cloudwatch = put_alarm(quick, "errors")
    policy = with_alarms(rolling(600) if mode == "rolling" else routed(mode.upper(), 600, **_size(mode)), "errors")
    with Load(quick, updating.name) as load:
        updating.update("new", policy)
        wait_until(lambda: "Baking" in str(updating.pending()), what="the bake")
        wait_until(lambda: load.answers[-1]["model"] == updating.config("new"), what="the new fleet to answer")
        cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
        found = updating.settled()
        load.wait_for_more(20)
    assert not load.failures
    assert found["FailureReason"] == (
        "One or more configured alarm(s) in your auto-rollback configuration were triggered: [errors]. The deployment "
        "was rolled back."
    )
    assert found["LastDeploymentConfig"] == policy
    is_back(updating, found)
    told = quick.server.command("endpoints", "events", updating.name).stdout
    assert "RollingBack: One or more configured alarm(s)" in told


def _size(mode: str) -> dict[str, Any]:
    return {"CanarySize" if mode == "canary" else "LinearStepSize": HALF}


def test_alarms_that_are_not_known_to_be_quiet_let_nothing_start(quick: Deployment) -> None:
    updating = Updating(quick, "refused")
    updating.prepare("new")
    put_alarm(quick, "ringing", "ALARM")
    elsewhere = quick.server.client("cloudwatch", region="eu-west-1", retries=3)
    elsewhere.put_metric_alarm(
        AlarmName="elsewhere", Namespace="n", MetricName="m", Statistic="Sum", Period=60, EvaluationPeriods=1,
        Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    before = quick.server.replicas(updating.name)
    for alarm, words in (("ringing", "were triggered: [ringing]"), ("elsewhere", "do not exist in CloudWatch: [else")):
        updating.update("new", with_alarms({}, alarm))
        found = updating.settled()
        assert words in found["FailureReason"]
        is_back(updating, found)
        assert quick.server.replicas(updating.name) == before
    put_alarm(quick, "ringing", "INSUFFICIENT_DATA")
    updating.update("new", with_alarms(MODES["all-at-once"], "ringing"))
    found = updating.settled()
    assert "FailureReason" not in found
    assert found["EndpointConfigName"] == updating.config("new")


def test_a_cloudwatch_that_does_not_answer(make_server: Callable[..., Server]) -> None:
    own = Deployment(
        make_server(
            MOORING_DEPLOYMENTS_CLOUDWATCH_URL="http://127.0.0.1:9",
            MOORING_DEPLOYMENTS_ALARM_INTERVAL_S="0.1",
            MOORING_DEPLOYMENTS_ALARM_PATIENCE_S="0.5",
            AWS_ACCESS_KEY_ID="k",
            AWS_SECRET_ACCESS_KEY="s",
        ).start()
    )
    updating = Updating(own, "silent", 1)
    updating.prepare("new")
    updating.update("new", with_alarms({}, "any"))
    found = updating.settled()
    assert "CloudWatch did not tell for" in found["FailureReason"]
    assert "http://127.0.0.1:9" in found["FailureReason"]
    is_back(updating, found)


def test_alarms_of_another_cloudwatch(shared: Deployment, make_server: Callable[..., Server]) -> None:
    put_alarm(shared, "theirs", "ALARM")
    own = Deployment(
        make_server(
            MOORING_DEPLOYMENTS_CLOUDWATCH_URL=shared.server.url, AWS_ACCESS_KEY_ID="k", AWS_SECRET_ACCESS_KEY="s"
        ).start()
    )
    updating = Updating(own, "theirs", 1)
    updating.prepare("new")
    updating.update("new", with_alarms({}, "theirs"))
    assert "were triggered: [theirs]" in updating.settled()["FailureReason"]
    put_alarm(shared, "theirs")
    updating.update("new", with_alarms({}, "theirs"))
    assert updating.settled()["EndpointConfigName"] == updating.config("new")


@pytest.mark.parametrize("mode", ["plain", "rolling"])
def test_a_script_that_fails(shared: Deployment, mode: str) -> None:
    updating = Updating(shared, f"{shared.prefix}-fails-{mode}")
    updating.prepare("new", FAILS)
    with Load(shared, updating.name) as load:
        updating.update("new", MODES[mode])
        found = updating.settled()
        load.wait_for_more(20)
    assert not load.failures
    reason = found["FailureReason"]
    assert reason.startswith(PING_FAILURE.replace(updating.name, "v"))
    assert "RuntimeError: no such layer: 7" in reason
    assert "Its log ends: " in reason
    assert "the weights look odd" in reason
    is_back(updating, found)
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def test_a_model_that_is_gone(shared: Deployment) -> None:
    updating = Updating(shared, f"{shared.prefix}-gone", 1)
    updating.prepare("new")
    shared.sagemaker.delete_model(ModelName=updating.config("new"))
    updating.update("new")
    found = updating.settled()
    assert found["FailureReason"].startswith("Could not find model")
    is_back(updating, found)
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def test_a_time_limit(make_server: Callable[..., Server]) -> None:
    own = Deployment(make_server(MOORING_DEPLOYMENTS_TIMEOUT_S="1").start())
    updating = Updating(own, "late", 1)
    updating.prepare("new", SLOW + ECHO.format(name="x").replace("def model_fn", "def _unused"))
    with Load(own, updating.name) as load:
        updating.update("new")
        found = updating.settled()
        load.wait_for_more(20)
    assert not load.failures
    assert found["FailureReason"] == (
        "The deployment exceeded MaximumExecutionTimeoutInSeconds (1) and was rolled back."
    )
    is_back(updating, found)


def test_a_rollback_that_fails_leaves_a_mix_from_which_an_update_recovers(quick: Deployment, tmp_path: Any) -> None:
    """The old model can no longer be started when the rolling update turns back."""
    updating = Updating(quick, "mix")
    flag = tmp_path / "broken"
    updating.prepare(
        "frail", f"import os\nif os.path.exists({str(flag)!r}): raise RuntimeError('gone')\n" + _echo("frail")
    )
    updating.update("frail")
    updating.settled()
    updating.prepare("new")
    cloudwatch = put_alarm(quick, "errors")
    with Load(quick, updating.name) as load:
        updating.update("new", with_alarms(rolling(4), "errors"))
        wait_until(lambda: "full capacity" in str(updating.pending()), what="the last batch")
        flag.touch()
        cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
        found = updating.settled(status="UpdateRollbackFailed")
        assert "The rollback failed: " in found["FailureReason"]
        assert "[errors]" in found["FailureReason"]
        assert found["EndpointConfigName"] == updating.config("frail")
        assert generations(quick.server, updating.name) >= {3}
        cloudwatch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="test")
        updating.update("old")
        assert updating.settled()["EndpointConfigName"] == updating.config("old")
        load.wait_for_more(20)
    assert not load.failures
    assert updating.models() == {updating.config("old")}


def _echo(name: str) -> str:
    return ECHO.format(name=name)


def test_numbers_that_cannot_be_had_are_undone(shared: Deployment, tmp_path: Any) -> None:
    """As on AWS through RollingBack, and as often as it is tried: what failed once is tried again."""
    updating = Updating(shared, f"{shared.prefix}-scale", 1)
    flag = tmp_path / "broken"
    updating.prepare(
        "frail", f"import os\nif os.path.exists({str(flag)!r}): raise RuntimeError('no')\n" + _echo("frail")
    )
    updating.update("frail")
    updating.settled()

    def scale(count: int) -> dict[str, Any]:
        change = [{"VariantName": "v", "DesiredInstanceCount": count, "DesiredWeight": 2}]
        shared.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName=updating.name, DesiredWeightsAndCapacities=change
        )
        return updating.settled()

    flag.touch()
    for _ in range(2):
        found = scale(2)
        assert "did not pass the ping health check" in found["FailureReason"]
        variant = found["ProductionVariants"][0]
        assert (variant["DesiredInstanceCount"], variant["DesiredWeight"]) == (1, 1)
    told = shared.server.command("endpoints", "events", updating.name).stdout
    assert "status         RollingBack: The primary container" in told
    flag.unlink()
    found = scale(2)
    assert "FailureReason" not in found
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def test_a_forced_deletion_ends_a_rollback_that_hangs(make_server: Callable[..., Server], tmp_path: Any) -> None:
    """The old fleet, which a rolling update had shrunk, does not come up again."""
    own = Deployment(make_server(MOORING_DEPLOYMENTS_TIMEOUT_S="3").start())
    updating = Updating(own, "hangs")
    flag = tmp_path / "slow"
    updating.prepare("slow", f"import os, time\nif os.path.exists({str(flag)!r}): time.sleep(600)\n" + _echo("slow"))
    updating.update("slow")
    updating.settled()
    updating.prepare("new")
    updating.update("new", rolling(2))
    wait_until(lambda: "full capacity" in str(updating.pending()), what="the last batch")
    flag.touch()
    wait_until(lambda: updating.described()["EndpointStatus"] == "RollingBack", what="the time limit")
    wait_until(lambda: any(each["state"] == "starting" for each in own.server.replicas(updating.name)))
    assert updating.models(4) <= {updating.config("new"), "slow"}
    forced = own.server.command("endpoints", "delete", updating.name, "--force")
    assert forced.returncode == 0, forced.stderr
    assert gone(own, updating.name)
    assert not running(own.server)
