"""What the operations of Application Auto Scaling have in common: the target that a call names, errors, pages."""

from __future__ import annotations

from typing import Any, TypeVar

from mooring.access.policies import Verdict
from mooring.api.calls import Call
from mooring.api.cloudwatch_answers import as_token, from_token
from mooring.errors import Refused
from mooring.scaling import validating
from mooring.scaling.documents import Policy, ScalableTarget, ScheduledAction, Target
from mooring.scaling.naming import target_arn
from mooring.scaling.validating import NAMESPACE
from mooring.store import Connection, scaling
from mooring.store.scaling import Place, Registered
from mooring.wire.errors import WireError
from mooring.wire.validation import clause, framed

T = TypeVar("T", bound=Policy | ScheduledAction)

LISTED_AT_ONCE = 50
DEREGISTER = "application-autoscaling:DeregisterScalableTarget"


def target_of(call: Call) -> Target:
    """The target that a call names, whether it is registered or not. Raises `Refused`."""
    return validating.target_of(call.scope, call.input)


def registered(conn: Connection, call: Call, words: str = "No scalable target registered") -> ScalableTarget:
    """The registered target that a call names. Raises `WireError`."""
    found = scaling.targets.get(conn, target_of(call))
    if found is None:
        raise object_not_found(f"{words} for {_told(call)}")
    return found


def object_not_found(message: str) -> WireError:
    """What a call depends on, or is to delete, is not there."""
    return WireError("ObjectNotFoundException", message, status=400)


def no_such(what: str, call: Call, name: str) -> WireError:
    """`what` is a scaling policy, or a scheduled action."""
    label = "policy name" if what == "scaling policy" else "scheduled action name"
    return object_not_found(f"No {what} found for {_told(call)}, {label}: {name}")


def limit_exceeded(message: str) -> WireError:
    """More of something than an account or a target may have."""
    return WireError("LimitExceededException", message, status=400)


def of_target(target: Target) -> dict[str, Any]:
    """The members that say what something is of."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": target.resource_id,
        "ScalableDimension": target.dimension,
    }


def require_deregistration(call: Call, held: ScalableTarget) -> None:
    """Raises `Refused` for whoever deletes an endpoint and may not deregister what of it is registered."""
    arn = target_arn(held.target.scope, held.id)
    policy = None if call.key is None else call.key.policy
    if policy is not None and policy.decide(DEREGISTER, arn) is not Verdict.ALLOWED:
        raise Refused(
            "An Application AutoScaling scalable target exists for a variant being deleted, and the IAM identity used "
            f"to invoke DeleteEndpoint does not have {DEREGISTER} permission to deregister the scalable target."
        )


def is_elsewhere(call: Call) -> bool:
    """Whether a list is asked for of a service that is not here, of which nothing is registered. Raises `Refused`."""
    if "ScalableDimension" in call.input and not (call.input.get("ResourceId") or call.input.get("ResourceIds")):
        raise Refused("If you specify a scalable dimension, you must also specify a resource ID.")
    return bool(call.input["ServiceNamespace"] != NAMESPACE)


def limit_of(call: Call) -> int:
    """MaxResults, whose bounds AWS's model does not have. Raises `Refused`."""
    given: int = call.input.get("MaxResults", LISTED_AT_ONCE)
    for beyond, bound in (
        (given < 1, "greater than or equal to 1"),
        (given > LISTED_AT_ONCE, "less than or equal to 50"),
    ):
        if beyond:
            raise Refused(framed([clause("maxResults", str(given), f"Member must have value {bound}")]))
    return given


def place_of(call: Call, *kinds: type) -> list[Any] | None:
    """Where the page begins that NextToken names. Raises `WireError`."""
    token = call.input.get("NextToken")
    if token is None:
        return None
    refusal = WireError("InvalidNextTokenException", "The next token supplied was invalid.", status=400)
    try:
        values = from_token(token, len(kinds))
    except WireError:
        raise refusal from None
    if any(type(value) is not kind for value, kind in zip(values, kinds, strict=True)):
        raise refusal
    return values


def page_of(conn: Connection, call: Call, kept: Registered[T], names: str) -> tuple[list[T], dict[str, str]]:
    """What a list of policies or of scheduled actions shows, and its NextToken; `names` is the member that filters."""
    after = place_of(call, str, str, str)
    limit = limit_of(call)
    if is_elsewhere(call):
        return [], {}
    found, end = kept.page(
        conn,
        call.scope,
        limit,
        None if after is None else Place(*after),
        resource_ids=[call.input["ResourceId"]] if "ResourceId" in call.input else (),
        dimension=call.input.get("ScalableDimension"),
        names=call.input.get(names, ()),
    )
    return found, page_end(end)


def page_end(place: tuple[Any, ...] | None) -> dict[str, str]:
    """NextToken, where more follow."""
    return {} if place is None else {"NextToken": as_token(*place)}


def _told(call: Call) -> str:
    given = call.input
    return (
        f"service namespace: {given['ServiceNamespace']}, resource ID: {given['ResourceId']}, "
        f"scalable dimension: {given['ScalableDimension']}"
    )
