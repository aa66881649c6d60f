"""Application Auto Scaling over real replicas: bounds, policies and schedules move real capacity."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.running import Deployment, Load, wait_until

pytestmark = pytest.mark.timeout(120)

INSTANCES = "sagemaker:variant:DesiredInstanceCount"


class Scaled:
    """A deployment with an endpoint `ep` of one replica, whose variant is `ep`."""

    def __init__(self, own: Deployment, script: str | None = None, **members: Any) -> None:
        self.own = own
        self.client = own.server.client("application-autoscaling", retries=3)
        self.cloudwatch = own.server.client("cloudwatch", retries=3)
        self.on = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": "endpoint/ep/variant/ep",
            "ScalableDimension": INSTANCES,
        }
        own.simple("ep", script, **members)

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
    scaled = Scaled(own)
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
