"""CloudWatch's log groups of endpoints: their replicas' own files, told as log events.

The four operations with which clients read logs are answered here for `/aws/sagemaker/Endpoints/NAME`; all else of
CloudWatch Logs is the neighbours'. A group is there as long as its endpoint: to a client, one that is not there is one
to wait for, and the SageMaker SDK would wait for ever for the group of an endpoint that printed nothing. For the SDK's
sake also, an answer with events always has a `nextToken`: it shows no others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

from mooring.api import log_tokens
from mooring.api.calls import Control
from mooring.api.log_operations import LIST_LIMIT, READING, Params, Reading, invalid, not_found
from mooring.control.log_groups import LogGroup
from mooring.errors import NotFound, NotInstalled, Refused
from mooring.hosting.endpoints import EndpointRecord
from mooring.hosting.naming import Scope, partition
from mooring.http1.messages import Request
from mooring.wire import json_protocol
from mooring.wire.errors import WireResponse
from mooring.wire.service_models import ServiceModel, service_model
from mooring.wire.validation import require_valid

LOGS = "logs"
GROUPS = "/aws/sagemaker/Endpoints/"
MOST_PAGES_OF_NEIGHBOURS = 200
_INVOCATION_ID = b"amz-sdk-invocation-id"


class EndpointLogs:
    """Answers what is asked about the logs of endpoints."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def answer(
        self, request: Request, operation: str | None, scope: Scope, request_id: str
    ) -> WireResponse | None:
        """The answer; None for a call that is the neighbours'. Raises `WireError` or `MooringError`."""
        read = READING.get(operation or "")
        if read is None and operation != "DescribeLogGroups":
            return None
        if read is not None and not _group_name(request.body).startswith(GROUPS):
            return None
        model = await asyncio.to_thread(service_model, LOGS)
        params = _params(model, request)
        if read is None:
            return await self._groups(request, model, params, scope, request_id)
        group = await self._group(_group_name(request.body), scope)
        return await asyncio.to_thread(_read, read, group, scope, model, str(operation), params, request_id)

    async def _group(self, name: str, scope: Scope) -> LogGroup:
        try:
            return await self._control.log_group(scope, name.removeprefix(GROUPS))
        except NotFound:
            raise not_found("The specified log group does not exist.") from None

    async def _groups(
        self, request: Request, model: ServiceModel, params: Params, scope: Scope, request_id: str
    ) -> WireResponse:
        """DescribeLogGroups: the neighbours' groups and ours, as one list."""
        if "logGroupNamePrefix" in params and "logGroupNamePattern" in params:
            raise invalid("LogGroup name prefix and pattern are mutually exclusive.")
        theirs = await self._theirs(request, params, request_id)
        if isinstance(theirs, WireResponse):
            return theirs
        mine = await self._control.log_groups(scope)
        return await asyncio.to_thread(_groups_answer, theirs, mine, scope, model, params, request_id)

    async def _theirs(self, request: Request, params: Params, request_id: str) -> list[dict[str, Any]] | WireResponse:
        """Every group of the neighbours', or their refusal."""
        found: list[dict[str, Any]] = []
        asked = {"logGroupNamePrefix": params["logGroupNamePrefix"]} if "logGroupNamePrefix" in params else {}
        for _ in range(MOST_PAGES_OF_NEIGHBOURS):
            page = Request()
            page.method, page.target = request.method, request.target
            page.headers = [header for header in request.headers if header[0] != _INVOCATION_ID]
            page.body = json.dumps({**asked, "limit": LIST_LIMIT}).encode()
            try:
                answer = await self._control.ask_neighbours(page, request_id)
            except NotInstalled:
                break
            if answer.status != 200:
                return answer
            document = json.loads(answer.body)
            found += document.get("logGroups", [])
            if not document.get("nextToken"):
                break
            asked["nextToken"] = document["nextToken"]
        return found


def _group_name(body: bytes) -> str:
    """The name of the group that a call is about, however it is told; empty where it is not."""
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        document = json.loads(body)
        for member in ("logGroupName", "logGroupIdentifier"):
            if isinstance(name := document.get(member), str):
                return _plain(name)
    return ""


def _plain(identifier: str) -> str:
    """The name of a group whose ARN it may be."""
    return identifier.partition(":log-group:")[2].removesuffix(":*") if identifier.startswith("arn:") else identifier


def _params(model: ServiceModel, request: Request) -> dict[str, Any]:
    parsed = json_protocol.parse_request(
        model, request.header(b"x-amz-target"), request.body, content_type=request.header(b"content-type")
    )
    require_valid(parsed.operation.input, parsed.params, "InvalidParameterException")
    if "logGroupName" in parsed.params and "logGroupIdentifier" in parsed.params:
        raise invalid("LogGroup name and LogGroup ARN are mutually exclusive parameters.")
    return parsed.params


def _read(
    read: Reading,
    group: LogGroup,
    scope: Scope,
    model: ServiceModel,
    operation: str,
    params: Params,
    request_id: str,
) -> WireResponse:
    try:
        result = read(group, params, _arn(scope, _plain(params.get("logGroupName") or params["logGroupIdentifier"])))
    except NotFound as error:
        raise not_found(str(error)) from None
    except Refused as error:
        raise invalid(str(error)) from None
    return json_protocol.success(model.operation(operation), result, request_id)


def _groups_answer(
    theirs: list[dict[str, Any]],
    mine: list[tuple[EndpointRecord, LogGroup]],
    scope: Scope,
    model: ServiceModel,
    params: Params,
    request_id: str,
) -> WireResponse:
    found = {str(group["logGroupName"]): group for group in theirs}
    for record, group in mine:
        name = f"{GROUPS}{record.name}"
        described = {
            "logGroupName": name,
            "creationTime": round(record.created_at * 1000),
            "metricFilterCount": 0,
            "arn": f"{_arn(scope, name)}:*",
            "logGroupClass": "STANDARD",
            "logGroupArn": _arn(scope, name),
        }
        # One that was made ahead of its endpoint, for its retention or tags, keeps what it was made with.
        found[name] = {**described, **found.get(name, {}), "storedBytes": group.stored_bytes()}
    chosen = sorted(name for name, group in found.items() if _is_chosen(name, group, params))
    if token := params.get("nextToken"):
        (last,) = log_tokens.last_token(token, str)
        chosen = [name for name in chosen if name > last]
    limit = params.get("limit", LIST_LIMIT)
    answer: dict[str, Any] = {"logGroups": [found[name] for name in chosen[:limit]]}
    if len(chosen) > limit:
        answer["nextToken"] = log_tokens.of_last(chosen[limit - 1])
    return json_protocol.success(model.operation("DescribeLogGroups"), answer, request_id)


def _is_chosen(name: str, group: Mapping[str, Any], params: Params) -> bool:
    identifiers = params.get("logGroupIdentifiers")
    return (
        name.startswith(params.get("logGroupNamePrefix", ""))
        and params.get("logGroupNamePattern", "") in name
        and (not identifiers or name in map(_plain, identifiers))
        and params.get("logGroupClass", "STANDARD") == group.get("logGroupClass", "STANDARD")
    )


def _arn(scope: Scope, name: str) -> str:
    return f"arn:{partition(scope.region)}:logs:{scope.region}:{scope.account}:log-group:{name}"
