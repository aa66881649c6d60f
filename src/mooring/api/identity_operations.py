"""STS: who the caller is. Until callers are told apart, everyone is one session of one role."""

from __future__ import annotations

from typing import Any

from mooring.api.calls import Call
from mooring.hosting.naming import partition
from mooring.store import Connection

ROLE_ID = "AROAMOORINGMOORINGMO"


def get_caller_identity(_conn: Connection, call: Call) -> dict[str, Any]:
    account = call.scope.account
    return {
        "UserId": f"{ROLE_ID}:session",
        "Account": account,
        "Arn": f"arn:{partition(call.scope.region)}:sts::{account}:assumed-role/mooring/session",
    }
