"""What an image's tag says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.engines.images import FRAMEWORKS, runtime_of
from mooring.engines.prebuilt import table
from mooring.engines.tags import NO_TAG, Tag, parse, release

EVERY = [
    (group, version, tag)
    for group in table()["images"]
    for version in group["versions"]
    for tag in version["tags"]
]  # fmt: skip
OURS = [each for each in EVERY if each[0]["framework"] in FRAMEWORKS and each[0]["repository"] != "xgboost"]


def test_every_tag_of_every_prebuilt_image_parses() -> None:
    for group, version, tag in EVERY:
        found = parse(group["repository"], tag)
        processors = version.get("processors", [])
        if "gpu" not in processors and "cpu" in processors:
            assert not found.gpu, tag
        if version["python"] not in (None, "2.7") and "py" in tag:
            assert found.python == version["python"], tag


def test_every_tag_of_a_framework_that_runs_here_names_its_versions() -> None:
    assert len(OURS) > 100
    for group, version, tag in OURS:
        found = parse(group["repository"], tag)
        named = found.transformers if group["framework"] == "huggingface" else found.version
        assert named is not None, tag
        assert release(named) == release(version["version"]), tag
        assert found.gpu == ("-gpu" in tag), tag


@pytest.mark.parametrize(
    ("repository", "tag", "said"),
    [
        ("sagemaker-scikit-learn", "1.2-1-cpu-py3", Tag("1.2", 1, None, "3.9")),
        ("sagemaker-scikit-learn", "1.0-1-arm64-cpu-py3", Tag("1.0", 1, None, "3.8")),
        ("sagemaker-scikit-learn", "1.4-2-py312-cpu-py3", Tag("1.4", 2, None, "3.12")),
        ("sagemaker-scikit-learn", "7.5-1-cpu-py3", Tag("7.5", 1)),
        ("sagemaker-xgboost", "1.7-1", Tag("1.7", 1, None, "3.9")),
        ("xgboost", "latest", Tag("0.72", 1)),
        ("pytorch-inference", "2.6", Tag("2.6", None, None, "3.12")),
        ("pytorch-inference", "2.6.0", Tag("2.6.0", None, None, "3.12")),
        ("pytorch-inference", "1.8-gpu-py3", Tag("1.8", None, None, "3.6", gpu=True)),
        ("pytorch-inference", "1.2.0-cpu-py2", Tag("1.2.0", None, None, "2.7")),
        (
            "pytorch-inference",
            "2.6.0-gpu-py312-cu124-ubuntu22.04-sagemaker",
            Tag("2.6.0", None, None, "3.12", gpu=True),
        ),
        (
            "huggingface-pytorch-inference",
            "1.13-transformers4.26-cpu-py39-ubuntu20.04",
            Tag("1.13", None, "4.26", "3.9"),
        ),
        ("mlflow-pyfunc", "2.9.2", Tag("2.9.2")),
        ("pytorch-inference", "latest", NO_TAG),
        ("pytorch-inference", "", NO_TAG),
        ("pytorch-inference", "2.6" * 100, NO_TAG),
    ],
)
def test_tags_as_people_write_them(repository: str, tag: str, said: Tag) -> None:
    assert parse(repository, tag) == said


@given(st.sampled_from(["sagemaker-scikit-learn", "pytorch-inference", "thing"]), st.text(max_size=200))
def test_no_text_is_too_odd(repository: str, tag: str) -> None:
    found = parse(repository, tag)
    assert all(part.isascii() for part in (found.version or "", found.python or "", found.transformers or ""))


def test_names_by_distribution() -> None:
    image = (
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312"
    )
    assert runtime_of(image, {}).names() == {"transformers": "4.51.3", "torch": "2.6.0"}
    assert runtime_of("x/sagemaker-xgboost:1.2-2", {}).names() == {"xgboost": "1.2"}
    assert runtime_of("x/sagemaker-xgboost:1.2-2", {}).container_version == "1.2-2"
    assert runtime_of("x/sagemaker-xgboost:latest", {}).names() == {}
    assert runtime_of("x/mlflow-pyfunc:2.9.2", {}).names() == {"mlflow": "2.9.2"}
