"""Application Auto Scaling through boto3: what is kept, how it is shown, and what is refused in which words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mooring.access.keys import AccessKey
from mooring.access.policies import policy_of
from mooring.hosting.endpoints import EndpointStatus
from mooring.hosting.naming import Scope
from mooring.scaling.documents import FAILED, INSTANCES, PROVISIONED, SUCCESSFUL, Activity, Target
from mooring.settings import AccessSettings, Settings
from mooring.store import scaling, scaling_activities
from tests.api.conftest import Account
from tests.api.serving import ACCOUNT, serving, unique
from tests.api.test_updates import SERVERLESS, make_config, variants

STEP = {
    "AdjustmentType": "ChangeInCapacity",
    "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
    "Cooldown": 60,
}
TRACKING = {
    "TargetValue": 70.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}


class Scaled:
    """An account with an endpoint `e` in service, whose variant is `v`."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.client = account.edge.client("application-autoscaling", region=account.region)
        self.on = {
            "ServiceNamespace": "sagemaker",
            "ResourceId": "endpoint/e/variant/v",
            "ScalableDimension": INSTANCES,
        }
        account.model()
        make_config(account, "c", variants(v=2))
        account.endpoint()

    @property
    def scope(self) -> Scope:
        return Scope(ACCOUNT, self.account.region)

    def register(self, least: int = 1, most: int = 4, **more: Any) -> str:
        return str(
            self.client.register_scalable_target(**self.on, MinCapacity=least, MaxCapacity=most, **more)[
                "ScalableTargetARN"
            ]
        )

    def put(self, name: str = "p", **config: Any) -> dict[str, Any]:
        given = config or {
            "PolicyType": "TargetTrackingScaling",
            "TargetTrackingScalingPolicyConfiguration": TRACKING,
        }
        answer: dict[str, Any] = self.client.put_scaling_policy(PolicyName=name, **self.on, **given)
        return answer

    def targets(self, **more: Any) -> list[dict[str, Any]]:
        found = self.client.describe_scalable_targets(ServiceNamespace="sagemaker", **more)["ScalableTargets"]
        return list(found)

    def activities(self, **more: Any) -> list[dict[str, Any]]:
        found = self.client.describe_scaling_activities(ServiceNamespace="sagemaker", **more)["ScalingActivities"]
        return list(found)

    def refused(self, operation: str, code: str = "ValidationException", **params: Any) -> str:
        with pytest.raises(ClientError) as caught:
            getattr(self.client, operation)(**params)
        assert caught.value.response["Error"]["Code"] == code, caught.value
        return str(caught.value.response["Error"]["Message"])


@pytest.fixture
def scaled(account: Account) -> Scaled:
    return Scaled(account)


def test_a_target_is_kept_as_it_is_registered(scaled: Scaled) -> None:
    arn = scaled.register(1, 4, Tags={"team": "a"}, SuspendedState={"DynamicScalingInSuspended": True})
    (found,) = scaled.targets()
    created = found.pop("CreationTime")
    region = scaled.account.region
    assert arn.startswith(f"arn:aws:application-autoscaling:{region}:{ACCOUNT}:scalable-target/")
    service = "sagemaker.application-autoscaling.amazonaws.com"
    role = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    assert found == {
        **scaled.on,
        "MinCapacity": 1,
        "MaxCapacity": 4,
        "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/{role}",
        "SuspendedState": {
            "DynamicScalingInSuspended": True,
            "DynamicScalingOutSuspended": False,
            "ScheduledScalingSuspended": False,
        },
        "ScalableTargetARN": arn,
    }
    # Later registrations change what they name.
    scaled.client.register_scalable_target(**scaled.on, MaxCapacity=9)
    (again,) = scaled.targets(ResourceIds=[scaled.on["ResourceId"]], ScalableDimension=INSTANCES)
    assert (again["MinCapacity"], again["MaxCapacity"], again["CreationTime"]) == (1, 9, created)
    assert again["SuspendedState"]["DynamicScalingInSuspended"]
    assert scaled.client.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "a"}
    scaled.client.tag_resource(ResourceARN=arn, Tags={"team": "b", "x": ""})
    scaled.client.untag_resource(ResourceARN=arn, TagKeys=["x", "none"])
    assert scaled.client.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "b"}
    scaled.client.deregister_scalable_target(**scaled.on)
    assert scaled.targets() == []
    assert scaled.client.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    assert "doesn't exist" in scaled.refused("list_tags_for_resource", "ResourceNotFoundException", ResourceARN=arn)


def test_a_capacity_outside_the_bounds_is_to_be_moved(scaled: Scaled) -> None:
    scaled.register(1, 4)
    assert scaled.activities() == []
    scaled.register(3, 4)
    (found,) = scaled.activities(ResourceId=scaled.on["ResourceId"], ScalableDimension=INSTANCES)
    assert (found["StatusCode"], found["Description"]) == ("Pending", "Setting desired instance count to 3.")
    assert found["Cause"] == "minimum capacity was set to 3"
    scaled.register(1, 1)
    newest, oldest = scaled.activities()
    assert oldest["StatusCode"] == "Overridden"
    assert (newest["StatusCode"], newest["Cause"]) == ("Pending", "maximum capacity was set to 1")
    assert scaled.account.edge.control.scaling.followed > 2


def test_a_tracking_policy_has_two_alarms(scaled: Scaled) -> None:
    scaled.register()
    made = scaled.put()
    assert made["PolicyARN"].endswith(":resource/sagemaker/endpoint/e/variant/v:policyName/p")
    high, low = (alarm["AlarmName"] for alarm in made["Alarms"])
    assert high.startswith("TargetTracking-endpoint/e/variant/v-AlarmHigh-")
    assert low.startswith("TargetTracking-endpoint/e/variant/v-AlarmLow-")
    (found,) = scaled.client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert found.pop("CreationTime")
    assert found == {
        **scaled.on,
        "PolicyARN": made["PolicyARN"],
        "PolicyName": "p",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": TRACKING,
        "Alarms": made["Alarms"],
    }
    # Put again it keeps what it is known by; without a low alarm where it never scales in.
    never_in = {**TRACKING, "DisableScaleIn": True}
    again = scaled.put(TargetTrackingScalingPolicyConfiguration=never_in, PolicyType="TargetTrackingScaling")
    assert again == {**again, "PolicyARN": made["PolicyARN"], "Alarms": made["Alarms"][:1]}
    scaled.put("s", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEP)
    named = scaled.client.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=["s"])["ScalingPolicies"]
    assert [each["StepScalingPolicyConfiguration"] for each in named] == [STEP]
    assert named[0]["Alarms"] == []
    scaled.client.delete_scaling_policy(PolicyName="s", **scaled.on)
    words = scaled.refused("delete_scaling_policy", "ObjectNotFoundException", PolicyName="s", **scaled.on)
    assert words == (
        "No scaling policy found for service namespace: sagemaker, resource ID: endpoint/e/variant/v, scalable "
        "dimension: sagemaker:variant:DesiredInstanceCount, policy name: s"
    )


def test_a_metric_of_ones_own_is_tracked(scaled: Scaled) -> None:
    """AWS's own example for SageMaker, and one with an expression."""
    scaled.register()
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]
    cpu = {
        "MetricName": "CPUUtilization", "Namespace": "/aws/sagemaker/Endpoints", "Dimensions": dimensions,
        "Statistic": "Average", "Unit": "Percent",
    }  # fmt: skip
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocations", "Dimensions": dimensions}
    queries = [
        {"Id": "m", "MetricStat": {"Metric": metric, "Stat": "Sum"}, "ReturnData": False},
        {"Id": "e", "Expression": "m / 2", "Label": "half", "ReturnData": True},
    ]
    for name, specification in (("cpu", cpu), ("math", {"Metrics": queries})):
        config = {"TargetValue": 50.0, "CustomizedMetricSpecification": specification, "ScaleInCooldown": 0}
        made = scaled.put(name, PolicyType="TargetTrackingScaling", TargetTrackingScalingPolicyConfiguration=config)
        assert len(made["Alarms"]) == 2
        found = scaled.client.describe_scaling_policies(ServiceNamespace="sagemaker", PolicyNames=[name])
        assert found["ScalingPolicies"][0]["TargetTrackingScalingPolicyConfiguration"] == config


def test_a_scheduled_action_is_kept(scaled: Scaled) -> None:
    scaled.register()
    action = {"MinCapacity": 2, "MaxCapacity": 3}
    scaled.client.put_scheduled_action(
        ScheduledActionName="a", Schedule="cron(0 9 * * ? *)", Timezone="Europe/Berlin", ScalableTargetAction=action,
        **scaled.on,
    )  # fmt: skip
    (found,) = scaled.client.describe_scheduled_actions(ServiceNamespace="sagemaker")["ScheduledActions"]
    assert found.pop("CreationTime")
    arn = found.pop("ScheduledActionARN")
    assert arn.endswith(":resource/sagemaker/endpoint/e/variant/v:scheduledActionName/a")
    assert found == {
        **scaled.on,
        "ScheduledActionName": "a",
        "Schedule": "cron(0 9 * * ? *)",
        "Timezone": "Europe/Berlin",
        "ScalableTargetAction": action,
    }
    scaled.client.put_scheduled_action(ScheduledActionName="a", Schedule="rate(1 hour)", **scaled.on)
    (again,) = scaled.client.describe_scheduled_actions(ServiceNamespace="sagemaker", ScheduledActionNames=["a"])[
        "ScheduledActions"
    ]
    assert (again["Schedule"], again["ScheduledActionARN"]) == ("rate(1 hour)", arn)
    assert again["ScalableTargetAction"] == action
    scaled.client.delete_scheduled_action(ScheduledActionName="a", **scaled.on)
    words = scaled.refused("delete_scheduled_action", "ObjectNotFoundException", ScheduledActionName="a", **scaled.on)
    assert words.startswith("No scheduled action found for service namespace: sagemaker, resource ID: ")


def test_pages_hold_all_and_nothing_twice(scaled: Scaled) -> None:
    scaled.register()
    names = [f"p{number}" for number in range(7)]
    for name in names:
        scaled.put(name, PolicyType="StepScaling", StepScalingPolicyConfiguration=STEP)
    pages = scaled.client.get_paginator("describe_scaling_policies").paginate(
        ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 3}
    )
    assert [each["PolicyName"] for page in pages for each in page["ScalingPolicies"]] == names
    target = Target(scaled.scope, "e", "v", INSTANCES)
    done = [Activity(f"i{number}", target, "d", "c", 1e9, SUCCESSFUL) for number in range(5)]
    now = scaled.targets()[0]["CreationTime"].timestamp()
    for number, activity in enumerate(done):
        reasons = ({"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 4},) if number == 3 else ()
        kept = replace(activity, started_at=now + number, not_scaled=reasons, status=FAILED if reasons else SUCCESSFUL)
        scaled.account.edge.write(lambda conn, kept=kept: scaling_activities.add(conn, kept))
    pages = scaled.client.get_paginator("describe_scaling_activities").paginate(
        ServiceNamespace="sagemaker", PaginationConfig={"PageSize": 2}
    )
    assert [each["ActivityId"] for page in pages for each in page["ScalingActivities"]] == ["i4", "i2", "i1", "i0"]
    all_of_them = scaled.activities(IncludeNotScaledActivities=True)
    assert [each["ActivityId"] for each in all_of_them] == ["i4", "i3", "i2", "i1", "i0"]
    assert all_of_them[1]["NotScaledReasons"] == [{"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 4}]
    for token in ("x", "WzFd", "WyJhIl0="):
        for operation in ("describe_scalable_targets", "describe_scaling_policies", "describe_scaling_activities"):
            if (operation, token) != ("describe_scaling_activities", "WzFd"):
                scaled.refused(operation, "InvalidNextTokenException", ServiceNamespace="sagemaker", NextToken=token)


def test_what_is_refused(scaled: Scaled) -> None:
    bounds = {"MinCapacity": 1, "MaxCapacity": 2}
    unsupported = "Unsupported service namespace, resource type or scalable dimension"
    for wrong in (
        {"ServiceNamespace": "ecs"},
        {"ResourceId": "inference-component/x"},
        {"ScalableDimension": "sagemaker:inference-component:DesiredCopyCount"},
    ):
        assert scaled.refused("register_scalable_target", **{**scaled.on, **wrong}, **bounds) == unsupported
    absent = {**scaled.on, "ResourceId": "endpoint/e/variant/none"}
    words = scaled.refused("register_scalable_target", **absent, **bounds)
    assert words == "SageMaker endpoint variant doesn't exist: endpoint/e/variant/none"
    assert "required" in scaled.refused("register_scalable_target", **scaled.on, MinCapacity=1)
    words = scaled.refused("register_scalable_target", **scaled.on, MinCapacity=3, MaxCapacity=2)
    assert words == "Maximum capacity cannot be less than minimum capacity"
    scaled.refused("register_scalable_target", **{**scaled.on, "ScalableDimension": PROVISIONED}, **bounds)
    step = {"PolicyType": "StepScaling", "StepScalingPolicyConfiguration": STEP}
    missing = (
        "for service namespace: sagemaker, resource ID: endpoint/e/variant/v, scalable dimension: "
        "sagemaker:variant:DesiredInstanceCount"
    )
    words = scaled.refused("put_scaling_policy", "ObjectNotFoundException", PolicyName="p", **scaled.on, **step)
    assert words == f"No scalable target registered {missing}"
    words = scaled.refused("deregister_scalable_target", "ObjectNotFoundException", **scaled.on)
    assert words == f"No scalable target found {missing}"
    scaled.register()
    for config in (
        {},
        {"PolicyType": "PredictiveScaling", "PredictiveScalingPolicyConfiguration": {"MetricSpecifications": []}},
        {"PolicyType": "StepScaling"},
        {"PolicyType": "TargetTrackingScaling", "StepScalingPolicyConfiguration": STEP},
        {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 1.0}},
        _custom(Statistic="Average", MetricName="m"),
        _custom(Metrics=[{"Id": "e", "Expression": "METRICS(", "ReturnData": True}]),
    ):
        assert scaled.refused("put_scaling_policy", PolicyName="p", **scaled.on, **config)
    for number in (0, 51):
        words = scaled.refused("describe_scalable_targets", ServiceNamespace="sagemaker", MaxResults=number)
        assert words.startswith(f"1 validation error detected: Value '{number}' at 'maxResults' failed to satisfy")
    scaled.refused("describe_scaling_policies", ServiceNamespace="sagemaker", ScalableDimension=INSTANCES)
    words = scaled.refused("get_predictive_scaling_forecast", PolicyName="p", StartTime=1, EndTime=2, **scaled.on)
    assert words.startswith("Predictive scaling is not supported for service namespace sagemaker")
    words = scaled.refused("describe_scalable_targets", ServiceNamespace="nonsense")
    assert "Member must satisfy enum value set: [" in words


def test_a_target_has_so_many_policies_and_actions(scaled: Scaled) -> None:
    scaled.register()
    scaled.put("p0", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEP)
    schedule = {"Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": 1}}
    scaled.client.put_scheduled_action(ScheduledActionName="a0", **schedule, **scaled.on)

    def fill(conn: Any) -> None:
        target = Target(scaled.scope, "e", "v", INSTANCES)
        (policy,), (action,) = scaling.policies.of(conn, target), scaling.actions.of(conn, target)
        for number in range(1, 200):
            scaling.actions.save(conn, replace(action, name=f"a{number}"))
            if number < 50:
                scaling.policies.save(conn, replace(policy, name=f"p{number}"))

    scaled.account.edge.write(fill)
    step = {"PolicyType": "StepScaling", "StepScalingPolicyConfiguration": STEP}
    words = scaled.refused("put_scaling_policy", "LimitExceededException", PolicyName="one", **scaled.on, **step)
    assert words == "There are 50 scaling policies of endpoint/e/variant/v, which is the most."
    given = {"ScheduledActionName": "one", **scaled.on, **schedule}
    words = scaled.refused("put_scheduled_action", "LimitExceededException", **given)
    assert words == "There are 200 scheduled actions of endpoint/e/variant/v, which is the most."
    scaled.put("p7", PolicyType="StepScaling", StepScalingPolicyConfiguration=STEP)  # one that is there may change
    pages = scaled.client.get_paginator("describe_scheduled_actions").paginate(ServiceNamespace="sagemaker")
    assert sum(len(page["ScheduledActions"]) for page in pages) == 200


def _custom(**members: Any) -> dict[str, Any]:
    config = {"TargetValue": 1.0, "CustomizedMetricSpecification": members}
    return {"PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": config}


def test_a_deleted_endpoint_is_deregistered(scaled: Scaled) -> None:
    scaled.register()
    scaled.put()
    scaled.account.client.delete_endpoint(EndpointName="e")
    assert scaled.targets() == []
    assert scaled.client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    words = scaled.refused("register_scalable_target", **scaled.on, MinCapacity=1, MaxCapacity=2)
    assert words.startswith("SageMaker endpoint variant doesn't exist")


def test_an_update_keeps_a_registered_variant_on_its_instances(scaled: Scaled) -> None:
    account = scaled.account
    scaled.register()
    other = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
    make_config(account, "other", [other])
    make_config(account, "gone", variants(w=1))
    make_config(account, "same", variants(v=1, w=1))
    text = (
        'The variant(s) "v" must be deregistered as scalable target(s) in AWS Auto Scaling before they can be removed '
        "or have their instance type changed."
    )
    for config in ("other", "gone"):
        assert account.refused("update_endpoint", EndpointName="e", EndpointConfigName=config) == text
    account.client.update_endpoint(EndpointName="e", EndpointConfigName="same", RetainAllVariantProperties=True)
    account.settle()
    found = {
        each["VariantName"]: each for each in account.client.describe_endpoint(EndpointName="e")["ProductionVariants"]
    }
    assert (found["v"]["CurrentInstanceCount"], found["w"]["CurrentInstanceCount"]) == (2, 1)
    scaled.client.deregister_scalable_target(**scaled.on)
    account.client.update_endpoint(EndpointName="e", EndpointConfigName="other")


def test_provisioned_concurrency_is_a_dimension_of_its_own(account: Account) -> None:
    account.model()
    make_config(account, "c", [SERVERLESS])
    account.endpoint()
    client = account.edge.client("application-autoscaling", region=account.region)
    on = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v", "ScalableDimension": PROVISIONED}
    client.register_scalable_target(**on, MinCapacity=1, MaxCapacity=3)
    (found,) = client.describe_scaling_activities(ServiceNamespace="sagemaker")["ScalingActivities"]
    assert found["Description"] == "Setting desired provisioned concurrency to 1."
    with pytest.raises(ClientError, match="MaxConcurrency"):
        client.register_scalable_target(**on, MinCapacity=1, MaxCapacity=9)


def test_who_may_not_deregister_may_not_delete_what_is_registered(tmp_path: Path) -> None:
    settings = Settings(access=AccessSettings(mode="keys"))
    with serving(tmp_path / "state.db", settings) as edge:
        allowed = [{"Effect": "Allow", "Action": ["sagemaker:*"], "Resource": "*"}]
        scaler = [{"Effect": "Allow", "Action": "application-autoscaling:*", "Resource": "*"}]
        edge.control.keys.hold(
            AccessKey("ALL", "secret-of-all", "all", None),
            AccessKey("ONE", "secret-of-one", "one", policy_of({"Version": "2012-10-17", "Statement": allowed})),
            AccessKey("TWO", "secret-of-two", "two", policy_of({"Version": "2012-10-17", "Statement": scaler})),
        )
        region = unique("r")
        account = Account(edge, region, edge.client(region=region, key=("ALL", "secret-of-all")))
        account.model()
        make_config(account, "c", variants(v=2))
        account.endpoint()
        on = {"ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v", "ScalableDimension": INSTANCES}
        one = {name: edge.client(name, region=region, key=("ONE", "secret-of-one")) for name in
               ("sagemaker", "application-autoscaling")}  # fmt: skip
        two = edge.client("application-autoscaling", region=region, key=("TWO", "secret-of-two"))
        with pytest.raises(
            ClientError, match="is not authorized to perform: application-autoscaling:Register"
        ) as denied:
            one["application-autoscaling"].register_scalable_target(**on, MinCapacity=1, MaxCapacity=2)
        assert denied.value.response["Error"]["Code"] == "AccessDeniedException"
        two.register_scalable_target(**on, MinCapacity=1, MaxCapacity=2)
        with pytest.raises(ClientError, match="An Application AutoScaling scalable target exists for a variant being"):
            one["sagemaker"].delete_endpoint(EndpointName="e")
        assert account.client.describe_endpoint(EndpointName="e")["EndpointStatus"] == EndpointStatus.IN_SERVICE
        assert len(two.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]) == 1
        account.client.delete_endpoint(EndpointName="e")
        assert edge.write(scaling.targets.all) == []
