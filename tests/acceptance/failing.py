"""Deployments that are to fail: what each comes to, and that the next one works."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from mooring.cli.client import Client
from tests.acceptance.running import ECHO, Deployment, wait_until

PING_FAILURE = (
    "The primary container for production variant v did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)
DOING = """
import os, sys, time
def model_fn(model_dir):
    return os.getpid()
def transform_fn(model, body, content_type, accept):
    exec(body, globals())
    return '{"pid": %d}' % model, "application/json"
"""
"""A script that does in a call what the body says."""
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


def failed(deployment: Deployment, name: str, timeout: float = 20) -> str:
    """Deploy the model `name`, see it fail, delete it at once; returns the reason."""
    reason = reason_of(deployment, name, timeout)
    delete(deployment, name)
    return reason


def reason_of(deployment: Deployment, name: str, timeout: float = 20) -> str:
    """Deploy the model `name` and see it fail; returns the reason."""
    deployment.endpoint(name, deployment.variant(name, "v"))
    reason: str = deployment.wait(name, status="Failed", timeout=timeout)["FailureReason"]
    assert "ProductionVariants" not in deployment.sagemaker.describe_endpoint(EndpointName=name)
    wait_until(lambda: not replicas(deployment, name), what="its replicas to go")
    return reason


def delete(deployment: Deployment, name: str) -> None:
    deployment.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: gone(deployment, name), what=f"{name} to be deleted")


def gone(deployment: Deployment, name: str) -> bool:
    """Whether there is no such endpoint."""
    try:
        deployment.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        return "Could not find endpoint" in str(error)
    return False


def deploys(deployment: Deployment, name: str) -> None:
    """See the next deployment on the same server work, and end."""
    deployment.simple(name, ECHO.format(name=name))
    assert deployment.invoke(name)["model"] == name
    delete(deployment, name)


def replicas(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    """What the admin API says of an endpoint's replicas."""
    endpoint = next(each for each in Client(deployment.server.url).status()["endpoints"] if each["name"] == name)
    return [replica for variant in endpoint["variants"] for replica in variant["replicas"]]


def logged(deployment: Deployment, name: str) -> str:
    """What the admin API says that an endpoint's replicas wrote, as `mooring logs` asks it."""
    client, lines, after = Client(deployment.server.url), [], ""
    while (answer := client.logs(name, "us-east-1", after))["lines"]:
        lines += [line["text"] for line in answer["lines"]]
        after = answer["next"]
    return "\n".join(lines)


def answered(deployment: Deployment, name: str) -> dict[str, Any]:
    """The next answer, once the replica that failed has a successor."""
    answers: list[dict[str, Any]] = []

    def asked() -> bool:
        try:
            answers.append(deployment.invoke(name, b""))
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("ServiceUnavailable", "ModelError")
        return bool(answers)

    wait_until(asked, what=f"a successor of {name}")
    return answers[0]


def model_error(call: Any) -> dict[str, Any]:
    """The ModelError that a call ends in."""
    try:
        call()
    except ClientError as error:
        answer: dict[str, Any] = error.response
        assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("ModelError", 424)
        return answer
    raise AssertionError("the call was answered")
