"""STS: who the caller is. Everyone is a session of one role, which IAM knows; the session is named after the key."""

from __future__ import annotations

from typing import Any

from mooring.api.calls import Call
from mooring.hosting.naming import CALLERS_ROLE_ID, callers_arn
from mooring.store import Connection


def get_caller_identity(_conn: Connection, call: Call) -> dict[str, Any]:
    account = call.scope.account
    return {
        "UserId": f"{CALLERS_ROLE_ID}:{call.caller}",
        "Account": account,
        "Arn": callers_arn(account, call.scope.region, call.settings.account.role, call.caller),
    }
