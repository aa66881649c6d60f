"""MLflow: the directory that it writes, asked in the ways that its own scoring server takes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable

import pytest

from tests.acceptance.running import Deployment
from tests.models.deploying import FIRST_TIME_S, Endpoint, fail

pytestmark = [pytest.mark.clients, pytest.mark.timeout(FIRST_TIME_S)]

ROW = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture
def endpoint(served_by_page: Callable[[str], Endpoint]) -> Endpoint:
    return served_by_page("mlflow")


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": [ROW]},
        {"instances": [ROW]},
        {"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": [ROW]}},
        {"dataframe_records": [dict(zip("abcd", ROW, strict=True))]},
    ],
    ids=lambda document: next(iter(document)),
)
def test_each_of_its_documents(endpoint: Endpoint, document: dict[str, object]) -> None:
    assert json.loads(endpoint.ask(json.dumps(document), "application/json").body) == {"predictions": [0]}


def test_csv_has_a_header(endpoint: Endpoint) -> None:
    assert json.loads(endpoint.ask("a,b,c,d\n5.1,3.5,1.4,0.2\n", "text/csv").body) == {"predictions": [0]}


def test_a_bad_document_is_refused_in_its_words(endpoint: Endpoint) -> None:
    refused = endpoint.refusal("[[1, 2]]", "application/json")
    assert refused["OriginalStatusCode"] == 400
    assert "dataframe_split" in refused["OriginalMessage"]
    assert "Traceback" in endpoint.log()


def test_a_directory_that_lacks_its_model(models: Deployment, endpoint: Endpoint) -> None:
    container = models.sagemaker.describe_model(ModelName=endpoint.name)["PrimaryContainer"]
    bucket, _, key = container["ModelDataUrl"].removeprefix("s3://").partition("/")
    packed = models.s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = {member.name.removeprefix("./"): tar.extractfile(member) for member in tar.getmembers()}
        files = {name: file.read() for name, file in found.items() if file is not None}
    del files["MLmodel"]
    reason, log = fail(models, "flow-lacking", container["Image"], files)
    assert 'model failed: mlflow.exceptions.MlflowException: Could not find an "MLmodel" configuration file' in reason
    assert "Traceback" in log
