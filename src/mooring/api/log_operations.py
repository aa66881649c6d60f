"""FilterLogEvents, GetLogEvents and DescribeLogStreams, on the group of one endpoint."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from mooring.api import log_tokens
from mooring.control.log_groups import ALWAYS, MOST_EVENTS, Event, LogGroup, Wanted
from mooring.errors import NotFound
from mooring.hosting.filter_patterns import filter_pattern
from mooring.wire.errors import WireError

LIST_LIMIT = 50

Params = Mapping[str, Any]
Reading = Callable[[LogGroup, Params, str], dict[str, Any]]
"""An operation on a group, by parameters and the group's ARN. Raises `WireError`, `NotFound`, `Refused`."""


def invalid(message: str) -> WireError:
    """What CloudWatch Logs says of parameters that it does not take."""
    return WireError("InvalidParameterException", message, status=400)


def not_found(message: str) -> WireError:
    """What it says of a group or a stream that is not there."""
    return WireError("ResourceNotFoundException", message, status=400)


def _filter_log_events(group: LogGroup, params: Params, arn: str) -> dict[str, Any]:
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix")
    if names and prefix is not None:
        raise invalid("LogStreamNames and LogStreamNamePrefix are mutually exclusive parameters.")
    if names:
        known = {stream.name for stream in group.streams()}
        if not known.intersection(names):
            raise NotFound("The specified log stream does not exist.")
    positions, backwards = dict[str, int](), not params.get("startFromHead", True)
    if token := params.get("nextToken"):
        positions, backwards = log_tokens.streams_token(token)
    wanted = _wanted(params, int(params.get("endTime", ALWAYS)))
    chosen = frozenset(names).__contains__ if names else lambda name: name.startswith(prefix or "")
    page = group.merged(chosen, wanted, positions, backwards=backwards)
    answer: dict[str, Any] = {"events": [_filtered(event) for event in page.events], "searchedLogStreams": []}
    if page.events or page.more:
        answer["nextToken"] = log_tokens.of_streams(page.positions, backwards=backwards)
    return answer


def _get_log_events(group: LogGroup, params: Params, arn: str) -> dict[str, Any]:
    backwards, offset = not params.get("startFromHead", False), None
    if token := params.get("nextToken"):
        backwards, offset = log_tokens.stream_token(token)
    wanted = _wanted(params, int(params.get("endTime", ALWAYS)) - 1)
    page = group.page(params["logStreamName"], wanted, offset, backwards=backwards)
    return {
        "events": [_told(event) for event in page.events],
        "nextForwardToken": log_tokens.of_stream("f", page.after),
        "nextBackwardToken": log_tokens.of_stream("b", page.before),
    }


def _describe_log_streams(group: LogGroup, params: Params, arn: str) -> dict[str, Any]:
    by_time, prefix = params.get("orderBy") == "LastEventTime", params.get("logStreamNamePrefix", "")
    if by_time and prefix:
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    keyed = [
        ((stream.last or 0, stream.name) if by_time else (stream.name,), stream)
        for stream in group.streams()
        if stream.name.startswith(prefix)
    ]
    descending = bool(params.get("descending"))
    keyed.sort(key=lambda each: each[0], reverse=descending)
    if token := params.get("nextToken"):
        last = log_tokens.last_token(token, *((int, str) if by_time else (str,)))
        keyed = [each for each in keyed if (each[0] < last if descending else each[0] > last)]
    limit = params.get("limit", LIST_LIMIT)
    answer: dict[str, Any] = {"logStreams": []}
    for _, stream in keyed[:limit]:
        described = {
            "logStreamName": stream.name,
            "creationTime": stream.created,
            "arn": f"{arn}:log-stream:{stream.name}",
            "storedBytes": 0,  # as AWS says of every stream since 2019
        }
        if stream.last is not None:
            first = group.first_of(stream.name)
            described["firstEventTimestamp"] = stream.last if first is None else first
            described["lastEventTimestamp"] = described["lastIngestionTime"] = stream.last
        answer["logStreams"].append(described)
    if len(keyed) > limit:
        answer["nextToken"] = log_tokens.of_last(*keyed[limit - 1][0])
    return answer


def _wanted(params: Params, end: int) -> Wanted:
    start = int(params.get("startTime", 0))
    limit = params.get("limit", MOST_EVENTS)
    return Wanted(start, end, limit, filter_pattern(params.get("filterPattern", "")))


def _told(event: Event) -> dict[str, Any]:
    line = event.line
    return {"timestamp": line.at, "message": line.text, "ingestionTime": line.at}


def _filtered(event: Event) -> dict[str, Any]:
    return {"logStreamName": event.stream, **_told(event), "eventId": _event_id(event)}


@functools.lru_cache(maxsize=1024)
def _number_of(stream: str) -> int:
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest())


def _event_id(event: Event) -> str:
    """56 digits as AWS's, which sort as the events do and are the same whenever an event is told."""
    return f"{event.line.at:014d}{_number_of(event.stream):020d}{event.line.start:022d}"


READING: dict[str, Reading] = {
    "FilterLogEvents": _filter_log_events,
    "GetLogEvents": _get_log_events,
    "DescribeLogStreams": _describe_log_streams,
}
