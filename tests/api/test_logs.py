"""CloudWatch Logs' calls about endpoints, as they come: hostile ones, and those of a server without neighbours."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.paginate import TokenDecoder
from hypothesis import given
from hypothesis import strategies as st

from mooring.api import log_tokens
from mooring.wire.errors import WireError
from tests.api.serving import Raw, Serving

GROUP = "/aws/sagemaker/Endpoints/"


@pytest.fixture
def logs(edge: Serving, tmp_path: Path) -> Iterator[Path]:
    edge.control.logs_directory = tmp_path
    (tmp_path / "x" / "v").mkdir(parents=True)
    (tmp_path / "x" / "v" / "i-1.log").write_text("one\ntwo\n")
    yield tmp_path
    edge.control.logs_directory = None


def call(edge: Serving, operation: str, body: object) -> Raw:
    headers = {"X-Amz-Target": f"Logs_20140328.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    return edge.raw("POST", "/", headers, json.dumps(body).encode())


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"limit": 0}, "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than"),
        ({"limit": 10_001}, "less than or equal to 10000"),
        ({"startTime": -1}, "'startTime' failed to satisfy constraint"),
        ({"filterPattern": "x" * 1025}, "'filterPattern' failed to satisfy constraint"),
        ({"filterPattern": "[a]"}, "Invalid filter pattern"),
        ({"logStreamNames": []}, "'logStreamNames' failed to satisfy constraint"),
        ({"logGroupIdentifier": f"{GROUP}x"}, "mutually exclusive"),
        ({"logStreamNames": ["a"], "logStreamNamePrefix": "a"}, "mutually exclusive"),
        ({"nextToken": ""}, "'nextToken' failed to satisfy constraint"),
    ],
)
def test_what_is_not_valid_is_told_in_the_services_words(edge: Serving, body: dict[str, Any], said: str) -> None:
    answer = call(edge, "FilterLogEvents", {"logGroupName": f"{GROUP}x", **body})
    assert (answer.status, answer.json["__type"]) == (400, "InvalidParameterException")
    assert said in answer.json["message"]


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize("token", ["x", ".", ".AAAA", "a" * 5000, "___", ".eJyLjgUAARUAuQ==", "f/1/s", "\N{SNOWMAN}"])
def test_a_token_that_nobody_gave(edge: Serving, token: str) -> None:
    for operation in ("FilterLogEvents", "GetLogEvents", "DescribeLogStreams"):
        answer = call(edge, operation, {"logGroupName": f"{GROUP}x", "logStreamName": "v/i-1", "nextToken": token})
        assert (answer.status, answer.json["__type"]) == (400, "InvalidParameterException")
        assert answer.json["message"] == "The specified nextToken is invalid."


@pytest.mark.usefixtures("logs")
def test_without_neighbours_the_logs_of_endpoints_are_there(edge: Serving) -> None:
    assert call(edge, "DescribeLogGroups", {}).json == {"logGroups": []}
    events = call(edge, "FilterLogEvents", {"logGroupName": f"{GROUP}x"}).json["events"]
    assert [event["message"] for event in events] == ["one", "two"]
    by_arn = {"logGroupIdentifier": f"arn:aws:logs:us-east-1:000000000000:log-group:{GROUP}x"}
    assert call(edge, "DescribeLogStreams", by_arn).json["logStreams"][0]["logStreamName"] == "v/i-1"
    assert (
        call(edge, "FilterLogEvents", {"logGroupName": f"{GROUP}absent"}).json["__type"] == "ResourceNotFoundException"
    )
    assert call(edge, "FilterLogEvents", {"logGroupIdentifier": "arn:aws:logs"}).status == 400


@given(st.dictionaries(st.text(max_size=20), st.integers(0, 1 << 61), max_size=5), st.booleans())
def test_a_token_comes_back_as_it_was_given(positions: dict[str, int], backwards: bool) -> None:
    token = log_tokens.of_streams(positions, backwards=backwards)
    assert log_tokens.streams_token(token) == (positions, backwards)
    assert "___" not in token
    with pytest.raises((ValueError, TypeError)):
        TokenDecoder().decode(token)  # botocore must not take it for one of its own


def test_a_token_that_unpacks_to_gigabytes_does_not() -> None:
    bomb = "." + base64.b64encode(zlib.compress(b"[" * 50_000_000)).decode()
    with pytest.raises(WireError):
        log_tokens.streams_token(bomb)
    with pytest.raises(WireError):
        log_tokens.streams_token(log_tokens.of_last("x", 1))
    with pytest.raises(WireError):
        log_tokens.last_token(log_tokens.of_last("x", 1), str)
    for offset in (-1, 1 << 62, True, "1", None, 1.5):
        packed = base64.b64encode(zlib.compress(json.dumps([False, {"v/a": offset}]).encode())).decode()
        with pytest.raises(WireError):
            log_tokens.streams_token("." + packed)
