"""AWS's DeploymentConfig, read: how traffic moves to a new fleet, how long it bakes, which alarms turn it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mooring.hosting.model_rules import containers_of
from mooring.hosting.rules import Members
from mooring.hosting.variant_rules import instance_types_of

PERCENT_SLACK = 0.1
"""33 % steps are three, not three and a fourth of one per cent."""


class Mode(StrEnum):
    """How traffic moves."""

    ALL_AT_ONCE = "ALL_AT_ONCE"
    CANARY = "CANARY"
    LINEAR = "LINEAR"
    ROLLING = "ROLLING"


@dataclass(frozen=True, slots=True)
class Size:
    """A CapacitySize: a number of instances, or a percentage of them."""

    value: int
    percent: bool

    def of(self, count: int, times: int = 1) -> int:
        """So many instances of `count`, rounded up, are `times` this size."""
        wanted = -(-self.value * times * count // 100) if self.percent else self.value * times
        return min(count, wanted)

    def share(self, count: int, times: int = 1) -> float:
        """The part of the traffic of `count` instances that `times` this size takes."""
        part = self.value * times / 100 if self.percent else self.value * times / max(count, 1)
        return min(1.0, part)

    def times(self, count: int) -> int:
        """How many of this size make the whole of `count` instances."""
        whole = 100 / self.value - PERCENT_SLACK if self.percent else count / self.value
        return max(1, -int(-whole // 1))


WHOLE = Size(100, percent=True)


@dataclass(frozen=True, slots=True)
class Policy:
    """What an update does, defaults filled in. Without a DeploymentConfig: all at once, no bake."""

    mode: Mode = Mode.ALL_AT_ONCE
    size: Size = WHOLE
    """Of a canary, a linear step or a rolling batch."""
    wait_s: int = 0
    """WaitIntervalInSeconds."""
    termination_wait_s: int = 0
    rollback_size: Size = WHOLE
    timeout_s: int | None = None
    alarms: tuple[str, ...] = ()


def policy_of(deployment: Members | None) -> Policy:
    """A DeploymentConfig that keeps the rules, as a policy."""
    deployment = deployment or {}
    alarms = tuple(alarm["AlarmName"] for alarm in deployment.get("AutoRollbackConfiguration", {}).get("Alarms", ()))
    if rolling := deployment.get("RollingUpdatePolicy"):
        return Policy(
            mode=Mode.ROLLING,
            size=size_of(rolling["MaximumBatchSize"]),
            wait_s=rolling["WaitIntervalInSeconds"],
            rollback_size=size_of(rolling["RollbackMaximumBatchSize"])
            if "RollbackMaximumBatchSize" in rolling
            else WHOLE,
            timeout_s=rolling.get("MaximumExecutionTimeoutInSeconds"),
            alarms=alarms,
        )
    blue_green = deployment.get("BlueGreenUpdatePolicy")
    if blue_green is None:
        return Policy(alarms=alarms)
    routing = blue_green["TrafficRoutingConfiguration"]
    size = routing.get("CanarySize") or routing.get("LinearStepSize")
    return Policy(
        mode=Mode(routing["Type"]),
        size=size_of(size) if size else WHOLE,
        wait_s=routing["WaitIntervalInSeconds"],
        termination_wait_s=blue_green.get("TerminationWaitInSeconds", 0),
        timeout_s=blue_green.get("MaximumExecutionTimeoutInSeconds"),
        alarms=alarms,
    )


def size_of(capacity: Members) -> Size:
    """A CapacitySize."""
    return Size(capacity["Value"], capacity["Type"] == "CAPACITY_PERCENT")


def may_be_guarded(old: Iterable[Members], new: Iterable[Members], models: Iterable[Members]) -> bool:
    """Whether AWS moves the traffic of these variants step by step; else it does so at once, whatever was asked for.

    It does not when variants come or go by name, on Inf1 and Elastic Inference, and for models of the marketplace.
    """
    old, new = list(old), list(new)
    if {variant["VariantName"] for variant in old} != {variant["VariantName"] for variant in new}:
        return False
    if any("ModelPackageName" in container for model in models for container in containers_of(model)):
        return False
    return not any(
        "AcceleratorType" in variant or any(kind.startswith("ml.inf1.") for kind in instance_types_of(variant))
        for variant in [*old, *new]
    )
