"""Endpoints made, updated, reweighted and deleted in any order while control is killed: nothing lost, nothing left.

The machine draws operations; after each the endpoint may be busy, and then AWS's refusal is the right answer. Whoever
has seen an endpoint InService may invoke it until it is deleted: each has a load of its own that never tries again.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.acceptance.running import Deployment, Load, Server, wait_until

NAMES = st.sampled_from(["one", "two"])
MODELS = st.sampled_from(["a", "b", "broken"])
BREAKS = "def model_fn(model_dir): raise RuntimeError('this one never loads')\n"
HALF = {"Type": "CAPACITY_PERCENT", "Value": 50}
POLICIES: list[dict[str, Any]] = [
    {},
    {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {
        "Type": "CANARY", "CanarySize": HALF, "WaitIntervalInSeconds": 0}}},
    {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {
        "Type": "LINEAR", "LinearStepSize": HALF, "WaitIntervalInSeconds": 0}}},
    {"RollingUpdatePolicy": {"MaximumBatchSize": HALF, "WaitIntervalInSeconds": 0}},
]  # fmt: skip
MOST_KILLS = 2
"""In one life: the supervisor lets a process that dies again and again wait longer each time."""
BUSY = "Cannot update in-progress endpoint"
_numbers = itertools.count(1)


class Lifecycle(RuleBasedStateMachine):
    """What the endpoints of one server are expected to be. `own` is set by the test."""

    own: Deployment

    def __init__(self) -> None:
        super().__init__()
        self.model_of: dict[str, str] = {}
        """By endpoint: the model that serves, or will once what goes on has ended."""
        self.counts: dict[str, int] = {}
        self.loads: dict[str, Load] = {}
        self.kills = 0

    @rule(name=NAMES, model=st.sampled_from(["a", "b"]), count=st.integers(1, 2))
    def create(self, name: str, model: str, count: int) -> None:
        if name in self.model_of:
            return
        self.own.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=self._config(model, count))
        self.model_of[name], self.counts[name] = model, count

    @precondition(lambda self: self.model_of)
    @rule(name=NAMES, model=MODELS, count=st.integers(1, 3), policy=st.sampled_from(POLICIES))
    def update(self, name: str, model: str, count: int, policy: dict[str, Any]) -> None:
        if name not in self.model_of:
            return
        more = {"DeploymentConfig": policy} if policy else {}
        config = self._config(model, count)
        taken = self._unless_busy("update_endpoint", EndpointName=name, EndpointConfigName=config, **more)
        if taken and model != "broken":
            self.model_of[name], self.counts[name] = model, count

    @precondition(lambda self: self.model_of)
    @rule(name=NAMES, count=st.integers(1, 3))
    def scale(self, name: str, count: int) -> None:
        if name not in self.model_of:
            return
        wished = [{"VariantName": "v", "DesiredInstanceCount": count, "DesiredWeight": float(count)}]
        if self._unless_busy(
            "update_endpoint_weights_and_capacities", EndpointName=name, DesiredWeightsAndCapacities=wished
        ):
            self.counts[name] = count

    @precondition(lambda self: self.model_of)
    @rule(name=NAMES)
    def is_in_service(self, name: str) -> None:
        """It comes to rest as it was wished, and from then on it is invoked without pause."""
        if name not in self.model_of:
            return
        self._settle(name)
        if name not in self.loads:
            self.loads[name] = Load(self.own, name, threads=1)
            self.loads[name].__enter__()

    @precondition(lambda self: self.model_of)
    @rule(name=NAMES, forced=st.booleans())
    def delete(self, name: str, forced: bool) -> None:
        if name not in self.model_of:
            return
        self._end_load(name)
        if forced:
            wait_until(lambda: self._deleted_by_force(name), 60, f"{name} to be deleted by force")
        elif not self._unless_busy("delete_endpoint", EndpointName=name):
            return
        del self.model_of[name], self.counts[name]
        self.own.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name)

    @precondition(lambda self: self.model_of and self.kills < MOST_KILLS)
    @rule()
    def kill_control(self) -> None:
        self.kills += 1
        server = self.own.server
        wait_until(lambda: server.command("status", "--json").returncode == 0, what="control to be back")
        os.kill(server.process("control"), signal.SIGKILL)

    def teardown(self) -> None:
        try:
            for name in self.model_of:
                self._settle(name)
        finally:
            for name in list(self.loads):
                self._end_load(name)
        for name in self.model_of:
            self.own.sagemaker.delete_endpoint(EndpointName=name)
            self.own.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name)
        server = self.own.server
        wait_until(lambda: not list((server.data / "run" / "replicas").glob("*/identity.json")), what="no replica")

    def _deleted_by_force(self, name: str) -> bool:
        """Whether it is done; while control is being started again the answer is to try again."""
        done = self.own.server.command("endpoints", "delete", name, "--force")
        assert done.returncode == 0 or "not available right now" in done.stderr, done.stderr
        return done.returncode == 0

    def _config(self, model: str, count: int) -> str:
        variant = self.own.variant(model, "v", InitialInstanceCount=count)
        return self.own.config(f"{model}-{next(_numbers)}", variant)

    def _unless_busy(self, operation: str, **params: Any) -> bool:
        """Whether a call was taken; AWS's refusal is right only while something goes on."""
        before = self._status(params["EndpointName"])
        try:
            getattr(self.own.sagemaker, operation)(**params)
        except ClientError as error:
            assert BUSY in str(error)
            assert before != "InService"
            return False
        return True

    def _status(self, name: str) -> str:
        return str(self.own.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"])

    def _settle(self, name: str) -> None:
        wait_until(lambda: self._status(name) not in ("Creating", "Updating", "RollingBack"), 60, f"{name} to settle")
        found = self.own.sagemaker.describe_endpoint(EndpointName=name)
        assert found["EndpointStatus"] == "InService", found
        assert found["EndpointConfigName"].startswith(f"{self.model_of[name]}-"), found
        (variant,) = found["ProductionVariants"]
        assert variant["CurrentInstanceCount"] == variant["DesiredInstanceCount"] == self.counts[name]
        assert self.own.invoke(name)["model"] == self.model_of[name]

    def _end_load(self, name: str) -> None:
        load = self.loads.pop(name, None)
        if load is not None:
            load.__exit__()
            assert load.failures == [], f"{name}: {load.failures[:3]}"


def run(own: Deployment, examples: int, steps: int, *, derandomize: bool) -> None:
    for name, script in (("a", None), ("b", None), ("broken", BREAKS)):
        own.model(name, script)
    machine = type("OfThisServer", (Lifecycle,), {"own": own})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],  # to shrink takes a server's time for every try
        ),
    )


@pytest.mark.timeout(300)
def test_some_lives(own: Deployment) -> None:
    run(own, examples=3, steps=10, derandomize=True)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_lives(make_server: Callable[..., Server]) -> None:
    run(Deployment(make_server().start()), examples=8, steps=15, derandomize=False)
