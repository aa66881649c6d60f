"""CloudWatch's log groups of endpoints, which are not there: what models print is in files of Mooring's own.

To a client, a group that does not exist yet is one to wait for: the SageMaker SDK, asked to show an endpoint's log,
would ask again until somebody ends it. A group that may not be read is one to do without, and it goes on.
"""

from __future__ import annotations

import contextlib
import json

from mooring.http1.messages import Request
from mooring.wire.dialects import Spoken
from mooring.wire.errors import WireError

LOGS = "logs"
GROUPS = "/aws/sagemaker/Endpoints/"
_READING = frozenset(("DescribeLogStreams", "FilterLogEvents", "GetLogEvents"))


def refusal(service: str, said: Spoken, request: Request) -> WireError | None:
    """The error for a call that reads the log of an endpoint; None for any other."""
    if service != LOGS or said.operation not in _READING:
        return None
    group: object = None
    with contextlib.suppress(ValueError, AttributeError, RecursionError):
        group = json.loads(request.body).get("logGroupName")
    if not isinstance(group, str) or not group.startswith(GROUPS):
        return None
    name = group.removeprefix(GROUPS)
    return WireError(
        "AccessDeniedException",
        f"The log of an endpoint is not in CloudWatch Logs here: `mooring logs {name}` prints what its replicas write.",
        status=400,
    )
