"""Changes of capacity as changes of the store: asked for, begun, followed to their end. Each function is one change.

A move is an activity. One that brings a capacity inside its bounds waits, as `Pending`, until the endpoint can be
scaled; one that a policy decides on is begun at once, and where it cannot be the policy decides anew at its next look.
From `InProgress` on the endpoint's own record says what becomes of it: both are written together, so that whatever is
killed in between, the activity ends as the endpoint did.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from mooring.control.limits import check_quotas, fitted
from mooring.errors import BadInput, LimitExceeded
from mooring.hosting import transitions
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.events import EventKind, event
from mooring.scaling import deciding, variants, wording
from mooring.scaling.documents import (
    FAILED,
    IN_PROGRESS,
    OVERRIDDEN,
    PENDING,
    SUCCESSFUL,
    Activity,
    Policy,
    ScalableTarget,
    Target,
)
from mooring.settings import Settings
from mooring.store import Connection, endpoint_configs, endpoints, events, scaling, scaling_activities


class Outcome(NamedTuple):
    """What a decision came to."""

    uid: str | None
    """Of the endpoint, if it is scaled."""
    told: str
    """Why the capacity stays."""


GONE = "The endpoint is being deleted, or the variant is not there any more."
_SETTLING = (EndpointStatus.CREATING, EndpointStatus.UPDATING, EndpointStatus.ROLLING_BACK)


def endpoint_of(conn: Connection, target: Target) -> EndpointRecord | None:
    """The endpoint that has the variant of a target."""
    record = endpoints.get(conn, target.scope, target.endpoint)
    return None if record is None or variants.variant_of(record, target) is None else record


def capacity_of(record: EndpointRecord, target: Target) -> int:
    """The capacity that is wished."""
    variant = variants.variant_of(record, target)
    return 0 if variant is None else variants.wished(variant, target.dimension)


def move_inside(
    conn: Connection, held: ScalableTarget, now: float, worded: Callable[[str], str] = lambda cause: cause
) -> None:
    """Have a capacity that is outside the bounds moved inside; `worded` makes the Cause."""
    target = held.target
    record = endpoint_of(conn, target)
    if record is None:
        return
    for waiting in scaling_activities.open_ones(conn, target):
        if waiting.status == PENDING:
            message = "Other bounds were set before the endpoint could be scaled."
            scaling_activities.save(conn, replace(waiting, status=OVERRIDDEN, message=message, ended_at=now))
    decision = _bounded(record, held)
    if decision.capacity is not None:
        before = capacity_of(record, target)
        activity = _activity(target, decision.description, worded(decision.cause), now, PENDING)
        scaling_activities.add(conn, replace(activity, wanted=decision.capacity, before=before))


def is_waiting(conn: Connection, activity: Activity) -> bool:
    """Whether there is nothing to do about a move, or to say, before the endpoint has changed."""
    record = endpoint_of(conn, activity.target)
    if record is None or record.status is EndpointStatus.DELETING:
        return False
    if activity.status == PENDING:
        return record.status is not EndpointStatus.IN_SERVICE and activity.message == _waiting(record)
    return _is_settling(record, activity)


def take_up(conn: Connection, settings: Settings, waiting: Activity, now: float) -> str | None:
    """Begin a pending move, as the bounds want it now, if the endpoint can be scaled; its uid if it was."""
    record, held = endpoint_of(conn, waiting.target), scaling.targets.get(conn, waiting.target)
    if record is None or held is None or record.status is EndpointStatus.DELETING:
        _end(conn, record, waiting, FAILED, _failed(waiting, GONE), now)
        return None
    decision = _bounded(record, held)
    if record.status is not EndpointStatus.IN_SERVICE:
        scaling_activities.save(conn, replace(waiting, message=_waiting(record)))
        return None
    if decision.capacity is None:
        _end(conn, record, waiting, OVERRIDDEN, "The capacity is inside the bounds by now.", now)
        return None
    before = capacity_of(record, waiting.target)
    wanted = replace(waiting, wanted=decision.capacity, before=before, description=decision.description)
    return _begin(conn, settings, record, wanted, now)


def decide(
    conn: Connection,
    settings: Settings,
    target: Target,
    now: float,
    decision_on: Callable[[ScalableTarget, EndpointRecord, int], deciding.Decision],
    told: str = "",
) -> Outcome:
    """Do what a decision on the target says, and tell of it, unless it is what was `told` last."""
    record, held = endpoint_of(conn, target), scaling.targets.get(conn, target)
    if record is None or held is None or scaling_activities.open_ones(conn, target):
        return Outcome(None, told)
    current = capacity_of(record, target)
    decision = decision_on(held, record, current)
    last = scaling_activities.last(conn, target)
    if decision.capacity is None:
        return Outcome(None, _stay(conn, record, target, decision, last, now, told))
    activity = _activity(target, decision.description, decision.cause, now, IN_PROGRESS)
    activity = replace(
        activity,
        wanted=decision.capacity,
        before=current,
        details=decision.details,
        policies=() if decision.policy is None else (decision.policy.name,),
    )
    return Outcome(_begin(conn, settings, record, activity, now, last), "")


def follow(conn: Connection, running: Activity, now: float, seen: Callable[[Policy], Policy]) -> None:
    """See what has become of a move that was begun; `seen` has a policy's times by the clock of now."""
    target = running.target
    record = endpoint_of(conn, target)
    if record is None or record.status is EndpointStatus.DELETING:
        _end(conn, record, running, FAILED, _failed(running, GONE), now)
        return
    if _is_settling(record, running):
        return
    wanted = running.wanted or 0
    if not _is_reached(record, running):
        reason = record.failure_reason or f"The endpoint is {record.status}."
        _end(conn, record, running, FAILED, _failed(running, reason), now)
        return
    _end(conn, record, running, SUCCESSFUL, wording.succeeded(target.dimension, wanted), now)
    for name in running.policies:
        policy = scaling.policies.get(conn, target, name)
        if policy is not None:
            noted = deciding.noted(seen(policy), running.before or 0, wanted, now)
            times: dict[str, Any] = {"last_in_at": now}
            if wanted >= (running.before or 0):
                times = {"last_out_at": now, "last_out_by": noted.last_out_by}
            scaling.policies.save(conn, replace(policy, **times))


def _is_reached(record: EndpointRecord, running: Activity) -> bool:
    """Whether what a move wanted is in effect, which it becomes when the endpoint has settled."""
    variant = variants.variant_of(record, running.target)
    return variant is not None and variants.in_effect(variant, running.target.dimension) == running.wanted


def _is_settling(record: EndpointRecord, running: Activity) -> bool:
    """Whether it is still open what becomes of a move. An update begins only when that is over."""
    return record.status in _SETTLING and record.rollout is None and not _is_reached(record, running)


def _bounded(record: EndpointRecord, held: ScalableTarget) -> deciding.Decision:
    zero_allowed = variants.can_be_zero(record, held.target.dimension)
    return deciding.bounded(held, capacity_of(record, held.target), zero_allowed=zero_allowed)


def _begin(
    conn: Connection,
    settings: Settings,
    record: EndpointRecord,
    activity: Activity,
    now: float,
    last: Activity | None = None,
) -> str | None:
    """As UpdateEndpointWeightsAndCapacities does it; what that would be refused for, the activity fails with.

    Where the same failed `last`, that one has gone on until now.
    """
    try:
        wished = _scaled(conn, settings, record, activity, now)
        refusal = None if wished.status is EndpointStatus.UPDATING else wished.failure_reason or ""
    except BadInput as error:
        wished, refusal = record, _by_sagemaker(error)
    if refusal is not None:
        if (
            last is not None
            and last.status == FAILED
            and (last.cause, last.wanted) == (activity.cause, activity.wanted)
        ):
            activity = last
        _end(conn, record, activity, FAILED, _failed(activity, refusal), now)
        return None
    endpoints.save(conn, wished)
    _put(conn, replace(activity, status=IN_PROGRESS, message=""))
    text = f"{activity.description} It was {activity.before}. Cause: {activity.cause}"
    events.add(conn, record.uid, [event(now, EventKind.SCALING, text)])
    return record.uid


def _scaled(
    conn: Connection, settings: Settings, record: EndpointRecord, activity: Activity, now: float
) -> EndpointRecord:
    """The endpoint as it is wished, or with why it cannot be. Raises `BadInput`."""
    transitions.refuse_in_progress(record)
    transitions.refuse_failed(record)
    transitions.refuse_unserving(record)
    endpoint_configs.require(conn, record.scope, record.config_name)
    wished = transitions.reweighted(record, [variants.change(activity.target, activity.wanted or 0)], now)
    check_quotas(conn, settings, wished, new=False)
    return transitions.kept_as_it_was(record, fitted(conn, settings, wished))


def _by_sagemaker(error: BadInput) -> str:
    code = "ResourceLimitExceeded" if isinstance(error, LimitExceeded) else "ValidationException"
    tail = f"(Service: AmazonSageMaker; Status Code: 400; Error Code: {code}; Request ID: {uuid.uuid4()})."
    return f"{error} {tail}"


def _stay(
    conn: Connection,
    record: EndpointRecord,
    target: Target,
    decision: deciding.Decision,
    last: Activity | None,
    now: float,
    told: str,
) -> str:
    """Tell that the capacity stays as it is: once for as long as it is so, however often an alarm is looked at."""
    codes = ", ".join(str(each["Code"]) for each in decision.not_scaled)
    why = " ".join(each for each in (f"{codes}." if codes else "", decision.details) if each)
    text = f"The capacity of variant {target.variant} stays. {why} Cause: {decision.cause}" if why else ""
    if text and text != told:
        events.add(conn, record.uid, [event(now, EventKind.SCALING, text)])
    same = last is not None and (last.not_scaled, last.cause) == (decision.not_scaled, decision.cause)
    if codes and not same:
        activity = _activity(target, decision.description, decision.cause, now, FAILED)
        message = f"The capacity was not changed: {why}"
        ended: dict[str, Any] = {"ended_at": now, "message": message, "details": decision.details}
        scaling_activities.add(conn, replace(activity, not_scaled=decision.not_scaled, **ended))
    return text


def _end(
    conn: Connection, record: EndpointRecord | None, activity: Activity, status: str, message: str, now: float
) -> None:
    held = scaling_activities.get(conn, activity.id)
    _put(conn, replace(activity, status=status, message=message, ended_at=now))
    repeated = held is not None and held.status == status == FAILED
    if record is not None and not repeated:
        events.add(conn, record.uid, [event(now, EventKind.SCALING, f"{message} Cause: {activity.cause}")])


def _put(conn: Connection, activity: Activity) -> None:
    if scaling_activities.get(conn, activity.id) is None:
        scaling_activities.add(conn, activity)
    else:
        scaling_activities.save(conn, activity)


def _waiting(record: EndpointRecord) -> str:
    return f"The endpoint is {record.status}: it is scaled when it is InService."


def _failed(activity: Activity, reason: str) -> str:
    return wording.failed(activity.target.dimension, activity.wanted or 0, reason)


def _activity(target: Target, description: str, cause: str, now: float, status: str) -> Activity:
    return Activity(str(uuid.uuid4()), target, description, cause, now, status)
