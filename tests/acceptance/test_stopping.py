"""`mooring endpoints stop` and `start`: an off switch that keeps the endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import ECHO, Deployment, Server, wait_until
from tests.acceptance.updating import MODES, Updating, running

BREAKS = "import os\nif os.path.exists({flag!r}): raise RuntimeError('gone')\n"


def switch(updating: Updating, which: str) -> str:
    done = updating.deployment.server.command("endpoints", which, updating.name)
    assert done.returncode == 0, done.stderr
    return done.stdout


def refused(deployment: Deployment, name: str) -> str:
    """The message with which an invocation is refused, however it names its variant."""
    messages = set()
    for named in ({}, {"TargetVariant": "v"}):
        with pytest.raises(ClientError) as caught:
            deployment.invoke(name, **named)
        assert caught.value.response["Error"]["Code"] == "ValidationError"
        messages.add(str(caught.value.response["Error"]["Message"]))
    assert len(messages) == 1
    return messages.pop()


def test_an_endpoint_is_stopped_and_started(shared: Deployment) -> None:
    updating = Updating(shared, f"{shared.prefix}-off")
    pids = {each["pid"] for each in shared.server.replicas(updating.name)}
    assert "OutOfService" in switch(updating, "stop")
    found = updating.settled(status="OutOfService")
    variant = found["ProductionVariants"][0]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (0, 2)
    assert (variant["CurrentWeight"], variant["DesiredWeight"]) == (0.0, 1.0)
    wait_until(lambda: not shared.server.replicas(updating.name), what="the replicas to go")
    assert not pids & running(shared.server)
    assert refused(shared, updating.name) == (
        f"Endpoint {updating.name} is OutOfService: it was stopped. `mooring endpoints start {updating.name}` brings "
        "it back."
    )
    again = shared.server.command("endpoints", "stop", updating.name)
    assert again.returncode == 1
    assert "only one that is InService can be stopped" in again.stderr
    change = {"EndpointName": updating.name, "DesiredWeightsAndCapacities": [{"VariantName": "v", "DesiredWeight": 2}]}
    with pytest.raises(ClientError, match="start it with `mooring endpoints start"):
        shared.sagemaker.update_endpoint_weights_and_capacities(**change)
    switch(updating, "start")
    found = updating.settled()
    assert found["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert updating.models() == {updating.config("old")}
    refusal = shared.server.command("endpoints", "start", updating.name)
    assert "only one that is OutOfService can be started" in refusal.stderr
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def test_it_stays_stopped_over_a_restart_of_the_server(make_server: Callable[..., Server]) -> None:
    own = Deployment(make_server().start())
    updating = Updating(own, "off", 1)
    switch(updating, "stop")
    own.server.stop()
    own.server.start()
    again = Deployment.__new__(Deployment)
    again.server, again.sagemaker = own.server, own.server.client("sagemaker", retries=3)
    again.runtime = own.server.client("sagemaker-runtime")
    updating.deployment = again
    wait_until(lambda: "OutOfService" in refused(again, updating.name), what="the gateway to know")
    assert not running(own.server)
    switch(updating, "start")
    updating.settled()
    assert updating.models(2) == {updating.config("old")}


def test_a_stopped_endpoint_is_updated_into_service_or_deleted(shared: Deployment) -> None:
    updating = Updating(shared, f"{shared.prefix}-up")
    updating.prepare("new")
    switch(updating, "stop")
    updating.update("new", MODES["canary"])
    found = updating.settled()
    assert (found["EndpointConfigName"], updating.models()) == (updating.config("new"), {updating.config("new")})
    switch(updating, "stop")
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)
    wait_until(lambda: not _exists(shared, updating.name), what="it to be deleted")


def test_what_cannot_be_started_stays_stopped(shared: Deployment, tmp_path: Any) -> None:
    updating = Updating(shared, f"{shared.prefix}-stays", 1)
    flag = tmp_path / "broken"
    updating.prepare("frail", BREAKS.format(flag=str(flag)) + ECHO.format(name="frail"))
    updating.update("frail")
    updating.settled()
    switch(updating, "stop")
    flag.touch()
    switch(updating, "start")
    found = updating.settled(status="OutOfService")
    assert "did not pass the ping health check" in found["FailureReason"]
    flag.unlink()
    switch(updating, "start")
    assert "FailureReason" not in updating.settled()
    switch(updating, "stop")
    updating.update("old", MODES["linear"])
    assert "FailureReason" not in updating.settled()
    shared.sagemaker.delete_endpoint(EndpointName=updating.name)


def _exists(deployment: Deployment, name: str) -> bool:
    try:
        deployment.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError:
        return False
    return True
