"""Scheduled actions: put, shown, deleted."""

from __future__ import annotations

import uuid
from typing import Any

from mooring.api.calls import Call
from mooring.api.scaling_calls import limit_exceeded, no_such, of_target, page_of, registered, target_of
from mooring.scaling import validating
from mooring.scaling.documents import ScheduledAction
from mooring.scaling.naming import action_arn
from mooring.store import Connection, scaling

MOST_ACTIONS = 200
"""Of one target, as on AWS."""


def put_scheduled_action(conn: Connection, call: Call) -> dict[str, Any]:
    target = registered(conn, call).target
    name = call.input["ScheduledActionName"]
    held = scaling.actions.get(conn, target, name)
    if held is None and len(scaling.actions.of(conn, target)) >= MOST_ACTIONS:
        raise limit_exceeded(f"There are {MOST_ACTIONS} scheduled actions of {target.resource_id}, which is the most.")
    arn = action_arn(target, str(uuid.uuid4()), name) if held is None else held.arn
    scaling.actions.save(conn, validating.action_of(target, call.input, held, arn, call.now))
    call.rescaled = True
    return {}


def describe_scheduled_actions(conn: Connection, call: Call) -> dict[str, Any]:
    found, end = page_of(conn, call, scaling.actions, "ScheduledActionNames")
    return {"ScheduledActions": [_told(each) for each in found], **end}


def _told(action: ScheduledAction) -> dict[str, Any]:
    return {
        "ScheduledActionName": action.name,
        "ScheduledActionARN": action.arn,
        **of_target(action.target),
        "Schedule": action.schedule,
        "Timezone": action.timezone,
        "StartTime": action.starts_at,
        "EndTime": action.ends_at,
        "ScalableTargetAction": action.action,
        "CreationTime": action.created_at,
    }


def delete_scheduled_action(conn: Connection, call: Call) -> dict[str, Any]:
    name = call.input["ScheduledActionName"]
    if not scaling.actions.delete(conn, target_of(call), name):
        raise no_such("scheduled action", call, name)
    call.rescaled = True
    return {}
