"""Updates for the tests: two models of one shape, policies with short waits, and what an update leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.acceptance.running import Deployment, Server, wait_until

QUIET = "quiet"
"""The alarm of the mode `alarmed`, which a test has to make."""
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}


def routed(kind: str, wait: int = 1, termination: int = 0, **sizes: Any) -> dict[str, Any]:
    """A blue/green DeploymentConfig."""
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **sizes}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": termination}}


def rolling(wait: int = 1, **more: Any) -> dict[str, Any]:
    """A rolling DeploymentConfig, in halves."""
    return {"RollingUpdatePolicy": {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": wait, **more}}


def with_alarms(deployment_config: dict[str, Any], *names: str) -> dict[str, Any]:
    return {**deployment_config, "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in names]}}


MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "all-at-once": routed("ALL_AT_ONCE", 0, 1),
    "canary": routed("CANARY", CanarySize=HALF),
    "linear": routed("LINEAR", LinearStepSize=HALF),
    "rolling": rolling(),
    "alarmed": with_alarms(routed("CANARY", CanarySize=HALF), QUIET),
}


def put_alarm(deployment: Deployment, name: str, state: str = "OK") -> Any:
    cloudwatch = deployment.server.client("cloudwatch", retries=3)
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="AWS/SageMaker", MetricName="Invocation5XXErrors", Statistic="Average", Period=60,
        EvaluationPeriods=1, Threshold=0.5, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
    return cloudwatch


class Updating:
    """An endpoint of two replicas that can be moved between configs."""

    def __init__(self, deployment: Deployment, name: str, instances: int = 2) -> None:
        self.deployment = deployment
        self.name = name
        self.instances = instances
        self.prepare("old")
        deployment.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=self.config("old"))
        deployment.wait(name)

    def config(self, kind: str) -> str:
        return f"{self.name}-{kind}"

    def prepare(self, kind: str, script: str | None = None, **members: Any) -> str:
        """A model and a config that hold what `script` says, or the echo of their own name."""
        name = self.config(kind)
        self.deployment.model(name, script)
        variant = self.deployment.variant(name, "v", **{"InitialInstanceCount": self.instances, **members})
        return self.deployment.config(name, variant)

    def update(self, kind: str, deployment_config: dict[str, Any] | None = None, **members: Any) -> None:
        if deployment_config:
            members["DeploymentConfig"] = deployment_config
        self.deployment.sagemaker.update_endpoint(
            EndpointName=self.name, EndpointConfigName=self.config(kind), **members
        )

    def settled(self, timeout: float = 40, status: str = "InService") -> dict[str, Any]:
        """The endpoint once no update is under way."""
        in_progress = ("Updating", "RollingBack")
        wait_until(lambda: self.described()["EndpointStatus"] not in in_progress, timeout, f"{self.name} to settle")
        found = self.described()
        assert found["EndpointStatus"] == status, found
        return found

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.deployment.sagemaker.describe_endpoint(EndpointName=self.name)
        return found

    def pending(self) -> dict[str, Any]:
        """What PendingDeploymentSummary says of the variant; empty when there is none."""
        variants = self.described().get("PendingDeploymentSummary", {}).get("ProductionVariants", [{}])
        return dict(variants[0])

    def models(self, calls: int = 20) -> set[str]:
        """Which models answer."""
        return {self.deployment.invoke(self.name)["model"] for _ in range(calls)}


def generations(server: Server, endpoint: str) -> set[int]:
    """Whose replicas there are."""
    return {each["generation"] for each in server.replicas(endpoint)}


def running(server: Server) -> set[int]:
    """The pids of every process that works in a replica's directory, whether control knows of it or not."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(server.data / "run" / "replicas")):
                found.add(int(process.name))
        except OSError:
            continue
    return found
