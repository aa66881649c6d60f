"""The SageMaker Python SDK v3, unpatched, in an environment of its own."""

from __future__ import annotations

import pytest

from tests.acceptance.running import Server
from tests.clients.running import SCRIPTS, Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]

NO_NOTES = """
SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""
"""ModelBuilder would tell AWS of its use."""


def test_resources(sdk_v3: Runner, shared_server: Server) -> None:
    """`Model`, `EndpointConfig`, `Endpoint` of sagemaker.core: create, get, get_all, wait, invoke, weights, delete."""
    sdk_v3.run(SCRIPTS / "v3_resources.py", shared_server.data)


def test_model_builder(sdk_v3: Runner, shared_server: Server) -> None:
    """`ModelBuilder` with a script and model data: build, deploy, invoke."""
    configuration = sdk_v3.directory / ".config" / "sagemaker" / "config.yaml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(NO_NOTES)
    sdk_v3.run(SCRIPTS / "v3_model_builder.py", shared_server.data)


def test_an_explained_endpoint(sdk_v3: Runner, shared_server: Server) -> None:
    """`EndpointConfig` with an `ExplainerConfig`, `Endpoint.invoke` with `enable_explanations`."""
    sdk_v3.run(SCRIPTS / "v3_explained.py", shared_server.data)
