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
    DELETING = "Deleting"
    FAILED = "Failed"


IN_PROGRESS = frozenset({EndpointStatus.CREATING, EndpointStatus.UPDATING, EndpointStatus.DELETING})
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
    """CreateEndpoint's DeploymentConfig, shown as LastDeploymentConfig."""
    forced: bool = False
    """Deletion was forced: do not drain."""

    @property
    def arn(self) -> str:
        return self.scope.arn("endpoint", self.name)
