"""Which images run here, and what a ContainerDefinition asks for."""

from __future__ import annotations

import pytest

from mooring.engines.containers import ObjectSource, container_of, object_source
from mooring.engines.images import runtime_of
from mooring.errors import StartFailure

SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


@pytest.mark.parametrize(
    ("image", "framework"),
    [
        (SKLEARN, "sklearn"),
        ("141502667606.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:0.23-1-cpu-py3", "sklearn"),
        ("246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-xgboost:1.7-1", "xgboost"),
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:latest", "xgboost"),
        (f"683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost@sha256:{'0' * 64}", "xgboost"),
    ],
)
def test_prebuilt_images_are_known_in_any_region(image: str, framework: str) -> None:
    assert runtime_of(image, {}).framework == framework


@pytest.mark.parametrize(
    "image",
    [
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.36.0-lmi27.0.0-cu130",
        "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1",
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-own:latest",
        "localhost:5000/thing",
        "nginx",
    ],
)
def test_an_image_that_cannot_run_is_refused_by_name(image: str) -> None:
    with pytest.raises(StartFailure, match="cannot run here") as refused:
        runtime_of(image, {})
    assert image in str(refused.value)


@pytest.mark.parametrize(
    ("url", "bucket", "key"),
    [
        ("s3://b/k/model.tar.gz", "b", "k/model.tar.gz"),
        ("s3://b/a%20b#c?d", "b", "a%20b#c?d"),
        ("https://b.s3.eu-west-1.amazonaws.com/k%20x", "b", "k x"),
        ("https://s3.us-east-1.amazonaws.com/b/k", "b", "k"),
        ("https://s3-us-west-2.amazonaws.com/b/k", "b", "k"),
        ("https://a.s3.b.s3.amazonaws.com/k", "a.s3.b", "k"),
        ("https://b.s3.cn-north-1.amazonaws.com.cn/k", "b", "k"),
    ],
)
def test_object_urls(url: str, bucket: str, key: str) -> None:
    assert object_source(url, archive=True) == ObjectSource(url, bucket, key, archive=True)


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key"])
def test_urls_of_nothing(url: str) -> None:
    with pytest.raises(StartFailure, match="names no object"):
        object_source(url, archive=True)


@pytest.mark.parametrize(
    "host", ["example.com", "s3.example.com", "b.s3.amazonaws.com.example.com", "xs3.amazonaws.com"]
)
def test_urls_that_are_not_s3s(host: str) -> None:
    with pytest.raises(StartFailure, match=f'^"https://{host}/k" is no address of S3: upload the data'):
        object_source(f"https://{host}/k", archive=True)


def test_model_data_source_of_a_prefix() -> None:
    source = {"S3Uri": "s3://b/models/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    definition = {"Image": SKLEARN, "ModelDataSource": {"S3DataSource": source}}
    container = container_of({"ModelName": "m", "PrimaryContainer": definition})
    assert container.model_data == ObjectSource("s3://b/models/", "b", "models/", archive=False, prefix=True)


def test_an_empty_program_is_an_absent_one() -> None:
    environment = {"SAGEMAKER_PROGRAM": "", "SAGEMAKER_SUBMIT_DIRECTORY": ""}
    container = container_of({"PrimaryContainer": {"Image": SKLEARN, "Environment": environment}})
    assert container.program is None
    assert container.submit_directory is None


def test_a_submit_directory_in_s3() -> None:
    environment = {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://b/x/sourcedir.tar.gz"}
    container = container_of({"PrimaryContainer": {"Image": SKLEARN, "Environment": environment}})
    assert container.submit_directory == ObjectSource(
        "s3://b/x/sourcedir.tar.gz", "b", "x/sourcedir.tar.gz", archive=True
    )


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"ModelName": "m", "Containers": [{"Image": SKLEARN}, {"Image": SKLEARN}]}, "2 containers"),
        ({"ModelName": "m"}, "0 containers"),
        ({"ModelName": "m", "PrimaryContainer": {"Image": SKLEARN, "Mode": "MultiModel"}}, "multi-model"),
        ({"ModelName": "m", "PrimaryContainer": {"ModelPackageName": "p"}}, "model packages"),
        (
            {"PrimaryContainer": {"Image": SKLEARN, "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": "file:///x"}}},
            "SAGEMAKER_SUBMIT_DIRECTORY",
        ),
    ],
)
def test_what_cannot_run_yet_says_so(model: dict[str, object], words: str) -> None:
    with pytest.raises(StartFailure, match=words):
        container_of(model)
