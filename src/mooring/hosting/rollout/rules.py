"""What a DeploymentConfig must be, for itself and for the fleet that it is to deploy.

AWS's documentation has the bounds and not the words, which are Mooring's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mooring.errors import Refused
from mooring.hosting.rollout import plans
from mooring.hosting.rollout.deployments import policy_of, size_of
from mooring.hosting.rules import Members

CANARY_MOST = 50
LINEAR_LEAST, LINEAR_MOST = 10, 50
ROLLING_LEAST, ROLLING_MOST = 5, 50


@dataclass(frozen=True, slots=True)
class Deployment:
    """A DeploymentConfig, and the production variants of the config that it is for."""

    config: Members
    variants: Mapping[str, int]
    """Instances by the variant's name, of variants that have instances."""
    serverless: bool = False

    @property
    def blue_green(self) -> Members | None:
        return self.config.get("BlueGreenUpdatePolicy")

    @property
    def routing(self) -> Members:
        routing: Members = (self.blue_green or {}).get("TrafficRoutingConfiguration", {})
        return routing

    @property
    def rolling(self) -> Members | None:
        return self.config.get("RollingUpdatePolicy")


Rule = Callable[[Deployment], str | None]


def check_deployment(deployment: Members, config: Members) -> None:
    """Raises `Refused` with the message of the first rule that a DeploymentConfig for `config` does not keep."""
    variants = config["ProductionVariants"]
    counts = {
        variant["VariantName"]: variant.get("InitialInstanceCount", 0)
        for variant in variants
        if "ServerlessConfig" not in variant
    }
    whole = Deployment(deployment, counts, any("ServerlessConfig" in variant for variant in variants))
    for rule in RULES:
        message = rule(whole)
        if message is not None:
            raise Refused(message)


def one_update_policy_at_the_most(deployment: Deployment) -> str | None:
    if deployment.blue_green is None or deployment.rolling is None:
        return None
    return "Only one update policy can be specified in DeploymentConfig."


def a_canary_has_its_size(deployment: Deployment) -> str | None:
    if (deployment.routing.get("Type") == "CANARY") == ("CanarySize" in deployment.routing):
        return None
    return "CanarySize must be specified when and only when the traffic routing type is CANARY."


def linear_steps_have_their_size(deployment: Deployment) -> str | None:
    if (deployment.routing.get("Type") == "LINEAR") == ("LinearStepSize" in deployment.routing):
        return None
    return "LinearStepSize must be specified when and only when the traffic routing type is LINEAR."


def a_canary_is_half_at_the_most(deployment: Deployment) -> str | None:
    return _outside(deployment, "CanarySize", deployment.routing.get("CanarySize"), 0, CANARY_MOST)


def a_linear_step_is_a_tenth_to_a_half(deployment: Deployment) -> str | None:
    size = deployment.routing.get("LinearStepSize")
    return _outside(deployment, "LinearStepSize", size, LINEAR_LEAST, LINEAR_MOST)


def a_rolling_batch_is_a_twentieth_to_a_half(deployment: Deployment) -> str | None:
    size = (deployment.rolling or {}).get("MaximumBatchSize")
    return _outside(deployment, "MaximumBatchSize", size, ROLLING_LEAST, ROLLING_MOST)


def a_rollback_batch_is_within_the_fleet(deployment: Deployment) -> str | None:
    size = (deployment.rolling or {}).get("RollbackMaximumBatchSize")
    return _outside(deployment, "RollbackMaximumBatchSize", size, 0, 100)


def rolling_is_not_for_serverless(deployment: Deployment) -> str | None:
    if deployment.rolling is None or not deployment.serverless:
        return None
    return "RollingUpdatePolicy is not supported for serverless endpoints."


def rolling_is_for_one_variant(deployment: Deployment) -> str | None:
    if deployment.rolling is None or len(deployment.variants) < 2:
        return None
    return "RollingUpdatePolicy is not supported for endpoints with multiple production variants."


def the_time_limit_exceeds_the_waits(deployment: Deployment) -> str | None:
    policy = policy_of(deployment.config)
    if policy.timeout_s is None:
        return None
    counts = dict(deployment.variants) or {"": 1}
    waits = sum(step.bake_s for step in plans.forward(policy, counts, counts))
    if policy.timeout_s > waits:
        return None
    return (
        f"MaximumExecutionTimeoutInSeconds must be greater than the total waiting time of the deployment, "
        f"{waits} seconds."
    )


def every_alarm_has_a_name(deployment: Deployment) -> str | None:
    alarms = deployment.config.get("AutoRollbackConfiguration", {}).get("Alarms", ())
    if all("AlarmName" in alarm for alarm in alarms):
        return None
    return "AlarmName must be specified for every alarm in AutoRollbackConfiguration."


def _outside(deployment: Deployment, member: str, size: Members | None, least: int, most: int) -> str | None:
    """What to tell when a size is not `least` to `most` per cent of every variant's instances."""
    if size is None:
        return None
    wanted = size_of(size)
    bounds = f"{least}-{most}%" if least else f"less than or equal to {most}%"
    told = f"{member} must be {bounds} of the variant's total instance count."
    if wanted.percent:
        return None if least <= wanted.value <= most else told
    for name, count in deployment.variants.items():
        if count and not least <= 100 * wanted.value / count <= most:
            return f'{told} Variant "{name}" has {count}: give {_fitting(count, least, most)}.'
    return None


def _fitting(count: int, least: int, most: int) -> str:
    """Which sizes are within the bounds of so many instances; of one instance a half is none."""
    low, high = max(1, -(-count * least // 100)), count * most // 100
    if low > high:
        return "a CAPACITY_PERCENT"
    return f"{low} of them, or a CAPACITY_PERCENT" if low == high else f"{low} to {high} of them, or a CAPACITY_PERCENT"


RULES: tuple[Rule, ...] = (
    one_update_policy_at_the_most,
    a_canary_has_its_size,
    linear_steps_have_their_size,
    rolling_is_not_for_serverless,
    rolling_is_for_one_variant,
    a_canary_is_half_at_the_most,
    a_linear_step_is_a_tenth_to_a_half,
    a_rolling_batch_is_a_twentieth_to_a_half,
    a_rollback_batch_is_within_the_fleet,
    every_alarm_has_a_name,
    the_time_limit_exceeds_the_waits,
)
