from __future__ import annotations

from typing import Any

import pytest

from mooring.errors import Refused
from mooring.hosting.model_rules import check_model, completed_model

IMAGE = {"Image": "i"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            {"Containers": [{**IMAGE, "ContainerHostname": "a"}, IMAGE]},
            "ContainerHostname must be specified for all containers or for none of them.",
        ),
        (
            {"Containers": [IMAGE, IMAGE], "InferenceExecutionConfig": {"Mode": "Direct"}},
            (
                "ContainerHostname must be specified for every container when the Mode of InferenceExecutionConfig "
                "is Direct."
            ),
        ),
        (
            {
                "PrimaryContainer": {
                    **IMAGE,
                    "ModelDataUrl": "s3://b/one",
                    "ModelDataSource": {"S3DataSource": {"S3Uri": "s3://b/other"}},
                }
            },
            "Only one of ModelDataUrl and ModelDataSource can be specified for a container.",
        ),
        (
            {"Containers": [{**IMAGE, "Environment": {f"V{n}": "x" * 1020 for n in range(17)}}] * 2},
            "The total size of all environment variables must not exceed 32 KB.",
        ),
    ],
)
def test_what_a_model_cannot_be(model: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        check_model(model)
    assert str(caught.value) == message


def test_what_describe_gives_can_be_given_back() -> None:
    once = completed_model({"ModelName": "m", "PrimaryContainer": {**IMAGE, "ModelDataUrl": "s3://b/k"}, "Tags": []})
    check_model(once)
    assert completed_model(once) == once


def test_what_was_given_is_not_changed() -> None:
    container = dict(IMAGE)
    model = {"ModelName": "m", "Containers": [container]}
    completed_model(model)
    assert (container, model) == (IMAGE, {"ModelName": "m", "Containers": [container]})


def test_a_pipeline_of_one_stays_a_pipeline() -> None:
    completed = completed_model({"ModelName": "m", "Containers": [IMAGE]})
    assert completed["Containers"][0]["Mode"] == "SingleModel"
    assert "PrimaryContainer" not in completed
