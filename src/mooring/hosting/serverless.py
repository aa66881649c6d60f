"""What a serverless variant promises: ServerlessConfig, as gateways and control need it.

A variant has slots 0 to MaxConcurrency - 1. A replica has one slot, a slot at most one replica, and a call holds one
slot from the moment that it is admitted to its end: that is the limit, whoever admits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from mooring.hosting.rules import Members

BODY_LIMIT_BYTES = 4 * 1024 * 1024
"""AWS's 4 MB, of a request and of an answer."""
MB_PER_VCPU = 1769
"""As AWS Lambda has it: for serverless endpoints AWS says "proportional" and no number."""

WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"


@dataclass(frozen=True, slots=True)
class ServerlessRoute:
    """Of one variant."""

    uid: str
    """The endpoint's: names what gateways share to count slots."""
    max_concurrency: int
    provisioned: int
    """Replicas that are kept while nobody calls."""
    hold_s: float
    """How long a call may wait for a replica that is being started."""
    generation: int = 1
    """Of the fleet; slots are the endpoint's, so that the limit holds while an update has two."""

    @staticmethod
    def from_document(document: dict[str, Any] | None) -> ServerlessRoute | None:
        """The inverse of `dataclasses.asdict`."""
        return None if document is None else ServerlessRoute(**document)


class Slots(NamedTuple):
    """Some slots of one fleet, as gateways and control tell each other of them."""

    uid: str
    generation: int
    variant: str
    slots: list[int]

    @staticmethod
    def from_document(document: Any) -> Slots:
        """Out of a JSON array. Raises ValueError or TypeError for what is none."""
        uid, generation, variant, slots = document
        return Slots(str(uid), int(generation), str(variant), [int(slot) for slot in slots])


def is_serverless(variant: Members) -> bool:
    """Whether a ProductionVariant has a ServerlessConfig."""
    return "ServerlessConfig" in variant


def with_one_worker(model: Members) -> Members:
    """A model whose replicas run one call at a time, whatever its container is told for instances."""
    if "PrimaryContainer" in model:
        return {**model, "PrimaryContainer": _one_worker(model["PrimaryContainer"])}
    return {**model, "Containers": [_one_worker(container) for container in model.get("Containers", ())]}


def _one_worker(container: Members) -> Members:
    return {**container, "Environment": {**container.get("Environment", {}), WORKERS: "1"}}


def max_concurrency(variant: Members) -> int:
    """Of a serverless ProductionVariant."""
    return int(variant["ServerlessConfig"]["MaxConcurrency"])


def provisioned(variant: Members) -> int:
    """Replicas that a variant keeps while nobody calls; 0 also for one that is not serverless."""
    return int(variant.get("ServerlessConfig", {}).get("ProvisionedConcurrency") or 0)


def first_replicas(variant: Members) -> int:
    """Replicas that come up when a serverless variant is deployed: one shows that its model can be started."""
    return max(1, provisioned(variant))
