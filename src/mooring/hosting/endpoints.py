"""What Mooring keeps of an endpoint, and the statuses it can be in.

An endpoint carries a *snapshot* of its config and models: on AWS both may be deleted while it serves on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mooring.hosting.naming import Scope


class EndpointStatus(StrEnum):
    """AWS's EndpointStatus, the values that Mooring uses."""

    CREATING = "Creating"
    IN_SERVICE = "InService"
    UPDATING = "Updating"
    ROLLING_BACK = "RollingBack"
    OUT_OF_SERVICE = "OutOfService"
    UPDATE_ROLLBACK_FAILED = "UpdateRollbackFailed"
    DELETING = "Deleting"
    FAILED = "Failed"


IN_PROGRESS = frozenset(
    {EndpointStatus.CREATING, EndpointStatus.UPDATING, EndpointStatus.ROLLING_BACK, EndpointStatus.DELETING}
)
"""Statuses in which update and delete are refused."""


@dataclass(frozen=True, slots=True)
class VariantState:
    """One variant of an endpoint: what is wished and what has taken effect."""

    name: str
    config: dict[str, Any]
    """The ProductionVariant as the config gave it, defaults filled in (AWS's member names)."""
    model: dict[str, Any]
    """The model as CreateModel stored it (AWS's member names)."""
    desired_weight: float
    current_weight: float
    desired_count: int
    current_count: int
    shadow: bool = False
    current_serverless: dict[str, Any] | None = None
    """The ServerlessConfig that is in effect, of a serverless variant that has served; that of `config` is wished."""


class Phase(StrEnum):
    """Where a rollout is within its step. Each is stored before anything is done for it."""

    CHECKING = "checking"
    """The alarms are asked before anything is started."""
    LAUNCHING = "launching"
    """The step's replicas are being started; traffic is as it was."""
    SHIFTING = "shifting"
    """The step's share of the traffic is being told to the gateways."""
    BAKING = "baking"
    """Until `wait_until`, watching alarms."""
    RETIRING = "retiring"
    """What the step has replaced is out of every route, drains and ends."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a rollout was when it turned back."""

    step: int
    phase: Phase


@dataclass(frozen=True, slots=True)
class Rollout:
    """An update under way. What runs and what is routed follows from this alone (`mooring.hosting.rollout.targets`)."""

    generation: int
    """Of the new fleet."""
    config_name: str
    config: dict[str, Any]
    variants: tuple[VariantState, ...]
    deployment_config: dict[str, Any] | None
    """As the caller gave it; shown as LastDeploymentConfig once it is over."""
    guarded: bool
    """Whether the traffic routing of `deployment_config` is followed; else all moves at once, without a bake."""
    before: EndpointStatus
    """The status to which a rollback leads."""
    started_at: float
    timeout_s: float
    phase: Phase
    phase_since: float
    step: int = 0
    wait_until: float | None = None
    turned: Turn | None = None
    """Set while it rolls back."""
    unheard_since: float | None = None
    """Since when CloudWatch does not say how the alarms are."""


@dataclass(frozen=True, slots=True)
class Remnant:
    """The part of a failed rollout's new fleet that still serves, since the old one could not be brought back."""

    generation: int
    variants: tuple[VariantState, ...]
    shares: dict[str, float]
    """Of each variant's traffic."""


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """One row of the store. `uid` names this creation: a later endpoint of the same name has another."""

    uid: str
    scope: Scope
    name: str
    config_name: str
    config: dict[str, Any]
    """Input of CreateEndpointConfig as stored, for DescribeEndpoint's echo."""
    status: EndpointStatus
    variants: tuple[VariantState, ...]
    created_at: float
    modified_at: float
    failure_reason: str | None = None
    deployment_config: dict[str, Any] | None = None
    """The last one that was given to CreateEndpoint or UpdateEndpoint, shown as LastDeploymentConfig."""
    forced: bool = False
    """Deletion was forced: do not drain."""
    generation: int = 1
    """Of the fleet that `variants` describe: replicas are told apart by it and their variant's name."""
    last_generation: int = 1
    """The highest that was given so far: a failed rollout's is not given again."""
    rollout: Rollout | None = None
    remnant: Remnant | None = None
    capture_problem: str | None = None
    """Why nothing is captured although it is wished."""
    starting: bool = False
    """Updating from OutOfService: a failure leads back there."""

    @property
    def arn(self) -> str:
        return self.scope.arn("endpoint", self.name)
