"""What replicas print, as clients of CloudWatch Logs read it."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mooring.engines import log_times
from tests.acceptance.running import Deployment, Server, wait_until

PRINTING = r"""
import os, sys, threading, time
def model_fn(model_dir):
    print("loaded the model")
    print("ERROR: no such thing [42]", file=sys.stderr, flush=True)
    return "m"
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.flush()
    return data
def output_fn(data, accept):
    return '{"model": "m"}', "application/json"
"""
GROUP = "/aws/sagemaker/Endpoints/"
Event = dict[str, Any]


@pytest.fixture(scope="module")
def printing(shared_server: Server) -> Iterator[Deployment]:
    deployment = Deployment(shared_server, "logs")
    deployment.model("printing", PRINTING)
    deployment.endpoint(
        "printing", deployment.variant("printing", "AllTraffic"), deployment.variant("printing", "Other")
    )
    deployment.wait("printing")
    yield deployment
    deployment.sagemaker.delete_endpoint(EndpointName="printing")


@pytest.fixture(scope="module")
def logs(shared_server: Server) -> Any:
    return shared_server.client("logs")


def printed(deployment: Deployment, *lines: str, variant: str = "AllTraffic") -> None:
    for line in lines:
        deployment.runtime.invoke_endpoint(
            EndpointName="printing",
            Body=line.encode("latin-1"),
            ContentType="application/octet-stream",
            TargetVariant=variant,
        )


def filtered(logs: Any, name: str = "printing", **members: Any) -> list[Event]:
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=GROUP + name, **members)
    return [event for page in pages for event in page["events"]]


def streams(logs: Any, **members: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = logs.describe_log_streams(logGroupName=GROUP + "printing", **members)["logStreams"]
    return found


def stream_of(logs: Any, variant: str = "AllTraffic") -> str:
    names = [each["logStreamName"] for each in streams(logs, logStreamNamePrefix=f"{variant}/i-")]
    assert len(names) == 1
    return str(names[0])


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**members)
    found = error.value.response["Error"]
    return found["Code"], found["Message"]


def test_lines_are_events_with_times(printing: Deployment, logs: Any) -> None:
    before = round(time.time() * 1000)
    printed(printing, "first of them", "second of them")
    events = filtered(logs, startTime=before - 5000, filterPattern="of -nothing them")
    assert [event["message"] for event in events] == ["first of them", "second of them"]
    for event in events:
        assert before - 10 <= event["timestamp"] <= time.time() * 1000
        assert event["ingestionTime"] >= event["timestamp"]
        assert event["logStreamName"] == stream_of(logs)
        assert len(event["eventId"]) == 56
        assert event["eventId"].isdigit()
    assert len({event["eventId"] for event in events}) == 2
    assert filtered(logs, startTime=before - 5000, filterPattern="of them") == events, "told again, they are the same"


def test_streams_are_told_apart(printing: Deployment, logs: Any) -> None:
    printed(printing, "to all", variant="AllTraffic")
    printed(printing, "to the other", variant="Other")
    other = stream_of(logs, "Other")
    named = filtered(logs, logStreamNames=[other])
    assert {event["logStreamName"] for event in named} == {other}
    by_prefix = filtered(logs, logStreamNamePrefix="AllTraffic/")
    assert "to all" in [event["message"] for event in by_prefix]
    assert "to the other" not in [event["message"] for event in by_prefix]
    together = filtered(logs, interleaved=True)
    assert {each["eventId"] for each in together} >= {each["eventId"] for each in named + by_prefix}
    assert [each["timestamp"] for each in together] == sorted(each["timestamp"] for each in together)
    backwards = filtered(logs, startFromHead=False, startTime=1_800_000_000_000 - 10**11)
    assert backwards == together[::-1]


def test_streams_are_listed(printing: Deployment, logs: Any) -> None:
    printed(printing, "older", variant="Other")
    time.sleep(0.05)
    logs.filter_log_events(logGroupName=GROUP + "printing")
    printed(printing, "newer", variant="AllTraffic")
    listed = streams(logs)
    assert [each["logStreamName"] for each in listed] == sorted(each["logStreamName"] for each in listed)
    newest = streams(logs, orderBy="LastEventTime", descending=True)
    assert [newest[0]["logStreamName"], newest[1]["logStreamName"]] == [stream_of(logs), stream_of(logs, "Other")]
    for each in newest[:2]:
        assert each["creationTime"] <= each["firstEventTimestamp"] <= each["lastEventTimestamp"]
        assert each["arn"].startswith(
            "arn:aws:logs:us-east-1:000000000000:log-group:/aws/sagemaker/Endpoints/printing:"
        )
        assert each["arn"].endswith(f":log-stream:{each['logStreamName']}")
    oldest = streams(logs, orderBy="LastEventTime")
    assert [each["logStreamName"] for each in oldest] == [each["logStreamName"] for each in newest[::-1]]
    for members in ({}, {"descending": True}, {"orderBy": "LastEventTime"}):
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=GROUP + "printing", PaginationConfig={"PageSize": 1}, **members
        )
        assert [each for page in pages for each in page["logStreams"]] == streams(logs, **members)


def test_one_stream_is_read_from_both_ends(printing: Deployment, logs: Any) -> None:
    printed(printing, *(f"number {number}" for number in range(7)))
    asked = {"logGroupName": GROUP + "printing", "logStreamName": stream_of(logs)}
    whole = [event["message"] for event in logs.get_log_events(**asked, startFromHead=True)["events"]]
    assert whole[0].endswith("loaded the model") or "loaded the model" in whole
    assert whole[-7:] == [f"number {number}" for number in range(7)]
    assert [event["message"] for event in logs.get_log_events(**asked)["events"]] == whole

    latest = logs.get_log_events(**asked, limit=2)
    assert [event["message"] for event in latest["events"]] == whole[-2:]
    earlier = logs.get_log_events(**asked, limit=3, nextToken=latest["nextBackwardToken"])
    assert [event["message"] for event in earlier["events"]] == whole[-5:-2]
    again = logs.get_log_events(**asked, limit=3, nextToken=earlier["nextForwardToken"], startFromHead=True)
    assert [event["message"] for event in again["events"]] == whole[-2:]

    end = again["nextForwardToken"]
    at_the_end = logs.get_log_events(**asked, nextToken=end, startFromHead=True)
    assert (at_the_end["events"], at_the_end["nextForwardToken"]) == ([], end), "the same token says: that was all"
    printed(printing, "after the end")
    [last] = logs.get_log_events(**asked, nextToken=end, startFromHead=True)["events"]
    assert last["message"] == "after the end"

    read, token = [], None
    while True:
        page = logs.get_log_events(**asked, limit=4, startFromHead=True, **({"nextToken": token} if token else {}))
        read += [event["message"] for event in page["events"]]
        if page["nextForwardToken"] == token:
            break
        token = page["nextForwardToken"]
    assert read == [*whole, "after the end"]
    since = logs.get_log_events(**asked, startTime=last["timestamp"], startFromHead=True)["events"]
    assert since[-1] == last
    until = logs.get_log_events(**asked, endTime=last["timestamp"])["events"]
    assert [event["message"] for event in until] == (whole[: -len(since) + 1] if len(since) > 1 else whole)


def test_following_by_time_misses_nothing(printing: Deployment, logs: Any) -> None:
    """As `aws logs tail --follow` does it: from the newest time on, without what was seen at that time."""
    lines = [f"follow {number}" for number in range(40)]
    started = round(time.time() * 1000) - 1000
    variants = itertools.cycle(("AllTraffic", "Other"))
    told: list[str] = []
    seen: set[str] = set()
    since = started

    def look() -> None:
        nonlocal since
        for event in filtered(logs, startTime=since, filterPattern="follow", interleaved=True):
            assert event["timestamp"] >= since
            if event["eventId"] not in seen:
                told.append(event["message"])
            seen.add(event["eventId"])
            since = max(since, event["timestamp"])

    for line, variant in zip(lines, variants, strict=False):
        printed(printing, line, variant=variant)
        look()
    wait_until(lambda: look() is None and len(told) >= len(lines), what="every line to be told")
    assert sorted(told) == sorted(lines)


def test_following_by_token_misses_nothing(printing: Deployment, logs: Any) -> None:
    """As the SageMaker SDK does it: it keeps the last token and shows only pages that have one."""
    told: list[str] = []
    config: dict[str, Any] = {}

    def look() -> None:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=GROUP + "printing", logStreamNamePrefix="AllTraffic/", PaginationConfig=config
        )
        for page in pages:
            if "nextToken" in page:
                config["StartingToken"] = page["nextToken"]
                told.extend(event["message"] for event in page["events"])

    for number in range(10):
        printed(printing, f"token {number}")
        look()
    look()
    assert [line for line in told if line.startswith("token ")] == [f"token {number}" for number in range(10)]


def test_patterns(printing: Deployment, logs: Any) -> None:
    def found(pattern: str) -> list[str]:
        events = filtered(logs, filterPattern=pattern, logStreamNamePrefix="Other/")
        return [event["message"] for event in events if event["message"].startswith("pattern ")]

    printed(printing, "pattern one two", "pattern two three", "pattern two one", "pattern Four", variant="Other")
    assert found("one") == ["pattern one two", "pattern two one"]
    assert found('"one two"') == ["pattern one two"]
    assert found("two -one") == ["pattern two three"]
    assert found("?three ?Four") == ["pattern two three", "pattern Four"]
    assert found("four") == []
    assert found('pattern -"two one" one') == ["pattern one two"]
    code, message = refused(
        logs.filter_log_events, logGroupName=GROUP + "printing", filterPattern="{ $.level = ERROR }"
    )
    assert code == "InvalidParameterException"
    assert "JSON" in message


def test_what_a_model_prints_may_be_anything(printing: Deployment, logs: Any) -> None:
    printed(printing, "\x00\xff\xfe binary", "\n\n\nblank lines before", "x" * 400_000, "behind it", variant="Other")
    events = filtered(logs, logStreamNamePrefix="Other/")
    assert [event["message"] for event in events if "blank lines" in event["message"]] == ["blank lines before"]
    assert any("binary" in event["message"] for event in events)
    long = [event["message"] for event in events if event["message"].startswith("xxx")]
    assert sum(map(len, long)) == 400_000
    assert max(map(len, long)) <= 131_072
    assert events[-1]["message"] == "behind it"
    assert all(event["message"] for event in events)


def test_a_missing_group_stream_or_token(printing: Deployment, logs: Any) -> None:
    nobody = GROUP + "nobody"
    missing_group = "ResourceNotFoundException", "The specified log group does not exist."
    assert refused(logs.filter_log_events, logGroupName=nobody) == missing_group
    assert refused(logs.describe_log_streams, logGroupName=nobody) == missing_group
    assert refused(logs.get_log_events, logGroupName=nobody, logStreamName="x/y") == missing_group
    missing_stream = "ResourceNotFoundException", "The specified log stream does not exist."
    for name in ("x/y", "x", "../AllTraffic/x", "/", "AllTraffic/../x", "AllTraffic/"):
        assert refused(logs.get_log_events, logGroupName=GROUP + "printing", logStreamName=name) == missing_stream
    asked = {"logGroupName": GROUP + "printing", "nextToken": "nonsense"}
    broken = "InvalidParameterException", "The specified nextToken is invalid."
    assert refused(logs.filter_log_events, **asked) == broken
    assert refused(logs.get_log_events, **asked, logStreamName=stream_of(logs)) == broken
    assert refused(logs.describe_log_streams, **asked) == broken
    both = {"logStreamNames": ["a"], "logStreamNamePrefix": "b"}
    assert refused(logs.filter_log_events, logGroupName=GROUP + "printing", **both)[0] == "InvalidParameterException"
    sorting = {"orderBy": "LastEventTime", "logStreamNamePrefix": "b"}
    assert refused(logs.describe_log_streams, logGroupName=GROUP + "printing", **sorting) == (
        "InvalidParameterException",
        "Cannot order by LastEventTime with a logStreamNamePrefix.",
    )


def groups_by(logs: Any, size: int) -> list[str]:
    pages = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix="/aws/sagemaker/", PaginationConfig={"PageSize": size}
    )
    return [group["logGroupName"] for page in pages for group in page["logGroups"]]


def test_groups_are_listed_beside_those_of_others(printing: Deployment, logs: Any) -> None:
    for name in ("/aws/sagemaker/AAA", "/aws/sagemaker/ZZZ", f"{GROUP}ahead"):
        logs.create_log_group(logGroupName=name)
    logs.put_retention_policy(logGroupName=f"{GROUP}ahead", retentionInDays=7)
    names = groups_by(logs, 50)
    assert names == sorted(names)  # the server has endpoints of other tests
    assert {"/aws/sagemaker/AAA", f"{GROUP}ahead", f"{GROUP}printing", "/aws/sagemaker/ZZZ"} <= set(names)
    [mine] = logs.describe_log_groups(logGroupNamePrefix=f"{GROUP}printing")["logGroups"]
    assert mine["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}printing:*"
    assert mine["storedBytes"] > 0
    assert mine["creationTime"] > 1_600_000_000_000
    assert groups_by(logs, 1) == names
    by_pattern = logs.describe_log_groups(logGroupNamePattern="printing")["logGroups"]
    assert [group["logGroupName"] for group in by_pattern] == [f"{GROUP}printing"]
    events = logs.filter_log_events(logGroupIdentifier=mine["logGroupArn"], limit=1)["events"]
    assert len(events) == 1
    logs.create_log_stream(logGroupName="/aws/sagemaker/AAA", logStreamName="s")
    assert [
        each["logStreamName"] for each in logs.describe_log_streams(logGroupName="/aws/sagemaker/AAA")["logStreams"]
    ]
    for name in ("/aws/sagemaker/AAA", "/aws/sagemaker/ZZZ", f"{GROUP}ahead"):
        logs.delete_log_group(logGroupName=name)


def test_times_and_ids_survive_control(own: Deployment) -> None:
    own.simple("printing", PRINTING)
    logs = own.server.client("logs", retries=3)
    printed(own, "one", "two", variant="printing")
    before = filtered(logs)
    assert [event["message"] for event in before][-2:] == ["one", "two"]
    os.kill(own.server.process("control"), signal.SIGKILL)
    printed(own, "three", variant="printing")
    wait_until(lambda: len(filtered(logs)) > len(before), what="the line printed while control was away")
    after = filtered(logs)
    assert after[: len(before)] == before
    assert after[-1]["timestamp"] > before[-1]["timestamp"]


def test_last_words_are_told_before_what_others_say_later(own: Deployment) -> None:
    last_words = PRINTING.replace(
        "    return data\ndef output", "    return data if data != b'die' else os._exit(1)\ndef output"
    )
    own.model("mortal", last_words)
    own.endpoint("printing", own.variant("mortal", "AllTraffic"), own.variant("mortal", "Other"))
    own.wait("printing")
    (other,) = own.server.data.glob("logs/*/Other/i-*.log")

    def looked_at() -> bool:
        mark = log_times.last_mark(other)
        return mark is not None and mark[0] == other.stat().st_size

    wait_until(looked_at, what="the first look, which is at all logs")
    with pytest.raises(ClientError, match="closed the connection"):
        printed(own, "die")
    for line in ("later", "much later"):
        printed(own, line, variant="Other")
        wait_until(looked_at, what="the next look at the logs")
    events = filtered(own.server.client("logs"), filterPattern="?die ?much")
    assert [event["message"] for event in events] == ["die", "much later"]


def test_a_group_lives_as_long_as_its_endpoint(own: Deployment) -> None:
    own.model("silent")
    own.endpoint("silent", own.variant("silent"))
    logs = own.server.client("logs")
    logs.filter_log_events(logGroupName=GROUP + "silent")
    own.wait("silent")
    own.sagemaker.delete_endpoint(EndpointName="silent")

    def gone() -> bool:
        try:
            logs.filter_log_events(logGroupName=GROUP + "silent")
        except ClientError as error:
            return bool(error.response["Error"]["Code"] == "ResourceNotFoundException")
        return False

    wait_until(gone, what="the group to go")
