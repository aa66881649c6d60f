"""What the operations refuse beyond their shapes, and in whose words."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.errors import Refused
from mooring.scaling import validating
from mooring.scaling.deciding import STEP, TRACKING
from mooring.scaling.documents import INSTANCES, PROVISIONED, Target
from tests.scaling.making import BACKLOG, INVOCATIONS, NOW, SCOPE, TARGET, registered, step_config, tracking

IDS = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v", "ScalableDimension": INSTANCES}
UNSUPPORTED = "Unsupported service namespace, resource type or scalable dimension"


def refusal(function: Any, *args: Any) -> str:
    with pytest.raises(Refused) as caught:
        function(*args)
    return str(caught.value)


def test_a_target_is_named_by_its_three_identifiers() -> None:
    assert validating.target_of(SCOPE, IDS) == TARGET
    provisioned = {**IDS, "ScalableDimension": PROVISIONED}
    assert validating.target_of(SCOPE, provisioned) == Target(SCOPE, "e", "v", PROVISIONED)


@pytest.mark.parametrize(
    "changed",
    [
        {"ServiceNamespace": "ecs"},
        {"ScalableDimension": "ecs:service:DesiredCount"},
        {"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"},
        {"ResourceId": "endpoint/e"},
        {"ResourceId": "inference-component/c"},
        {"ResourceId": "endpoint/e/variant/v/more"},
        {"ResourceId": "endpoint/e/variant/v\n"},
        {"ResourceId": "endpoint/../variant/v"},
    ],
)
def test_identifiers_that_do_not_fit_are_refused_in_awss_words(changed: dict[str, str]) -> None:
    assert refusal(validating.target_of, SCOPE, {**IDS, **changed}) == UNSUPPORTED


def test_bounds_of_a_registration() -> None:
    assert validating.bounds({"MinCapacity": 0, "MaxCapacity": 4}, None) == (0, 4)
    assert validating.bounds({"MaxCapacity": 7}, registered(2, 5)) == (2, 7)
    assert validating.bounds({}, registered(2, 5)) == (2, 5)
    assert "MaxCapacity" in refusal(validating.bounds, {"MinCapacity": 1}, None)
    assert refusal(validating.bounds, {"MinCapacity": 6}, registered(2, 5)) == validating.BOUNDS
    assert "less than 0" in refusal(validating.bounds, {"MinCapacity": -1, "MaxCapacity": 1}, None)


def test_which_variants_can_be_scaled() -> None:
    instances = {"VariantName": "v", "InstanceType": "ml.m5.large"}
    serverless = {"VariantName": "v", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}
    provisioned = Target(SCOPE, "e", "v", PROVISIONED)
    validating.require_variant(TARGET, instances, 1, 4)
    validating.require_variant(provisioned, serverless, 1, 5)
    require = validating.require_variant
    assert refusal(require, TARGET, None, 1, 4) == "SageMaker endpoint variant doesn't exist: endpoint/e/variant/v"
    assert "serverless" in refusal(require, TARGET, serverless, 1, 4)
    assert "not serverless" in refusal(require, provisioned, instances, 1, 4)
    assert "MaxConcurrency" in refusal(require, provisioned, serverless, 1, 6)
    assert "ml.t2.medium" in refusal(require, TARGET, {**instances, "InstanceType": "ml.t2.medium"}, 1, 4)
    pools = {"VariantName": "v", "InstancePools": [{"InstanceType": "ml.t2.large", "Priority": 1}]}
    assert "ml.t2.large" in refusal(require, TARGET, pools, 1, 4)


def step(*steps: tuple[float | None, float | None, int], **config: Any) -> dict[str, Any]:
    return {**IDS, "PolicyType": STEP, "StepScalingPolicyConfiguration": step_config(*steps, **config)}


def track(target: float = 5.0, metric: dict[str, Any] = INVOCATIONS, **config: Any) -> dict[str, Any]:
    return {
        **IDS,
        "PolicyType": TRACKING,
        "TargetTrackingScalingPolicyConfiguration": {"TargetValue": target, **metric, **config},
    }


@pytest.mark.parametrize(
    "params",
    [
        step((0.0, None, 1)),
        step((None, 0.0, -1)),
        step((10.0, None, 2), (0.0, 10.0, 1)),
        step((None, -10.0, -2), (-10.0, 0.0, -1), (0.0, 10.0, 1), (10.0, None, 2)),
        step((0.0, None, 0), kind="ExactCapacity"),
        step(*[(float(at), float(at + 1), at) for at in range(19)], (19.0, None, 19)),
        track(),
        track(5.0, BACKLOG),
        {**IDS, "StepScalingPolicyConfiguration": step_config((0.0, None, 1))},
    ],
)
def test_policies_as_people_have_them_are_taken(params: dict[str, Any]) -> None:
    kind, config = validating.policy_of(params, None)
    assert config == params[f"{kind}PolicyConfiguration"]


UPPER = (
    "There must be a step adjustment with an unspecified upper bound when one step adjustment has a positive upper "
    "bound"
)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (step((None, None, 1)), "Both lower and upper bounds of a step adjustment cannot be left unspecified"),
        (step((0.0, 10.0, 1)), UPPER),
        (step((-10.0, 0.0, 1)), UPPER.replace("upper", "lower").replace("positive", "negative")),
        (step((0.0, 10.0, 1), (20.0, None, 2)), "Step adjustment intervals cannot have gaps between them"),
        (step((0.0, 10.0, 1), (5.0, None, 2)), "Step adjustment intervals cannot overlap"),
        (step((0.0, None, 1), (5.0, None, 2)), "At most one step adjustment may have an unspecified upper bound"),
        (step((10.0, 0.0, 1), (10.0, None, 2)), "Lower bound must be less than upper bound for a step adjustment"),
        (step((float("nan"), 0.0, 1)), "Lower bound must be less than upper bound for a step adjustment"),
        (step(*[(float(at), float(at + 1), at) for at in range(20)], (20.0, None, 1)), "at most 20 step adjustments"),
        (step(), "There must be at least one step adjustment"),
        (
            step((0.0, None, -1), kind="ExactCapacity"),
            "Scaling adjustment cannot be less than 0 when adjustment type is ExactCapacity",
        ),
        (step((0.0, None, 1), Cooldown=-1), "Cooldown"),
        (step((0.0, None, 1), MinAdjustmentMagnitude=1), "only allowed for adjustment type PercentChangeInCapacity"),
        (
            {**IDS, "PolicyType": STEP, "StepScalingPolicyConfiguration": {"StepAdjustments": []}},
            "Adjustment type must be specified",
        ),
        ({**IDS, "PolicyType": STEP}, "StepScaling policy configuration must be specified"),
        (
            {**step((0.0, None, 1)), **track(), "PolicyType": STEP},
            "You must only provide a single scaling policy configuration",
        ),
        ({**IDS, "PolicyType": "PredictiveScaling"}, "ECS services only"),
        ({**track(), "PredictiveScalingPolicyConfiguration": {}}, "ECS services only"),
        (track(5.0, {}), "must be set for target tracking scaling."),
        (track(5.0, {**INVOCATIONS, **BACKLOG}), "Only one of PredefinedMetricSpecification or"),
        (track(0.0), "TargetValue"),
        (track(-1.0), "TargetValue"),
        (track(float("inf")), "TargetValue"),
        (track(float("nan")), "TargetValue"),
        (track(ScaleInCooldown=-5), "ScaleInCooldown"),
        (
            track(5.0, {"PredefinedMetricSpecification": {"PredefinedMetricType": "ALBRequestCountPerTarget"}}),
            "ALBRequestCountPerTarget is not supported",
        ),
        ({**track(), "ScalableDimension": PROVISIONED}, "is not supported for scalable dimension"),
        (track(5.0, {"CustomizedMetricSpecification": {"MetricName": "m"}}), "Namespace, Statistic"),
        (
            track(5.0, {"CustomizedMetricSpecification": {"MetricName": "m", "Metrics": []}}),
            "but not a combination of both.",
        ),
        (
            track(5.0, {"CustomizedMetricSpecification": {"Metrics": [{"Id": "a"}, {"Id": "b"}]}}),
            "Exactly one element",
        ),
    ],
)
def test_policies_that_cannot_be_are_refused(params: dict[str, Any], said: str) -> None:
    assert said in refusal(validating.policy_of, params, None)


def test_a_policy_keeps_its_type() -> None:
    held = tracking()
    assert validating.policy_of({**track(), "PolicyType": TRACKING}, held)[0] == TRACKING
    without = {name: value for name, value in track(7.0).items() if name != "PolicyType"}
    assert validating.policy_of(without, held)[0] == TRACKING
    assert "cannot be changed" in refusal(validating.policy_of, step((0.0, None, 1)), held)


def action(**changed: Any) -> dict[str, Any]:
    given = {"ScheduledActionName": "a", "Schedule": "rate(1 hour)", "ScalableTargetAction": {"MinCapacity": 2}}
    return {**IDS, **given, **changed}


def put(params: dict[str, Any], held: Any = None) -> Any:
    return validating.action_of(TARGET, params, held, "arn:a", NOW)


def test_a_scheduled_action_keeps_what_is_left_out_but_its_times() -> None:
    first = put(action(Timezone="Europe/Berlin", StartTime=NOW + 10, EndTime=NOW + 20))
    assert (first.timezone, first.due_at, first.ends_at) == ("Europe/Berlin", NOW + 10, NOW + 20)
    second = put({**IDS, "ScheduledActionName": "a", "ScalableTargetAction": {"MaxCapacity": 9}}, first)
    assert (second.timezone, second.schedule) == ("Europe/Berlin", "rate(1 hour)")
    assert (second.starts_at, second.ends_at, second.action) == (None, None, {"MaxCapacity": 9})
    assert second.due_at == NOW + 3600


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"Schedule": "every now and then"}, "Invalid schedule expression"),
        ({"Schedule": "at(1970-01-01T00:00:00)"}, "never due again"),
        ({"Timezone": "Nowhere/Land"}, "Timezone"),
        ({"ScalableTargetAction": {}}, "At least one of minimum capacity and maximum capacity should be provided"),
        ({"ScalableTargetAction": {"MinCapacity": 3, "MaxCapacity": 2}}, validating.BOUNDS),
        ({"StartTime": NOW + 20, "EndTime": NOW + 10}, "StartTime must be before EndTime"),
        ({"EndTime": NOW - 1}, "in the future"),
    ],
)
def test_scheduled_actions_that_cannot_be_are_refused(changed: dict[str, Any], said: str) -> None:
    assert said in refusal(put, action(**changed))
