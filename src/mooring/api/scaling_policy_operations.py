"""Scaling policies: put, shown, deleted. The alarms of one that tracks a target are control's to make and to delete."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

from mooring.api.alarm_rules import alarm_of_metric
from mooring.api.calls import Call, Control
from mooring.api.scaling_calls import limit_exceeded, no_such, of_target, page_of, registered, target_of
from mooring.errors import Refused
from mooring.metrics.alarms import ACTIONS_OF, alarm_arn
from mooring.scaling import tracking, validating
from mooring.scaling.deciding import TRACKING
from mooring.scaling.documents import Policy
from mooring.scaling.naming import policy_arn
from mooring.store import Connection, alarms, scaling
from mooring.wire.errors import WireError
from mooring.wire.service_models import service_model
from mooring.wire.validation import require_valid

MOST_POLICIES = 50
"""Of one target, as on AWS."""


async def load_shapes(call: Call, control: Control) -> None:
    """What alarms are checked by, which takes a moment to read the first time."""
    await asyncio.to_thread(service_model, "cloudwatch")


def put_scaling_policy(conn: Connection, call: Call) -> dict[str, Any]:
    """A policy that is put again keeps its ARN, its alarms and its cooldowns."""
    target = registered(conn, call).target
    name = call.input["PolicyName"]
    held = scaling.policies.get(conn, target, name)
    kind, config = validating.policy_of(call.input, held)
    if held is None and len(scaling.policies.of(conn, target)) >= MOST_POLICIES:
        raise limit_exceeded(f"There are {MOST_POLICIES} scaling policies of {target.resource_id}, which is the most.")
    if held is None:
        held = Policy(target, name, policy_arn(target, str(uuid.uuid4()), name), kind, config, call.now)
        if kind == TRACKING:
            held = replace(held, alarms=tracking.alarm_names(target, str(uuid.uuid4()), str(uuid.uuid4())))
    held = replace(held, config=config)
    _require_alarms(held, call)
    scaling.policies.save(conn, held)
    call.rescaled = True
    return {"PolicyARN": held.arn, "Alarms": _own(held)}


def describe_scaling_policies(conn: Connection, call: Call) -> dict[str, Any]:
    """Each with its alarms: a step policy's are those that name it."""
    found, end = page_of(conn, call, scaling.policies, "PolicyNames")
    naming = _naming(conn, call, {each.arn for each in found if each.kind != TRACKING})
    rows = [{**_told(each), "Alarms": naming.get(each.arn) or _own(each)} for each in found]
    return {"ScalingPolicies": rows, **end}


def _told(policy: Policy) -> dict[str, Any]:
    return {
        "PolicyARN": policy.arn,
        "PolicyName": policy.name,
        **of_target(policy.target),
        "PolicyType": policy.kind,
        f"{policy.kind}PolicyConfiguration": policy.config,
        "CreationTime": policy.created_at,
    }


def _require_alarms(policy: Policy, call: Call) -> None:
    """Raises `Refused` for a metric of which no alarm can be made."""
    if policy.kind != TRACKING:
        return
    for definition in tracking.alarms(policy.target, policy.arn, policy.config, policy.alarms):
        model = service_model("cloudwatch").operation("PutMetricAlarm")
        try:
            require_valid(model.input, definition)
            alarm_of_metric(definition, call.scope, call.now)
        except WireError as error:
            raise Refused(f"CustomizedMetricSpecification: {error.message}") from None


def _own(policy: Policy) -> list[dict[str, str]]:
    """A target tracking policy's."""
    if policy.kind != TRACKING:
        return []
    made = tracking.alarms(policy.target, policy.arn, policy.config, policy.alarms)
    names = [each["AlarmName"] for each in made]
    return [{"AlarmName": name, "AlarmARN": alarm_arn(policy.target.scope, name)} for name in names]


def _naming(conn: Connection, call: Call, arns: set[str]) -> dict[str, list[dict[str, str]]]:
    """The alarms that name a policy in their actions, by its ARN."""
    found: dict[str, list[dict[str, str]]] = {}
    for alarm in alarms.all(conn) if arns else ():
        if (alarm.account, alarm.region) == (call.scope.account, call.scope.region):
            actions = {action for member in ACTIONS_OF.values() for action in alarm.definition.get(member, ())}
            for arn in actions & arns:
                found.setdefault(arn, []).append({"AlarmName": alarm.name, "AlarmARN": alarm.arn})
    return found


def delete_scaling_policy(conn: Connection, call: Call) -> dict[str, Any]:
    """A step policy's alarms stay, as on AWS: they are whoever's who made them."""
    name = call.input["PolicyName"]
    if not scaling.policies.delete(conn, target_of(call), name):
        raise no_such("scaling policy", call, name)
    call.rescaled = True
    return {}


def get_predictive_scaling_forecast(conn: Connection, call: Call) -> dict[str, Any]:
    raise Refused(
        f"Predictive scaling is not supported for service namespace {call.input['ServiceNamespace']}: it is for ECS "
        "services only."
    )
