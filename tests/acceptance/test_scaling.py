"""Application Auto Scaling over real replicas: bounds, policies and schedules move real capacity."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.acceptance.asynchronous import Asynchronous
from tests.acceptance.running import Deployment, Load, wait_until

pytestmark = pytest.mark.timeout(120)

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
SLOW = """
import json, os, time
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    time.sleep(0.25)
    return json.dumps({"pid": os.getpid()})
def output_fn(data, accept):
    return data, "application/json"
"""


class Scaled:
    """A deployment with an endpoint `ep` of one replica, whose variant is `ep`."""

    def __init__(self, own: Deployment, script: str | None = None) -> None:
        own.simple("ep", script)
        self._begin(own)

    @staticmethod
    def of(own: Deployment, dimension: str = INSTANCES) -> Scaled:
        """Of one that is there."""
        scaled = Scaled.__new__(Scaled)
        scaled._begin(own, dimension)
        return scaled

    def _begin(self, own: Deployment, dimension: str = INSTANCES) -> None:
        self.own = own
        self.client = own.server.client("application-autoscaling", retries=3)
        self.cloudwatch = own.server.client("cloudwatch", retries=3)
        self.on = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": "endpoint/ep/variant/ep",
            "ScalableDimension": dimension,
        }

    def register(self, least: int, most: int, **more: Any) -> None:
        self.client.register_scalable_target(**self.on, MinCapacity=least, MaxCapacity=most, **more)

    def step(self, name: str, change: int, *, above: bool = True, cooldown: int = 0) -> str:
        bound = {"MetricIntervalLowerBound" if above else "MetricIntervalUpperBound": 0.0}
        made = self.client.put_scaling_policy(
            PolicyName=name,
            PolicyType="StepScaling",
            StepScalingPolicyConfiguration={
                "AdjustmentType": "ChangeInCapacity",
                "StepAdjustments": [{**bound, "ScalingAdjustment": change}],
                "Cooldown": cooldown,
            },
            **self.on,
        )
        return str(made["PolicyARN"])

    def alarm(self, name: str, policy: str, **members: Any) -> None:
        self.cloudwatch.put_metric_alarm(**{
            "AlarmName": name, "Namespace": "T", "MetricName": name, "Statistic": "Maximum", "Period": 10,
            "EvaluationPeriods": 1, "Threshold": 1, "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "AlarmActions": [policy], **members,
        })  # fmt: skip

    def ring(self, name: str) -> None:
        self.cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a try")

    def count(self) -> int:
        found = self.own.sagemaker.describe_endpoint(EndpointName="ep")
        return int(found["ProductionVariants"][0]["CurrentInstanceCount"])

    def reaches(self, count: int, timeout: float = 30) -> None:
        wait_until(lambda: self.count() == count, timeout, f"{count} instances; {self.activities()[:3]}")

    def activities(self, *, not_scaled: bool = False) -> list[dict[str, Any]]:
        found = self.client.describe_scaling_activities(
            ServiceNamespace="sagemaker", ResourceId=self.on["ResourceId"], IncludeNotScaledActivities=not_scaled
        )
        return list(found["ScalingActivities"])

    def last(self, status: str = "Successful", timeout: float = 20) -> dict[str, Any]:
        """The newest activity, once it is over."""
        wait_until(lambda: self.activities()[0]["StatusCode"] == status, timeout, f"{status}: {self.activities()}")
        return self.activities()[0]


def test_bounds_move_capacity_at_once(own: Deployment) -> None:
    scaled = Scaled(own, SLOW)
    scaled.register(3, 4)
    scaled.reaches(3)
    done = scaled.last()
    assert done["Description"] == "Setting desired instance count to 3."
    assert done["Cause"] == "minimum capacity was set to 3"
    assert done["StatusMessage"] == (
        "Successfully set desired instance count to 3. Change successfully fulfilled by sagemaker."
    )
    assert done["EndTime"] >= done["StartTime"]
    with Load(own, "ep", threads=4) as load:
        scaled.register(1, 1)  # calls that are under way on what leaves are finished there
        scaled.reaches(1)
        load.wait_for_more(20)
    assert not load.failures
    assert scaled.last()["Cause"] == "maximum capacity was set to 1"
    assert len({answer["pid"] for answer in load.answers}) == 3


def test_a_step_policy_is_asked_by_an_alarm(own: Deployment) -> None:
    scaled = Scaled(own)
    scaled.register(1, 2)
    scaled.alarm("high", scaled.step("out", 1))
    scaled.alarm("low", scaled.step("in", -1))
    scaled.ring("high")
    scaled.reaches(2)
    assert scaled.last()["Cause"] == "monitor alarm high in state ALARM triggered policy out"
    scaled.cloudwatch.set_alarm_state(AlarmName="high", StateValue="OK", StateReason="a try")
    scaled.ring("high")
    wait_until(lambda: len(scaled.activities(not_scaled=True)) == 2, what="an activity that does not scale")
    newest = scaled.activities(not_scaled=True)[0]
    assert newest["NotScaledReasons"] == [{"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 2}]
    scaled.cloudwatch.set_alarm_state(AlarmName="high", StateValue="OK", StateReason="a try")
    scaled.ring("low")
    scaled.reaches(1)


def test_tracking_scales_out_under_real_load(own: Deployment) -> None:
    scaled = Scaled(own, SLOW)
    scaled.register(1, 3)
    made = scaled.client.put_scaling_policy(
        PolicyName="calls", PolicyType="TargetTrackingScaling", **scaled.on,
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 2.0,
            "ScaleOutCooldown": 0,
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
            },
        },
    )  # fmt: skip
    names = [alarm["AlarmName"] for alarm in made["Alarms"]]
    found = scaled.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
    assert {alarm["AlarmArn"] for alarm in found} == {alarm["AlarmARN"] for alarm in made["Alarms"]}
    with Load(own, "ep", threads=8):
        scaled.reaches(3, timeout=70)
    out = scaled.last()
    assert "-AlarmHigh-" in out["Cause"]
    assert out["Cause"].endswith("in state ALARM triggered policy calls")
    stat = own.server.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName="ConcurrentRequestsPerModel", Statistics=["Maximum"], Period=10,
        StartTime=datetime.now(UTC) - timedelta(minutes=3), EndTime=datetime.now(UTC),
        Dimensions=[{"Name": "EndpointName", "Value": "ep"}, {"Name": "VariantName", "Value": "ep"}],
    )  # fmt: skip
    assert max(point["Maximum"] for point in stat["Datapoints"]) == 8
    scaled.client.delete_scaling_policy(PolicyName="calls", **scaled.on)
    assert scaled.cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"] == []


def test_tracking_scales_in_by_its_low_alarm(own: Deployment) -> None:
    """Which waits for a quarter of an hour by itself; the test rings it, with what it would have seen."""
    scaled = Scaled(own, SLOW)
    scaled.register(3, 3)
    scaled.reaches(3)
    scaled.last()
    scaled.register(1, 3)
    metric = {"MetricName": "load", "Namespace": "T", "Statistic": "Average"}
    config = {"TargetValue": 10.0, "CustomizedMetricSpecification": metric, "ScaleInCooldown": 0}
    made = scaled.client.put_scaling_policy(
        PolicyName="load", PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=config,
        **scaled.on,
    )  # fmt: skip
    low = made["Alarms"][1]["AlarmName"]
    with Load(own, "ep", threads=4) as load:
        seen = json.dumps({"recentDatapoints": [6.0, 5.0, 2.0]})
        scaled.cloudwatch.set_alarm_state(AlarmName=low, StateValue="ALARM", StateReason="quiet", StateReasonData=seen)
        scaled.reaches(2)  # of 3, the highest point needs 1.8
        load.wait_for_more(20)
    assert not load.failures
    assert scaled.last()["Cause"] == f"monitor alarm {low} in state ALARM triggered policy load"


def test_scheduled_actions_move_the_bounds(own: Deployment) -> None:
    scaled = Scaled(own)
    scaled.register(1, 4)
    soon = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%S")
    put = scaled.client.put_scheduled_action
    put(ScheduledActionName="up", Schedule=f"at({soon})", ScalableTargetAction={"MinCapacity": 2}, **scaled.on)
    scaled.reaches(2)
    assert scaled.last()["Cause"] == "scheduled action name up was triggered: minimum capacity was set to 2"
    (target,) = scaled.client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 4)
    # One that comes due while nobody is there is run once there is somebody.
    soon = (datetime.now(UTC) + timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%S")
    action = {"MinCapacity": 1, "MaxCapacity": 1}
    put(ScheduledActionName="down", Schedule=f"at({soon})", ScalableTargetAction=action, **scaled.on)
    assert own.server.stop() == 0
    time.sleep(2.5)
    own.server.start()
    scaled = again(scaled)
    scaled.reaches(1)
    assert "scheduled action name down" in scaled.last()["Cause"]


def again(scaled: Scaled) -> Scaled:
    """The same, of a server that listens on another port by now."""
    own = scaled.own
    own.sagemaker = own.server.client("sagemaker", retries=3)
    scaled.client = own.server.client("application-autoscaling", retries=3)
    scaled.cloudwatch = own.server.client("cloudwatch", retries=3)
    return scaled


def test_an_asynchronous_variant_goes_to_nothing_and_comes_up_for_a_job(own: Deployment) -> None:
    jobs = Asynchronous(own)
    jobs.endpoint("ep")
    scaled = Scaled.of(own)
    scaled.register(0, 0)
    scaled.reaches(0)
    assert scaled.last()["Cause"] == "maximum capacity was set to 0"
    wait_until(lambda: own.server.replicas("ep") == [], what="the replica to go")
    scaled.register(0, 2)
    scaled.alarm(
        "waiting", scaled.step("out", 1), Namespace="AWS/SageMaker", MetricName="HasBacklogWithoutCapacity",
        Dimensions=[{"Name": "EndpointName", "Value": "ep"}],
    )  # fmt: skip
    answer = jobs.invoke(endpoint="ep")
    scaled.reaches(1, timeout=60)
    assert jobs.result(answer)["echo"] == "1,2,3"
    assert scaled.last()["Cause"] == "monitor alarm waiting in state ALARM triggered policy out"
    (found,) = scaled.client.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=["out"])[
        "ScalingPolicies"
    ]
    assert [alarm["AlarmName"] for alarm in found["Alarms"]] == ["waiting"]


def test_a_serverless_variant_keeps_what_is_provisioned(own: Deployment) -> None:
    own.model("ep")
    serverless = {"MemorySizeInMB": 1024, "MaxConcurrency": 3}
    own.endpoint("ep", {"VariantName": "ep", "ModelName": "ep", "ServerlessConfig": serverless})
    own.wait("ep")
    scaled = Scaled.of(own, "sagemaker:variant:DesiredProvisionedConcurrency")
    scaled.register(2, 3)
    done = scaled.last()
    assert done["Description"] == "Setting desired provisioned concurrency to 2."
    found = own.wait("ep")["ProductionVariants"][0]
    assert found["CurrentServerlessConfig"] == {**serverless, "ProvisionedConcurrency": 2}
    wait_until(lambda: len(own.server.replicas("ep")) == 2, what="two replicas")
    scaled.register(0, 0)
    wait_until(lambda: scaled.activities()[0]["Description"].endswith(" to 0."), what="the next move")
    assert scaled.last()["Cause"] == "maximum capacity was set to 0"
    assert own.wait("ep")["ProductionVariants"][0]["CurrentServerlessConfig"] == serverless


def test_what_was_begun_ends_after_control_was_killed(own: Deployment) -> None:
    scaled = Scaled(own, SLOW_START)
    scaled.register(2, 3)
    wait_until(lambda: scaled.activities()[0]["StatusCode"] == "InProgress", what="the move to begin")
    os.kill(own.server.process("control"), signal.SIGKILL)
    scaled.reaches(2)
    (done,) = (scaled.last(), *scaled.activities()[1:])
    assert done["Cause"] == "minimum capacity was set to 2"
    # And what had not been begun: the bounds are set while the endpoint is busy with something else.
    own.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="ep", DesiredWeightsAndCapacities=[{"VariantName": "ep", "DesiredInstanceCount": 3}]
    )
    scaled.register(1, 2)
    wait_until(lambda: "is Updating" in scaled.activities()[0].get("StatusMessage", ""), what="the move to wait")
    assert scaled.activities()[0]["StatusCode"] == "Pending"
    os.kill(own.server.process("control"), signal.SIGKILL)
    wait_until(lambda: len(scaled.activities()) == 2 and scaled.activities()[0]["StatusCode"] == "Successful", 40)
    assert scaled.count() == 2
    events = own.server.command("endpoints", "events", "ep").stdout
    assert "Setting desired instance count to 2. It was 1. Cause: minimum capacity was set to 2" in events


SLOW_START = """
import time
def model_fn(model_dir):
    time.sleep(2)
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    return "{}"
def output_fn(data, accept):
    return data, "application/json"
"""


def test_a_policy_of_an_endpoint_that_is_deleted_does_nothing(own: Deployment) -> None:
    scaled = Scaled(own)
    scaled.register(1, 3)
    policy = scaled.step("out", 1)
    scaled.alarm("high", policy)
    with Load(own, "ep", threads=1):
        own.sagemaker.delete_endpoint(EndpointName="ep")
        scaled.ring("high")
    wait_until(
        lambda: scaled.cloudwatch.describe_alarm_history(AlarmName="high", HistoryItemType="Action")[
            "AlarmHistoryItems"
        ],
        what="the alarm to ask in vain",
    )
    (asked,) = scaled.cloudwatch.describe_alarm_history(AlarmName="high", HistoryItemType="Action")["AlarmHistoryItems"]
    assert asked["HistorySummary"].startswith(f"Failed to execute action {policy}. Received error: There is no scaling")
    assert scaled.client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"] == []
    assert scaled.activities(not_scaled=True) == []


def test_a_quota_is_told_in_the_activity(make_server: Any) -> None:
    own = Deployment(make_server(MOORING_QUOTAS_INSTANCES="2").start())
    scaled = Scaled(own)
    scaled.register(3, 4)
    wait_until(lambda: scaled.activities()[0]["StatusCode"] == "Failed", what="the move to fail")
    (failed,) = scaled.activities()
    text = "Failed to set desired instance count to 3. Reason: The account-level service limit"
    assert failed["StatusMessage"].startswith(text)
    assert (
        "(Service: AmazonSageMaker; Status Code: 400; Error Code: ResourceLimitExceeded; Request ID: "
        in (failed["StatusMessage"])
    )
    assert own.wait("ep")["ProductionVariants"][0]["DesiredInstanceCount"] == 1
