"""STS: who the caller is. Until callers are told apart, everyone is one session of one role, which IAM knows."""

from __future__ import annotations

from typing import Any

from mooring.api.calls import Call
from mooring.hosting.naming import CALLERS_ROLE_ID, partition
from mooring.store import Connection

SESSION = "session"


def get_caller_identity(_conn: Connection, call: Call) -> dict[str, Any]:
    account = call.scope.account
    return {
        "UserId": f"{CALLERS_ROLE_ID}:{SESSION}",
        "Account": account,
        "Arn": f"arn:{partition(call.scope.region)}:sts::{account}:assumed-role/{call.settings.account.role}/{SESSION}",
    }
