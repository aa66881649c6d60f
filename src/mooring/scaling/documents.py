"""What is registered: a target that may be scaled, its policies and its scheduled actions, and what was done to it.

Configurations keep AWS's member names inside; `Target` is what all of them are of.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mooring.hosting.naming import Scope

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
PROVISIONED = "sagemaker:variant:DesiredProvisionedConcurrency"
PENDING, IN_PROGRESS, SUCCESSFUL, OVERRIDDEN, FAILED = "Pending", "InProgress", "Successful", "Overridden", "Failed"
"""AWS's StatusCodes of an activity. A pending one waits until the endpoint can be scaled."""


@dataclass(frozen=True, slots=True)
class Target:
    """One dimension of one variant."""

    scope: Scope
    endpoint: str
    variant: str
    dimension: str
    """`INSTANCES` or `PROVISIONED`."""

    @property
    def resource_id(self) -> str:
        return f"endpoint/{self.endpoint}/variant/{self.variant}"


@dataclass(frozen=True, slots=True)
class ScalableTarget:
    """As RegisterScalableTarget leaves it."""

    target: Target
    id: str
    """Of its ARN."""
    least: int
    most: int
    created_at: float
    role_arn: str
    suspended: dict[str, bool] = field(default_factory=dict)
    """SuspendedState, by AWS's member names; what is missing is false."""


@dataclass(frozen=True, slots=True)
class Policy:
    """As PutScalingPolicy leaves it."""

    target: Target
    name: str
    arn: str
    kind: str
    """`StepScaling` or `TargetTrackingScaling`."""
    config: dict[str, Any]
    """StepScalingPolicyConfiguration or TargetTrackingScalingPolicyConfiguration."""
    created_at: float
    alarms: tuple[str, ...] = ()
    """Names of the alarms that belong to it: a target tracking policy's own."""
    last_out_at: float | None = None
    """When it last scaled out, and in: what its cooldowns count from."""
    last_in_at: float | None = None
    last_out_by: int = 0
    """What it added then: while it cools down, a further step counts from what was before."""


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """As PutScheduledAction leaves it."""

    target: Target
    name: str
    arn: str
    schedule: str
    """`at(…)`, `rate(…)` or `cron(…)`."""
    timezone: str
    action: dict[str, int]
    """ScalableTargetAction: MinCapacity, MaxCapacity."""
    created_at: float
    starts_at: float | None = None
    ends_at: float | None = None
    due_at: float | None = None
    """When it is next due; None when never again."""


@dataclass(frozen=True, slots=True)
class Activity:
    """A ScalingActivity: what was done, or was not, and why."""

    id: str
    target: Target
    description: str
    cause: str
    started_at: float
    status: str
    """AWS's StatusCode."""
    message: str = ""
    ended_at: float | None = None
    details: str = ""
    not_scaled: tuple[dict[str, Any], ...] = ()
    """NotScaledReasons."""
    wanted: int | None = None
    """The capacity that it is to lead to."""
    before: int | None = None
    """The capacity that it found."""
    policies: tuple[str, ...] = ()
    """Names of the policies whose decision it is, and whose cooldowns begin when it is over."""

    @property
    def open(self) -> bool:
        """Whether it is not over."""
        return self.status in (PENDING, IN_PROGRESS)
