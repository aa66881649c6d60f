"""An SNS elsewhere: asynchronous endpoints and alarms tell their topics there, whatever it does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.asynchronous import Asynchronous
from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.telling import Sns
from tests.acceptance.test_access import keyed

TOPIC = "arn:aws:sns:eu-west-1:111122223333:done"
TEST = "TestNotification"


@pytest.fixture
def sns() -> Iterator[Sns]:
    made = Sns()
    yield made
    made.close()


def start(make_server: Callable[..., Server], url: str, key: tuple[str, ...] = ("here", "secret")) -> Server:
    signing = {"AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
    return make_server("here", MOORING_NEIGHBOURS_SNS_URL=url, **signing).start()


def told(topic: str) -> dict[str, Any]:
    return {"NotificationConfig": {"SuccessTopic": topic, "ErrorTopic": topic}}


def ends(sns: Sns) -> list[str]:
    """The InferenceIds that it was told of."""
    messages = [json.loads(each["Message"]) for each in sns.heard if each["TopicArn"] == TOPIC]
    return [each["inferenceId"] for each in messages if "inferenceId" in each]


def test_an_asynchronous_endpoint_tells_an_sns_that_is_down_slow_and_up(
    make_server: Callable[..., Server], sns: Sns
) -> None:
    sns.close()
    server = start(make_server, sns.url)
    jobs = Asynchronous(Deployment(server))
    jobs.endpoint(output=told(TOPIC), wait=False)
    assert jobs.own.wait("jobs", status="Creating")  # nobody listens there
    sns = Sns(sns.port)
    try:
        jobs.own.wait("jobs", timeout=60)
        assert [json.loads(each["Message"])["eventName"] for each in sns.heard][:1] == [TEST]
        assert "Credential=here/" in sns.authorizations[0]
        assert "/eu-west-1/sns/aws4_request" in sns.authorizations[0]
        asked = [jobs.invoke()["InferenceId"]]
        wait_until(lambda: ends(sns) == asked, what="the first job to be told of")

        sns.outcome = (500, "InternalFailure")
        answers = [jobs.invoke() for _ in range(3)]
        for answer in answers:
            jobs.result(answer)
        wait_until(lambda: len(sns.calls) >= 5, what="it to be tried")
        sns.outcome = (200, "")
        sns.slow.add(TOPIC)
        answers += [jobs.invoke() for _ in range(3)]
        for answer in answers:
            jobs.result(answer)
        assert ends(sns) == asked
        sns.slow.clear()
        sns.release.set()
        wanted = {*asked, *(each["InferenceId"] for each in answers)}
        wait_until(lambda: set(ends(sns)) >= wanted, 60, what="all jobs to be told of")
    finally:
        sns.close()
    assert server.client("sns").list_topics()["Topics"] == []  # what calls find here is what is here


def test_a_topic_that_an_sns_elsewhere_does_not_have_fails_the_endpoint(
    make_server: Callable[..., Server], sns: Sns
) -> None:
    jobs = Asynchronous(Deployment(start(make_server, sns.url)))
    sns.outcome = (404, "NotFound")
    jobs.endpoint(output=told(TOPIC), wait=False)
    found = jobs.own.wait("jobs", status="Failed")
    assert f'permissions for topic "{TOPIC}"' in found["FailureReason"]
    assert "SNS answered NotFound: Topic does not exist" in found["FailureReason"]


def test_an_alarm_tells_an_sns_elsewhere_and_a_slow_topic_keeps_no_other_waiting(
    make_server: Callable[..., Server], sns: Sns
) -> None:
    cloudwatch = start(make_server, sns.url).client("cloudwatch", retries=3)
    sns.slow.add(f"{TOPIC}-slow")
    for name, topic in (("a", f"{TOPIC}-slow"), ("b", TOPIC)):
        cloudwatch.put_metric_alarm(
            AlarmName=name, Namespace="T", MetricName="m", Statistic="Maximum", Period=10, EvaluationPeriods=1,
            Threshold=5, ComparisonOperator="GreaterThanThreshold", AlarmActions=[topic],
        )  # fmt: skip
    for name in "ab":
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by hand")
    wait_until(lambda: sns.heard, what="the topic to be told")
    (heard,) = sns.heard
    assert (heard["TopicArn"], json.loads(heard["Message"])["AlarmName"]) == (TOPIC, "b")
    assert heard["Subject"].startswith('ALARM: "b"')
    sns.release.set()
    wait_until(lambda: len(sns.heard) == 2, what="the slow topic to be told")

    def outcomes() -> list[str]:
        items = cloudwatch.describe_alarm_history(HistoryItemType="Action")["AlarmHistoryItems"]
        return [json.loads(each["HistoryData"])["actionState"] for each in items]

    wait_until(lambda: outcomes() == ["Succeeded", "Succeeded"], what="both actions to be noted")


def test_an_sns_elsewhere_that_verifies_signatures(make_server: Callable[..., Server]) -> None:
    """Another Mooring that asks for keys."""
    other = keyed(make_server("other", MOORING_ACCESS_MODE="keys").start())
    there = Asynchronous(Deployment(other))
    topic, heard = there.topic("done")
    jobs = Asynchronous(Deployment(start(make_server, other.url, other.key)))
    jobs.endpoint(output=told(topic))
    heard.of(jobs.invoke()["InferenceId"])
    jobs.endpoint("none", output=told(f"{topic}-none"), wait=False)
    assert "NotFound" in jobs.own.wait("none", status="Failed")["FailureReason"]
