"""The SageMaker Python SDK v2, unpatched, in an environment of its own: scripts as people have them run unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.running import Server
from tests.clients.running import SCRIPTS, Runner

pytestmark = [pytest.mark.clients, pytest.mark.timeout(300)]  # the first test of all makes the environment


def test_session_role_and_bucket_with_a_server_for_it(sdk_v2: Runner, tmp_path: Path) -> None:
    """`Session`, `get_execution_role`, `default_bucket`, transfers, with a server that `mooring run` starts."""
    sdk_v2.run(SCRIPTS / "session.py", tmp_path / "data")
    assert not (tmp_path / "data" / "run" / "server.json").exists()


def test_scikit_learn_model(sdk_v2: Runner, shared_server: Server) -> None:
    """`SKLearnModel` with a source directory: deploy, `wait_for_endpoint`, predictors of three kinds, delete."""
    sdk_v2.run_in_shell(SCRIPTS / "sklearn_model.py", shared_server.data)


def test_xgboost_models(sdk_v2: Runner, shared_server: Server) -> None:
    """`XGBoostModel` with a script, and `Model` in algorithm mode: deploy, predict, delete."""
    sdk_v2.run(SCRIPTS / "xgboost_models.py", shared_server.data)


def test_variants_and_failures(sdk_v2: Runner, shared_server: Server) -> None:
    """`endpoint_from_production_variants` with two variants, weights, `UnexpectedStatusException`."""
    sdk_v2.run(SCRIPTS / "variants.py", shared_server.data)


def test_a_serverless_model(sdk_v2: Runner, shared_server: Server) -> None:
    """`Model.deploy` with a `ServerlessInferenceConfig` and `Predictor`."""
    sdk_v2.run(SCRIPTS / "serverless.py", shared_server.data)


def test_a_response_stream(sdk_v2: Runner, shared_server: Server) -> None:
    """`Predictor.predict_stream` with `ByteIterator` and `LineIterator`, from a script that yields."""
    sdk_v2.run(SCRIPTS / "streams.py", shared_server.data)


def test_an_asynchronous_model(sdk_v2: Runner, shared_server: Server) -> None:
    """`deploy` with an `AsyncInferenceConfig`, `AsyncPredictor` in both ways, a failure, and scaling from zero."""
    sdk_v2.run(SCRIPTS / "async_model.py", shared_server.data)


def test_an_explained_model(sdk_v2: Runner, shared_server: Server) -> None:
    """`deploy` with an `ExplainerConfig`, a baseline in S3, `predict` with `EnableExplanations`: the attributions of a
    linear model."""
    sdk_v2.run(SCRIPTS / "explained_model.py", shared_server.data)
