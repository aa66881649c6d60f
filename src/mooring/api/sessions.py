"""STS's temporary credentials while access keys are needed: the neighbours' would open nothing.

A role gives nothing here, so AssumeRole hands out what the caller's own key may do, whatever role it names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mooring.access.keys import AccessKey
from mooring.access.sessions import issue
from mooring.hosting.naming import CALLERS_ROLE_ID
from mooring.wire.errors import WireError

LASTS_S = {"AssumeRole": 3600, "GetSessionToken": 43_200}
"""The operations, and AWS's default of each."""
CHAINED_S = 3600
"""A session that comes of a session lasts no longer, as on AWS."""
_ROLE = re.compile(r"arn:(aws[a-z-]*):iam::([0-9]{12}):role/(?:[!-~]*/)?([A-Za-z0-9_+=,.@-]{1,64})")


def answer(operation: str, params: Mapping[str, Any], key: AccessKey, session_key: bytes, now: float) -> dict[str, Any]:
    """What STS says to an operation of `LASTS_S`. Raises `WireError`."""
    if params.get("Policy") or params.get("PolicyArns"):
        text = "Session policies are not supported by Mooring: make a key with this policy (mooring keys create)."
        raise WireError("MalformedPolicyDocument", text, status=400)
    lasts_s = int(params.get("DurationSeconds") or LASTS_S[operation])
    if key.parent is not None:
        lasts_s = min(lasts_s, CHAINED_S)
    made = issue(session_key, key, int(now) + lasts_s)
    told = {
        "Credentials": {
            "AccessKeyId": made.access_key_id,
            "SecretAccessKey": made.secret,
            "SessionToken": made.token,
            "Expiration": float(made.expires_at),
        }
    }
    if operation == "AssumeRole":
        told["AssumedRoleUser"] = _assumed(str(params["RoleArn"]), str(params["RoleSessionName"]))
    return told


def _assumed(role: str, session: str) -> dict[str, Any]:
    found = _ROLE.fullmatch(role)
    if found is None:
        raise WireError("ValidationError", f"{role} is invalid", status=400)
    partition, account, name = found.groups()
    return {
        "AssumedRoleId": f"{CALLERS_ROLE_ID}:{session}",
        "Arn": f"arn:{partition}:sts::{account}:assumed-role/{name}/{session}",
    }
