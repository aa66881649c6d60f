"""The image that stands for a framework: one of AWS's own, in the version that is installed here where there is one."""

from __future__ import annotations

import importlib.metadata

import pytest

from mooring.engines import framework_images
from mooring.errors import NotFound


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)


@pytest.mark.parametrize(
    ("framework", "versions", "tag"),
    [
        ("sklearn", {"scikit-learn": "1.2.2"}, "sagemaker-scikit-learn:1.2-1-cpu-py3"),
        ("sklearn", {"scikit-learn": "1.20.0"}, "sagemaker-scikit-learn:1.9-0-cpu-py3"),
        ("sklearn", {}, "sagemaker-scikit-learn:1.9-0-cpu-py3"),
        ("xgboost", {"xgboost-cpu": "1.7.6"}, "sagemaker-xgboost:1.7-1"),
        ("xgboost", {"xgboost": "3.0.5"}, "sagemaker-xgboost:3.0-5"),
        ("xgboost", {}, "sagemaker-xgboost:3.2-0"),
        ("pytorch", {"torch": "2.3.1"}, "pytorch-inference:2.3.0-cpu-py311"),
        ("pytorch", {}, "pytorch-inference:2.6.0-cpu-py312"),
        ("huggingface", {}, "huggingface-pytorch-inference:2.6.0-transformers5.5.3-cpu-py312-ubuntu22.04"),
    ],
)
def test_the_installed_version_is_taken_else_the_newest(monkeypatch, framework, versions, tag) -> None:
    installed(monkeypatch, versions)
    found = framework_images.image_of(framework, "us-east-1", "cpu")
    assert found.image.rpartition("/")[2] == tag
    assert found.installed == next(iter(versions.values()), None)


def test_a_gpu_gets_its_own_image_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {})
    assert framework_images.image_of("pytorch", "us-east-1", "gpu").image.endswith(":2.6.0-gpu-py312")
    assert framework_images.image_of("sklearn", "us-east-1", "gpu").image.endswith(":1.9-0-cpu-py3")


@pytest.mark.parametrize(
    ("region", "registry"),
    [
        ("us-east-1", "683313688378.dkr.ecr.us-east-1.amazonaws.com/"),
        ("eu-central-1", "492215442770.dkr.ecr.eu-central-1.amazonaws.com/"),
        ("cn-north-1", "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/"),
        ("our-cellar-1", "683313688378.dkr.ecr.us-east-1.amazonaws.com/"),
    ],
)
def test_the_image_is_in_the_region(region: str, registry: str) -> None:
    assert framework_images.image_of("sklearn", region, "cpu").image.startswith(registry)


def test_other_frameworks_have_none() -> None:
    with pytest.raises(NotFound, match='no prebuilt image for "tensorflow", only for sklearn, xgboost, pytorch'):
        framework_images.image_of("tensorflow", "us-east-1", "cpu")
