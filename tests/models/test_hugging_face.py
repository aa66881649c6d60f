"""Hugging Face: a pipeline from the files in the archive, without a script and without the hub."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.acceptance.running import Deployment
from tests.models.deploying import FIRST_TIME_S, Endpoint, fail

pytestmark = [pytest.mark.clients, pytest.mark.timeout(FIRST_TIME_S)]


@pytest.fixture
def endpoint(served_by_page: Callable[[str], Endpoint]) -> Endpoint:
    return served_by_page("hugging-face")


def test_text_alone_in_a_list_and_with_parameters(endpoint: Endpoint) -> None:
    (alone,) = json.loads(endpoint.ask('{"inputs": "a good film"}', "application/json").body)
    assert alone["label"] in ("LABEL_0", "LABEL_1")
    both = json.loads(endpoint.ask('{"inputs": "a film", "parameters": {"top_k": 2}}', "application/json").body)
    assert {each["label"] for each in both} == {"LABEL_0", "LABEL_1"}


def test_a_table_in_and_out(endpoint: Endpoint) -> None:
    answer = endpoint.ask("inputs\na good film\nthe film was bad\n", "text/csv", "text/csv")
    header, *rows = answer.body.decode().splitlines()
    assert header == "label,score"
    assert len(rows) == 2


def test_every_error_is_a_400_that_says_what_it_was(endpoint: Endpoint) -> None:
    refused = endpoint.refusal('{"inputs": 5}', "application/json")
    assert refused["OriginalStatusCode"] == 400
    said = json.loads(refused["OriginalMessage"])
    assert "text input must be of type `str`" in said["message"]
    assert "Traceback" in endpoint.log()


def test_files_in_a_directory_of_the_archive(models: Deployment, endpoint: Endpoint) -> None:
    image = models.sagemaker.describe_model(ModelName=endpoint.name)["PrimaryContainer"]["Image"]
    config = json.dumps({"architectures": ["BertForSequenceClassification"], "model_type": "bert"})
    reason, log = fail(models, "bert-below", image, {"model/config.json": config})
    assert "There is no config.json at the top of the model data, only model/config.json" in reason
    assert "Traceback" in log
