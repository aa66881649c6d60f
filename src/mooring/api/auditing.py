"""API calls in the audit log: who asked for what, and what came of it. No parameter but names is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from mooring.access.keys import AccessKey
from mooring.http1.messages import SOURCE, Request, Response
from mooring.processes.audit_log import AuditLog, AuditRecord, is_read
from mooring.settings import Settings
from mooring.wire.recognition import MOORING, Recognition

LOOKED_AT_BYTES = 256 * 1024
"""Of a body in which a name is looked for; no call that names a resource is as long."""
_NAMES = (
    *("QueueUrl", "QueueName", "TopicArn", "TargetArn", "SubscriptionArn", "logGroupName", "logGroupIdentifier"),
    *("RoleName", "UserName", "GroupName", "PolicyArn", "PolicyName", "RoleArn", "AlarmName", "ResourceArn"),
    *("ResourceId", "ResourceARN"),
    *("resourceArn", "Namespace", "Name", "EndpointName", "EndpointConfigName", "ModelName"),
)
"""Members that name what a call of any service is about, the more telling first."""
_ERROR = re.compile(
    rb'"(?:__type|code|Code)"\s*:\s*"(?:[^"\\]{0,200}#)?([A-Za-z0-9_.]{1,128})"|<Code>([A-Za-z0-9_.]+)<'
)
_REQUEST_ID = (b"x-amzn-requestid", b"x-mooring-request-id")


@dataclass(slots=True)
class Progress:
    """What is known of one request so far, for its lines in the logs."""

    operation: str = "-"
    resource: str = "-"
    outcome: str = "OK"
    key: AccessKey | None = None
    """Whose call it is, where that is asked."""
    arn: str = ""


class Auditing:
    """Writes a line for each call that the settings want; does nothing without a log."""

    def __init__(self, settings: Settings, log: AuditLog | None) -> None:
        self._region = settings.account.region
        self._everything = settings.audit.level == "all"
        self._log = log

    def record(self, request: Request, who: Recognition, response: Response, progress: Progress, took_s: float) -> None:
        """A call has been answered."""
        if self._log is None or not self._log.wants(progress.operation):
            return
        own = who.service == MOORING
        if own and not self._everything and is_read(progress.operation):
            return  # `mooring status` and `mooring logs --follow` look again and again
        record = AuditRecord(
            service=who.service,
            operation=progress.operation,
            request_id=_request_id(request, response),
            status=response.status,
            took_s=took_s,
            resource=progress.arn or ("" if own else _named(request)),
            region="" if own else who.region or self._region,
            key_id=who.access_key_id or "",
            source=(request.header(SOURCE) or b"").decode("latin-1"),
            error=_error(response, progress.outcome) if response.status >= 400 else "",
        )
        self._log.add(record)


def _error(response: Response, outcome: str) -> str:
    if outcome not in ("OK", "absent", "denied"):
        return outcome
    found = _ERROR.search(response.body[:4096])
    return (found[1] or found[2]).decode("ascii") if found is not None else ""


def _request_id(request: Request, response: Response) -> str:
    told = {name.lower(): value for name, value in response.headers}
    found = told.get(_REQUEST_ID[0]) or request.header(_REQUEST_ID[1]) or b""
    return found.decode("latin-1")


def _named(request: Request) -> str:
    """The name of what a call is about, from its body or its query."""
    if len(request.body) > LOOKED_AT_BYTES:
        return ""
    members = _members(request)
    return next((value for name in _NAMES if isinstance(value := members.get(name), str)), "")


def _members(request: Request) -> Mapping[str, object]:
    try:
        if request.header(b"x-amz-target") is not None:
            document = json.loads(request.body)
            return document if isinstance(document, dict) else {}
        return dict(parse_qsl(f"{request.query.decode('latin-1')}&{request.body.decode('utf-8')}"))
    except (ValueError, RecursionError):
        return {}
