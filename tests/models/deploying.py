"""A model of a test's own behind an endpoint, asked with the content types that its users send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, archive

FIRST_TIME_S = 300
"""The timeout of tests that may have to download packages: for what makes the model, and for what serves it."""
DEPLOYED_WITHIN_S = FIRST_TIME_S - 20


@dataclass(frozen=True)
class Reply:
    """What an invocation brought."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Endpoint:
    """An endpoint in service."""

    deployment: Deployment
    name: str

    def ask(self, body: str | bytes, content_type: str, accept: str | None = None) -> Reply:
        """Invoke, with AWS's default when no Accept is given."""
        wanted = {} if accept is None else {"Accept": accept}
        answer = self.deployment.runtime.invoke_endpoint(
            EndpointName=self.name, ContentType=content_type, Body=body, **wanted
        )
        return Reply(answer["Body"].read(), answer["ContentType"])

    def refusal(self, body: str | bytes, content_type: str, accept: str | None = None) -> dict[str, Any]:
        """Invoke, and the ModelError that must come of it."""
        with pytest.raises(ClientError) as error:
            self.ask(body, content_type, accept)
        answer: dict[str, Any] = error.value.response
        assert answer["Error"]["Code"] == "ModelError", answer
        return answer

    def log(self) -> str:
        """What the replicas printed."""
        return self.deployment.server.command("logs", self.name).stdout


def deploy(
    deployment: Deployment, name: str, image: str, files: dict[str, str | bytes], **environment: str
) -> Endpoint:
    """A model.tar.gz of these files, behind an endpoint in service."""
    _create(deployment, name, image, files, environment)
    deployment.wait(name, timeout=DEPLOYED_WITHIN_S)
    return Endpoint(deployment, name)


def fail(
    deployment: Deployment, name: str, image: str, files: dict[str, str | bytes], **environment: str
) -> tuple[str, str]:
    """Deploy what cannot be served: the FailureReason and the log."""
    _create(deployment, name, image, files, environment)
    found = deployment.wait(name, status="Failed", timeout=DEPLOYED_WITHIN_S)
    return found["FailureReason"], Endpoint(deployment, name).log()


def _create(
    deployment: Deployment, name: str, image: str, files: dict[str, str | bytes], environment: dict[str, str]
) -> None:
    deployment.model(name, data=archive(files), Image=image, Environment=environment)
    deployment.endpoint(name, deployment.variant(name, "all"))
