"""What is said of a change of capacity: Description, Cause and StatusMessage of an activity, as AWS words them."""

from __future__ import annotations

from typing import Any

from mooring.scaling.documents import PROVISIONED

ATTEMPTING = "Attempting to scale due to alarm triggered"
"""Description of an activity that changed nothing."""


def setting(dimension: str, capacity: int) -> str:
    """Description."""
    return f"Setting desired {_what(dimension)} to {capacity}."


def by_alarm(alarm: str, policy: str, state: str = "ALARM") -> str:
    """Cause of what a policy did."""
    return f"monitor alarm {alarm} in state {state} triggered policy {policy}"


def by_bound(bound: str, capacity: int) -> str:
    """Cause of what a new `minimum` or `maximum` did."""
    return f"{bound} capacity was set to {capacity}"


def by_schedule(action: str, cause: str) -> str:
    """Cause of what a scheduled action did."""
    return f"scheduled action name {action} was triggered: {cause}"


def succeeded(dimension: str, capacity: int) -> str:
    """StatusMessage of a change that is fulfilled."""
    return f"Successfully set desired {_what(dimension)} to {capacity}. Change successfully fulfilled by sagemaker."


def failed(dimension: str, capacity: int, reason: str) -> str:
    """StatusMessage of a change that was refused, or came to nothing."""
    return f"Failed to set desired {_what(dimension)} to {capacity}. Reason: {reason}"


def at_most(most: int) -> dict[str, Any]:
    return {"Code": "AlreadyAtMaxCapacity", "MaxCapacity": most}


def at_least(least: int) -> dict[str, Any]:
    return {"Code": "AlreadyAtMinCapacity", "MinCapacity": least}


def as_wished(current: int) -> dict[str, Any]:
    return {"Code": "AlreadyAtDesiredCapacity", "CurrentCapacity": current}


def flapping(current: int) -> dict[str, Any]:
    return {"Code": "AutoScalingAnticipatedFlapping", "CurrentCapacity": current}


UNSCALABLE = {"Code": "TargetServicePutResourceAsUnscalable"}
"""The endpoint is not in service: it is being made, updated or rolled back."""


def _what(dimension: str) -> str:
    return "provisioned concurrency" if dimension == PROVISIONED else "instance count"
