"""Metrics through real clients: what was invoked through two workers is counted, exactly, whatever is killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.capturing import HASTE, Capturing
from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.test_access import allow, keyed, new_key

FAILING = """
def model_fn(model_dir):
    return None
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    if "bad" in str(data):
        raise ValueError("no")
    return data
def output_fn(data, accept):
    return b"{}", "application/json"
"""


def dims(endpoint: str, variant: str) -> list[dict[str, str]]:
    return [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]


def query(name: str, endpoint: str, variant: str, stat: str = "Sum", period: int = 60) -> dict[str, Any]:
    metric = {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": dims(endpoint, variant)}
    return {"Id": f"q{name.lower()}{stat.lower()}", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def around(seconds: float = 600) -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(seconds=seconds), "EndTime": now + timedelta(seconds=seconds)}


def values(cloudwatch: Any, *queries: dict[str, Any]) -> dict[str, list[float]]:
    found = cloudwatch.get_metric_data(MetricDataQueries=list(queries), **around())
    return {each["Id"]: each["Values"] for each in found["MetricDataResults"]}


def total(cloudwatch: Any, name: str, endpoint: str, variant: str) -> float:
    (found,) = values(cloudwatch, query(name, endpoint, variant)).values()
    return sum(found)


def invoke_in_new_connections(deployment: Deployment, endpoint: str, count: int, body: bytes = b"x") -> int:
    """Each in a connection of its own, so that the kernel shares them among the workers; returns the failures."""
    failures = 0
    address = urllib.parse.urlsplit(deployment.server.url)
    for _ in range(count):
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=20)
        try:
            connection.request("POST", f"/endpoints/{endpoint}/invocations", body, {"Content-Type": "text/csv"})
            failures += connection.getresponse().status != 200
        finally:
            connection.close()
    return failures


def test_two_workers_are_counted_as_one(make_server: Callable[..., Server]) -> None:
    server = make_server().start("--workers", "2")
    own = Deployment(server)
    own.model("good", FAILING)
    own.endpoint("ep", own.variant("good", "v"))
    own.wait("ep")
    cloudwatch = server.client("cloudwatch", retries=3)
    assert invoke_in_new_connections(own, "ep", 30) == 0
    assert invoke_in_new_connections(own, "ep", 10, b"bad") == 10
    wait_until(lambda: total(cloudwatch, "Invocations", "ep", "v") == 40, what="the invocations to be counted")

    names = ("Invocations", "InvocationsPerInstance", "Invocation4XXErrors", "Invocation5XXErrors")
    found = values(cloudwatch, *(query(name, "ep", "v") for name in (*names, "InvocationModelErrors")))
    errors = {name: sum(found[f"q{name.lower()}sum"]) for name in (*names, "InvocationModelErrors")}
    assert errors == {
        "Invocations": 40,
        "InvocationsPerInstance": 40,
        "Invocation4XXErrors": 0,
        "Invocation5XXErrors": 10,
        "InvocationModelErrors": 10,
    }
    stats = cloudwatch.get_metric_statistics(
        Namespace="AWS/SageMaker", MetricName="ModelLatency", Dimensions=dims("ep", "v"), Period=3600,
        Statistics=["SampleCount", "Average", "Minimum", "Maximum", "Sum"], ExtendedStatistics=["p50", "p99", "tm90"],
        **around(),
    )["Datapoints"]  # fmt: skip
    assert sum(each["SampleCount"] for each in stats) == 40
    for each in stats:
        extended = each["ExtendedStatistics"]
        assert each["Unit"] == "Microseconds"
        assert 0 < each["Minimum"] <= extended["p50"] <= extended["p99"] <= each["Maximum"] < 60e6
        assert each["Minimum"] <= extended["tm90"] <= each["Maximum"]


@pytest.mark.timeout(120)  # control, both gateways and at last the server start again
def test_no_kill_loses_what_was_told_or_counts_it_twice(make_server: Callable[..., Server]) -> None:
    server = make_server().start("--workers", "2")
    own = Deployment(server)
    own.model("good", FAILING)
    own.endpoint("ep", own.variant("good", "v"))
    own.wait("ep")
    cloudwatch = server.client("cloudwatch", retries=3)
    # Control dies before it has written what it was told: gateways send it again, and count on meanwhile.
    assert invoke_in_new_connections(own, "ep", 20) == 0
    time.sleep(1.2)  # told, and most likely not on disk
    control = server.process("control")
    os.kill(control, signal.SIGKILL)
    assert invoke_in_new_connections(own, "ep", 20) == 0
    wait_until(lambda: total(cloudwatch, "Invocations", "ep", "v") == 40, what="the invocations to be counted")
    time.sleep(1.5)
    assert total(cloudwatch, "Invocations", "ep", "v") == 40  # and not twice

    # A gateway that is killed takes its last second with it, and no more.
    assert invoke_in_new_connections(own, "ep", 10) == 0
    time.sleep(2)
    gateways = [each["pid"] for each in server.status()["processes"] if each["name"].startswith("gateway")]
    assert len(gateways) == 2
    for pid in gateways:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: total(cloudwatch, "Invocations", "ep", "v") == 50, what="the invocations to be counted")
    server.stop()
    server.start("--workers", "2")
    cloudwatch = server.client("cloudwatch", retries=3)
    assert total(cloudwatch, "Invocations", "ep", "v") == 50


def test_expressions_pages_and_lists(own: Deployment) -> None:
    own.simple("m", FAILING)
    cloudwatch = own.server.client("cloudwatch")
    for body in (b"ok", b"ok", b"ok", b"bad"):
        invoke_in_new_connections(own, "m", 1, body)
    wait_until(lambda: total(cloudwatch, "Invocations", "m", "m") == 4)
    queries = [
        {**query("Invocation5XXErrors", "m", "m", period=3600), "Id": "m1", "ReturnData": False},
        {**query("Invocations", "m", "m", period=3600), "Id": "m2"},
        {"Id": "rate", "Expression": "m1 / m2 * 100", "Label": "errors in %"},
        {"Id": "none", "Expression": "FILL(m1, 0) * 0"},
    ]
    found = cloudwatch.get_metric_data(MetricDataQueries=queries, **around(60))["MetricDataResults"]
    by_id = {each["Id"]: each for each in found}
    assert set(by_id) == {"m2", "rate", "none"}
    assert by_id["rate"]["Label"] == "errors in %"
    assert by_id["rate"]["StatusCode"] == "Complete"
    if len(by_id["m2"]["Values"]) == 1:  # else an hour began meanwhile
        assert by_id["rate"]["Values"] == [25.0]
    listed = cloudwatch.list_metrics(
        Namespace="AWS/SageMaker", Dimensions=[{"Name": "EndpointName"}], RecentlyActive="PT3H"
    )["Metrics"]
    assert {"Invocations", "ModelLatency", "OverheadLatency"} <= {each["MetricName"] for each in listed}
    assert all(each["Dimensions"] == dims("m", "m") for each in listed)
    assert cloudwatch.list_metrics(Dimensions=[{"Name": "EndpointName", "Value": "other"}])["Metrics"] == []
    west = own.server.client("cloudwatch", region="eu-west-1")
    assert west.list_metrics()["Metrics"] == []


def test_people_publish_metrics_of_their_own(own: Deployment) -> None:
    cloudwatch = own.server.client("cloudwatch")
    now = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    data = [
        {
            "MetricName": "score",
            "Timestamp": now + timedelta(minutes=minute),
            "Values": [1.0, 5.0],
            "Counts": [3.0, 1.0],
        }
        for minute in range(5)
    ]
    cloudwatch.put_metric_data(Namespace="Mine", MetricData=data)
    cloudwatch.put_metric_data(Namespace="/aws/sagemaker/Endpoints", MetricData=[{"MetricName": "faked", "Value": 1}])
    assert "faked" not in scrape(own.server)[1]
    cloudwatch.put_metric_data(
        Namespace="Mine",
        MetricData=[
            {
                "MetricName": "large", "Unit": "Bytes", "Timestamp": now,
                "StatisticValues": {"SampleCount": 2, "Sum": 6, "Minimum": 2, "Maximum": 4},
            },
            # Enough for botocore to compress the body.
            *({"MetricName": "many", "Dimensions": [{"Name": "n", "Value": f"{n:9}"}], "Value": n} for n in range(200)),
        ],
    )  # fmt: skip
    metric = {"Namespace": "Mine", "MetricName": "score"}
    queries = [{"Id": "s", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}]
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, ScanBy="TimestampAscending", MaxDatapoints=2, **around(3600)
    )
    told = [each for page in pages for each in page["MetricDataResults"]]
    assert [len(each["Values"]) for each in told] == [2, 2, 1]
    assert [each["StatusCode"] for each in told] == ["PartialData", "PartialData", "Complete"]
    times = [at for each in told for at in each["Timestamps"]]
    assert times == [now + timedelta(minutes=minute) for minute in range(5)]
    assert {value for each in told for value in each["Values"]} == {2.0}
    large = cloudwatch.get_metric_statistics(
        Namespace="Mine", MetricName="large", Period=60, Statistics=["Sum", "Maximum"], Unit="Bytes", **around(3600)
    )["Datapoints"]
    assert [(each["Sum"], each["Maximum"], each["Unit"]) for each in large] == [(6.0, 4.0, "Bytes")]
    pages = cloudwatch.get_paginator("list_metrics").paginate(Namespace="Mine", MetricName="many")
    assert sum(len(page["Metrics"]) for page in pages) == 200


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("put_metric_data", {"Namespace": "AWS/SageMaker", "MetricData": [{"MetricName": "m", "Value": 1}]}, "Value"),
    ("put_metric_data", {"Namespace": "N", "MetricData": [{"MetricName": "m"}]}, "Combination"),
    ("put_metric_data", {"Namespace": "N", "MetricData": [{"MetricName": "m", "Value": 2.0**361}]}, "Value"),
    (
        "put_metric_data",
        {
            "Namespace": "N",
            "MetricData": [{"MetricName": "m", "Value": 1, "Timestamp": datetime(2020, 1, 1, tzinfo=UTC)}],
        },
        "Value",
    ),
    ("get_metric_statistics", {"Namespace": "N", "MetricName": "m", "Period": 61, "Statistics": ["Sum"]}, "Value"),
    ("get_metric_statistics", {"Namespace": "N", "MetricName": "m", "Period": 60}, "MissingParameter"),
    ("get_metric_statistics", {"Namespace": "N", "MetricName": "m", "Period": 1, "Statistics": ["Sum"]}, "Combination"),
    (
        "get_metric_statistics",
        {"Namespace": "N", "MetricName": "m", "Period": 60, "ExtendedStatistics": ["p101"]},
        "Value",
    ),
    ("get_metric_data", {"MetricDataQueries": [{"Id": "e", "Expression": "SEARCH('a', 'Sum')"}]}, "ValidationError"),
    ("get_metric_data", {"MetricDataQueries": [{"Id": "e", "Expression": "m1 * 2"}]}, "ValidationError"),
    (
        "get_metric_data",
        {
            "MetricDataQueries": [{"Id": "e", "Expression": "TIME_SERIES(1)"}],
            "EndTime": datetime(9999, 1, 1, tzinfo=UTC),
        },
        "ValidationError",
    ),
    ("list_metrics", {"NextToken": "nonsense"}, "InvalidNextToken"),
]


def test_what_cannot_be_is_refused_with_awss_codes(own: Deployment) -> None:
    cloudwatch = own.server.client("cloudwatch")
    for call, members, code in REFUSED:
        times = around(3600) if call.startswith("get") else {}
        with pytest.raises(ClientError) as refused:
            getattr(cloudwatch, call)(**{**times, **members})
        wanted = f"InvalidParameter{code}" if code in ("Value", "Combination") else code
        assert refused.value.response["Error"]["Code"] == wanted, (call, members)


def scrape(server: Server, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(f"{server.url}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def sample(text: str, name: str, **labels: str) -> float | None:
    """The value of the one sample of that name with these labels."""
    found = [
        each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
        if each.name == name and labels.items() <= each.labels.items()
    ]
    return found[0] if len(found) == 1 else None


def test_prometheus_reads_the_totals_of_all_workers(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_METRICS_INSTANCES_INTERVAL_S="0.5").start("--workers", "2")
    own = Deployment(server)
    own.simple("m", FAILING)
    assert invoke_in_new_connections(own, "m", 8) == 0
    wait_until(lambda: sample(scrape(server)[1], "mooring_invocations_total", endpoint="m", variant="m") == 8)
    _, text = scrape(server)
    assert sample(text, "mooring_model_latency_seconds_count", endpoint="m") == 8
    assert sample(text, "mooring_replicas", region="us-east-1", endpoint="m", state="healthy") == 1
    assert sample(text, "mooring_connections", process="gateway 1") is not None
    wait_until(lambda: sample(scrape(server)[1], "mooring_memory_utilization_percent", endpoint="m"), what="a look")
    cloudwatch = server.client("cloudwatch")

    def cpu() -> list[float]:
        metric = {"Namespace": "/aws/sagemaker/Endpoints", "MetricName": "CPUUtilization", "Dimensions": dims("m", "m")}
        stat = {"Metric": metric, "Period": 60, "Stat": "Maximum", "Unit": "Percent"}
        return values(cloudwatch, {"Id": "c", "MetricStat": stat})["c"]

    wait_until(cpu, what="the CPU of the replica")
    assert all(0 <= each <= 100 * (os.cpu_count() or 1) for each in cpu())
    # A bucket of that name is still there for who signs.
    own.s3.create_bucket(Bucket="metrics")
    own.s3.put_object(Bucket="metrics", Key="k", Body=b"x")
    assert own.s3.list_objects_v2(Bucket="metrics")["KeyCount"] == 1
    # A page of elsewhere in a browser may not read it.
    assert scrape(server, Origin="https://evil.example")[0] == 403


def test_policies_and_the_audit_log_know_metrics_and_alarms(make_server: Callable[..., Server]) -> None:
    server = keyed(make_server(MOORING_ACCESS_MODE="keys").start())
    alarm = {
        "Namespace": "N", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    mine = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:mine-*"
    key = new_key(
        server,
        "narrow",
        allow("cloudwatch:PutMetricData", "cloudwatch:GetMetricStatistics"),
        allow("cloudwatch:PutMetricAlarm", "cloudwatch:PutCompositeAlarm", "cloudwatch:DescribeAlarms", resource=mine),
    )
    cloudwatch = server.client("cloudwatch", key=key)
    cloudwatch.put_metric_data(Namespace="N", MetricData=[{"MetricName": "m", "Value": 1}])
    cloudwatch.put_metric_alarm(AlarmName="mine-a", **alarm)
    cloudwatch.put_composite_alarm(AlarmName="mine-b", AlarmRule='ALARM("mine-a")')
    for call, members in (
        ("put_metric_alarm", {"AlarmName": "theirs", **alarm}),
        ("delete_alarms", {"AlarmNames": ["mine-a"]}),
        ("list_metrics", {}),
        ("get_metric_data", {"MetricDataQueries": [{"Id": "e", "Expression": "TIME_SERIES(1)"}], **around()}),
    ):
        with pytest.raises(ClientError) as refused:
            getattr(cloudwatch, call)(**members)
        assert "AccessDenied" in refused.value.response["Error"]["Code"], call
    lines = [json.loads(line) for line in (server.data / "logs" / "audit.jsonl").read_text().splitlines()]
    of_cloudwatch = {(each["operation"], each["status"] < 300) for each in lines if each["service"] == "monitoring"}
    assert {("PutMetricAlarm", True), ("PutMetricAlarm", False), ("ListMetrics", False)} <= of_cloudwatch


def test_what_is_counted_here_can_go_to_another_cloudwatch(make_server: Callable[..., Server]) -> None:
    there = make_server("there").start()
    environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    here = make_server("here", MOORING_METRICS_CLOUDWATCH_URL=there.url, **environment).start()
    # The first minute that is sent is the one before the start, and what comes late for it is not sent: so each minute
    # has something, and the server starts again.
    minutes = [datetime.now(UTC) - timedelta(minutes=minute) for minute in range(-2, 4)]
    data = [{"MetricName": "m", "Value": 7.0, "Timestamp": at, "Unit": "Count"} for at in minutes]
    here.client("cloudwatch").put_metric_data(Namespace="T", MetricData=data)
    here.stop()
    with sqlite3.connect(here.data / "metrics.db") as connection:
        connection.execute("DELETE FROM sources")  # as if nothing had been sent yet
    here.start()
    elsewhere = there.client("cloudwatch")
    stat = {"Metric": {"Namespace": "T", "MetricName": "m"}, "Period": 60, "Stat": "Sum", "Unit": "Count"}

    def sums() -> list[float]:
        return values(elsewhere, {"Id": "m", "MetricStat": stat})["m"]

    wait_until(sums, timeout=30, what="a minute to be sent")
    assert set(sums()) == {7.0}


def test_a_scrape_needs_its_token_where_keys_are_needed(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_ACCESS_MODE="keys").start()
    status, text = scrape(server)
    assert status == 403
    assert "MOORING_METRICS_SCRAPE_TOKEN" in text
    with_token = make_server("other", MOORING_ACCESS_MODE="keys", MOORING_METRICS_SCRAPE_TOKEN="s3cret").start()
    assert scrape(with_token)[0] == 403
    assert scrape(with_token, Authorization="Bearer s3cre")[0] == 403
    status, text = scrape(with_token, Authorization="Bearer s3cret")
    assert status == 200
    assert sample(text, "mooring_info") == 1


def test_prometheus_reads_what_is_captured(make_server: Callable[..., Server]) -> None:
    own = Capturing(make_server(**HASTE).start())
    name = own.captured("taken", own.capture())
    for _ in range(3):
        own.call(name)

    def taken() -> bool:
        return sample(scrape(own.server)[1], "mooring_captured_records_total", endpoint=name) == 3

    wait_until(taken, what="the records to be counted")
    assert sample(scrape(own.server)[1], "mooring_missed_records_total", endpoint=name) == 0
