"""Alarms through real clients: evaluated on what endpoints really do, told to topics, and heeded by rollouts."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, Load, wait_until
from tests.acceptance.updating import HALF, Updating, routed, with_alarms

pytestmark = pytest.mark.timeout(120)  # alarms ring at the ends of their periods

BROKEN = """
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    raise ValueError("this model fails")
"""


def state(cloudwatch: Any, name: str) -> str:
    found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    (alarm,) = found["MetricAlarms"] + found["CompositeAlarms"]
    return str(alarm["StateValue"])


def on_errors(endpoint: str, variant: str, **members: Any) -> dict[str, Any]:
    """PutMetricAlarm's parameters: more than 5 % of the calls of 10 s fail."""
    return {
        "Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors", "Statistic": "Average", "Threshold": 0.05,
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
        "Period": 10, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold", **members,
    }  # fmt: skip


def published(cloudwatch: Any, name: str, value: float, seconds_ago: float = 2) -> None:
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    datum = {"MetricName": name, "Value": value, "Timestamp": at, "StorageResolution": 1}
    cloudwatch.put_metric_data(Namespace="T", MetricData=[datum])


def test_a_canary_that_fails_is_rolled_back_by_an_alarm_on_its_metrics(own: Deployment) -> None:
    updating = Updating(own, "ep")
    cloudwatch = own.server.client("cloudwatch")
    updating.prepare("bad", BROKEN)
    of_the_new_fleet = on_errors("ep", "v", Threshold=0.9)
    of_the_new_fleet["Dimensions"].append({"Name": "EndpointConfigName", "Value": updating.config("bad")})
    cloudwatch.put_metric_alarm(AlarmName="errors", **of_the_new_fleet)
    with Load(own, "ep") as load:
        canary = with_alarms(routed("CANARY", wait=600, CanarySize=HALF), "errors")
        updating.update("bad", canary)
        found = updating.settled(timeout=80)
        load.failures.clear()
        load.wait_for_more(20)
    assert found["EndpointConfigName"] == updating.config("old")
    assert "errors" in found["FailureReason"]
    assert updating.models() == {"ep-old"}
    assert not load.failures  # after the rollback
    items = cloudwatch.describe_alarm_history(AlarmName="errors", HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert any(each["HistorySummary"].endswith("to ALARM") for each in items)


def test_an_alarm_tells_its_topic_and_survives_control(own: Deployment) -> None:
    sns, sqs = own.server.client("sns", retries=3), own.server.client("sqs", retries=3)
    cloudwatch = own.server.client("cloudwatch", retries=3)
    topic = sns.create_topic(Name="oncall")["TopicArn"]
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    cloudwatch.put_metric_alarm(
        AlarmName="high", Namespace="T", MetricName="m", Statistic="Maximum", Period=10, EvaluationPeriods=1,
        Threshold=5, ComparisonOperator="GreaterThanOrEqualToThreshold", AlarmActions=[topic], AlarmDescription="d",
        TreatMissingData="ignore", Tags=[{"Key": "team", "Value": "a"}],
    )  # fmt: skip
    cloudwatch.put_composite_alarm(AlarmName="both", AlarmRule='ALARM("high") AND NOT OK("high")', AlarmActions=[topic])
    assert state(cloudwatch, "high") == "INSUFFICIENT_DATA"
    published(cloudwatch, "m", 7)
    wait_until(lambda: state(cloudwatch, "high") == "ALARM", what="the alarm to ring")
    wait_until(lambda: state(cloudwatch, "both") == "ALARM", what="the composite alarm to ring")
    messages: dict[str, Any] = {}

    def received() -> bool:
        found = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", [])
        messages.update((json.loads(each["Body"])["AlarmName"], json.loads(each["Body"])) for each in found)
        return len(messages) == 2

    wait_until(received, what="both alarms to be told")
    told = messages["high"]
    assert (told["NewStateValue"], told["OldStateValue"]) == ("ALARM", "INSUFFICIENT_DATA")
    assert told["NewStateReason"].startswith("Threshold Crossed: 1 out of the last 1 datapoints [7.0 (")
    assert told["Trigger"]["MetricName"] == "m"
    assert told["Trigger"]["StatisticType"] == "Statistic"

    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["high"])["MetricAlarms"]
    assert alarm["StateUpdatedTimestamp"] >= alarm["AlarmConfigurationUpdatedTimestamp"]
    assert json.loads(alarm["StateReasonData"])["recentDatapoints"] == [7.0]
    os.kill(own.server.process("control"), signal.SIGKILL)
    (again,) = cloudwatch.describe_alarms(AlarmNames=["high"])["MetricAlarms"]
    assert again == alarm
    assert cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    actions = cloudwatch.describe_alarm_history(AlarmName="high", HistoryItemType="Action")["AlarmHistoryItems"]
    assert [each["HistorySummary"] for each in actions] == [f"Successfully executed action {topic}"]

    # What is set by hand holds, then the metric decides again.
    cloudwatch.set_alarm_state(AlarmName="high", StateValue="OK", StateReason="a try")
    assert state(cloudwatch, "high") == "OK"
    wait_until(lambda: state(cloudwatch, "both") == "OK", what="the composite alarm to follow")
    with pytest.raises(ClientError, match="composite alarm"):
        cloudwatch.delete_alarms(AlarmNames=["high"])
    cloudwatch.delete_alarms(AlarmNames=["high", "both", "nobody"])
    assert cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])["MetricAlarms"] == []
    assert cloudwatch.describe_alarm_history(AlarmName="high")["AlarmHistoryItems"]


def test_what_is_described_is_what_was_put(own: Deployment) -> None:
    cloudwatch = own.server.client("cloudwatch")
    for number in range(3):
        cloudwatch.put_metric_alarm(AlarmName=f"a{number}", **on_errors("ep", "v", Period=60, AlarmActions=["arn:x:y"]))
    expression = [
        {
            "Id": "m1", "ReturnData": False,
            "MetricStat": {"Metric": {"Namespace": "T", "MetricName": "m"}, "Period": 60, "Stat": "p99"},
        },
        {"Id": "e", "Expression": "FILL(m1, 0) * 2", "ReturnData": True},
    ]  # fmt: skip
    cloudwatch.put_metric_alarm(
        AlarmName="math", Metrics=expression, EvaluationPeriods=3, DatapointsToAlarm=2, Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )  # fmt: skip
    pages = cloudwatch.get_paginator("describe_alarms").paginate(PaginationConfig={"PageSize": 2})
    found = {alarm["AlarmName"]: alarm for page in pages for alarm in page["MetricAlarms"]}
    assert list(found) == ["a0", "a1", "a2", "math"]
    for name, value in on_errors("ep", "v", Period=60, AlarmActions=["arn:x:y"]).items():
        assert found["a0"][name] == value
    assert found["math"]["Metrics"] == expression
    assert cloudwatch.describe_alarms(ActionPrefix="arn:x")["MetricAlarms"][0]["AlarmName"] == "a0"
    assert cloudwatch.describe_alarms(AlarmNamePrefix="m")["MetricAlarms"][0]["AlarmName"] == "math"
    on_metric = {name: on_errors("ep", "v")[name] for name in ("Namespace", "MetricName", "Dimensions")}
    assert len(cloudwatch.describe_alarms_for_metric(**on_metric)["MetricAlarms"]) == 3
    assert cloudwatch.describe_alarms_for_metric(**on_metric, Period=300)["MetricAlarms"] == []
    # FILL makes datapoints where there are none, so that this one rings without any data.
    wait_until(lambda: state(cloudwatch, "math") == "ALARM", what="the alarm on an expression to ring")
    cloudwatch.disable_alarm_actions(AlarmNames=["a0"])
    assert not cloudwatch.describe_alarms(AlarmNames=["a0"])["MetricAlarms"][0]["ActionsEnabled"]
    cloudwatch.enable_alarm_actions(AlarmNames=["a0"])
    assert cloudwatch.describe_alarms(AlarmNames=["a0"])["MetricAlarms"][0]["ActionsEnabled"]
    for call, members, code in REFUSED:
        with pytest.raises(ClientError) as refused:
            getattr(cloudwatch, call)(**members)
        assert refused.value.response["Error"]["Code"] == code, (call, members)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("set_alarm_state", {"AlarmName": "nobody", "StateValue": "OK", "StateReason": "x"}, "ResourceNotFound"),
    ("put_metric_alarm", {"AlarmName": "x", **on_errors("e", "v", DatapointsToAlarm=2)}, "ValidationError"),
    ("put_metric_alarm", {"AlarmName": "x", **on_errors("e", "v", Period=15)}, "InvalidParameterValue"),
    (
        "put_metric_alarm",
        {"AlarmName": "x", **on_errors("e", "v", Period=3600, EvaluationPeriods=999)},
        "ValidationError",
    ),
    (
        "put_metric_alarm",
        {"AlarmName": "x", **on_errors("e", "v", ExtendedStatistic="p9")},
        "InvalidParameterCombination",
    ),
    ("put_metric_alarm", {"AlarmName": "x", **on_errors("e", "v", ThresholdMetricId="a")}, "ValidationError"),
    ("put_metric_alarm", {"AlarmName": "x", **on_errors("e", "v", TreatMissingData="maybe")}, "InvalidParameterValue"),
    ("put_composite_alarm", {"AlarmName": "x", "AlarmRule": "ALARM(nobody)"}, "ValidationError"),
    ("put_composite_alarm", {"AlarmName": "x", "AlarmRule": "ALARM("}, "ValidationError"),
    (
        "list_tags_for_resource",
        {"ResourceARN": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:no"},
        "ResourceNotFound",
    ),
]
