"""`mlflow deployments -t sagemaker`, with a scikit-learn model that MLflow saved."""

from __future__ import annotations

import pytest

from tests.acceptance.running import Server
from tests.clients.running import SCRIPTS, Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(600)]


def test_a_deployment_from_its_creation_to_its_deletion(mlflow: Runner, models_server: Server) -> None:
    """`mlflow deployments` create, list, get, predict, delete, with the bucket and the role that it finds by itself."""
    mlflow.run(SCRIPTS / "mlflow_models.py", models_server.data)
    mlflow.run_command(models_server.data, "sh", "-ex", SCRIPTS / "mlflow_deployments.sh")
