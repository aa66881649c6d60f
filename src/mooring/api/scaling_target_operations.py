"""Scalable targets: registered, shown, deregistered, tagged; and what was done to them.

A capacity that is outside the bounds when they are set is moved inside: that it is to be is stored with them, as an
activity that control takes up, so that it is done whatever happens in between.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mooring.api.calls import Call
from mooring.api.scaling_calls import (
    is_elsewhere,
    limit_exceeded,
    limit_of,
    of_target,
    page_end,
    place_of,
    registered,
    target_of,
)
from mooring.control import scaling_moves
from mooring.hosting.endpoints import EndpointStatus
from mooring.hosting.tag_rules import MOST_TAGS, refuse_reserved
from mooring.scaling import validating
from mooring.scaling.documents import Activity, ScalableTarget
from mooring.scaling.naming import role_arn, target_arn, target_id
from mooring.scaling.variants import variant_of
from mooring.store import Connection, endpoints, scaling, scaling_activities, tags
from mooring.store.scaling import Place
from mooring.wire.errors import WireError

MOST_TARGETS = 500
"""Of one account in one region, as on AWS."""
SUSPENDED = ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")


def register_scalable_target(conn: Connection, call: Call) -> dict[str, Any]:
    """The first time with both bounds; later with what is to change."""
    target = target_of(call)
    record = endpoints.get(conn, call.scope, target.endpoint)
    living = record is not None and record.status not in (EndpointStatus.DELETING, EndpointStatus.FAILED)
    variant = variant_of(record, target) if record is not None and living else None
    held = scaling.targets.get(conn, target)
    least, most = validating.bounds(call.input, held)
    validating.require_variant(target, None if variant is None else variant.config, least, most)
    if held is None and scaling.targets.count(conn, call.scope) >= MOST_TARGETS:
        raise limit_exceeded(f"There are {MOST_TARGETS} scalable targets in {call.scope.region}, which is the most.")
    suspended = _suspended(call) if held is None or "SuspendedState" in call.input else held.suspended
    if held is None:
        known_as = target_id(call.scope, target.resource_id, target.dimension)
        held = ScalableTarget(target, known_as, least, most, call.now, role_arn(call.scope))
    held = replace(held, least=least, most=most, suspended=suspended)
    scaling.targets.save(conn, held)
    arn = target_arn(call.scope, held.id)
    _tag(conn, arn, call.input.get("Tags", {}))
    scaling_moves.move_inside(conn, held, call.now)
    call.rescaled = True
    return {"ScalableTargetARN": arn}


def _suspended(call: Call) -> dict[str, bool]:
    given = call.input.get("SuspendedState", {})
    return {name: bool(given.get(name, False)) for name in SUSPENDED}


def describe_scalable_targets(conn: Connection, call: Call) -> dict[str, Any]:
    after = place_of(call, str, str, str)
    limit = limit_of(call)
    if is_elsewhere(call):
        return {"ScalableTargets": []}
    found, end = scaling.targets.page(
        conn,
        call.scope,
        limit,
        None if after is None else Place(*after),
        resource_ids=call.input.get("ResourceIds", ()),
        dimension=call.input.get("ScalableDimension"),
    )
    return {"ScalableTargets": [_told(each) for each in found], **page_end(end)}


def _told(held: ScalableTarget) -> dict[str, Any]:
    return {
        **of_target(held.target),
        "MinCapacity": held.least,
        "MaxCapacity": held.most,
        "RoleARN": held.role_arn,
        "CreationTime": held.created_at,
        "SuspendedState": {name: held.suspended.get(name, False) for name in SUSPENDED},
        "ScalableTargetARN": target_arn(held.target.scope, held.id),
    }


def deregister_scalable_target(conn: Connection, call: Call) -> dict[str, Any]:
    """With its policies and scheduled actions."""
    held = registered(conn, call, "No scalable target found")
    scaling.deregister(conn, held)
    call.rescaled = True
    return {}


def describe_scaling_activities(conn: Connection, call: Call) -> dict[str, Any]:
    """The newest first."""
    before = place_of(call, int)
    limit = limit_of(call)
    if is_elsewhere(call):
        return {"ScalingActivities": []}
    found, end = scaling_activities.page(
        conn,
        call.scope,
        limit,
        call.now - scaling_activities.KEPT_S,
        None if before is None else before[0],
        resource_id=call.input.get("ResourceId"),
        dimension=call.input.get("ScalableDimension"),
        not_scaled=call.input.get("IncludeNotScaledActivities", False),
    )
    rows = [_activity(each) for each in found]
    return {"ScalingActivities": rows, **page_end(None if end is None else (end,))}


def _activity(activity: Activity) -> dict[str, Any]:
    return {
        "ActivityId": activity.id,
        **of_target(activity.target),
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.started_at,
        "EndTime": activity.ended_at,
        "StatusCode": activity.status,
        "StatusMessage": activity.message or None,
        "Details": activity.details or None,
        "NotScaledReasons": list(activity.not_scaled) or None,
    }


# Tags


def tag_resource(conn: Connection, call: Call) -> dict[str, Any]:
    _tag(conn, _existing(conn, call), call.input["Tags"])
    return {}


def untag_resource(conn: Connection, call: Call) -> dict[str, Any]:
    tags.remove(conn, _existing(conn, call), call.input["TagKeys"])
    return {}


def list_tags_for_resource(conn: Connection, call: Call) -> dict[str, Any]:
    return {"Tags": tags.of(conn, _existing(conn, call))}


def _existing(conn: Connection, call: Call) -> str:
    arn: str = call.input["ResourceARN"]
    wanted = arn.rpartition("/")[2]
    if target_arn(call.scope, wanted) != arn or not scaling.is_registered(conn, call.scope, wanted):
        raise WireError("ResourceNotFoundException", f"The resource {arn} doesn't exist.", status=400)
    return arn


def _tag(conn: Connection, arn: str, added: dict[str, str]) -> None:
    refuse_reserved(added)
    tags.put(conn, arn, added)
    if len(tags.of(conn, arn)) > MOST_TAGS:
        raise WireError(
            "TooManyTagsException",
            f"A scalable target has {MOST_TAGS} tags at the most.",
            status=400,
            members={"ResourceName": arn},
        )
