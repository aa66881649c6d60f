"""What does nothing yet is named; what asks for nothing is not."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.errors import Refused
from mooring.hosting import effects
from mooring.hosting.config_rules import completed_config
from mooring.hosting.model_rules import completed_model
from mooring.wire.service_models import service_model


def config(**more: Any) -> dict[str, Any]:
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    variant |= more.pop("variant", {})
    return completed_config({"EndpointConfigName": "c", "ProductionVariants": [variant], **more})


def model(**more: Any) -> dict[str, Any]:
    container = {"Image": "i", "ModelDataUrl": "s3://b/k", "Environment": {"A": "1"}, **more.pop("container", {})}
    return completed_model({"ModelName": "m", "PrimaryContainer": container, **more})


def test_a_plain_endpoint_has_nothing_in_vain() -> None:
    request = {"EndpointName": "e", "EndpointConfigName": "c", "Tags": [{"Key": "a", "Value": "b"}]}
    assert effects.without_effect(request, config(), {"m": model()}) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"KmsKeyId": "alias/x"}, f"KmsKeyId: {effects.MEANWHILE['KmsKeyId']}"),
        (
            {"MetricsConfig": {"EnableEnhancedMetrics": True, "EnableDetailedObservability": True}},
            "MetricsConfig, EnableDetailedObservability: what containers tell on a /metrics of their own is not read",
        ),
        (
            {"ExplainerConfig": {"ClarifyExplainerConfig": {"ShapConfig": {"OfTomorrow": 1, "Seed": 2}}}},
            "ExplainerConfig, ClarifyExplainerConfig, ShapConfig, OfTomorrow",
        ),
        ({"ExplainerConfig": {"OtherExplainerConfig": {"A": 1}}}, "ExplainerConfig, OtherExplainerConfig"),
        ({"variant": {"VolumeSizeInGB": 5}}, 'variant "v", VolumeSizeInGB'),
        ({"variant": {"FieldOfTomorrow": {"A": 1}}}, 'variant "v", FieldOfTomorrow'),
    ],
)  # fmt: skip
def test_of_a_config(given: dict[str, Any], told: str) -> None:
    assert effects.idle_in_config(config(**given)) == [told]


@pytest.mark.parametrize(
    "given",
    [
        {"DataCaptureConfig": {"EnableCapture": True, "InitialSamplingPercentage": 1}},
        {"AsyncInferenceConfig": {"OutputConfig": {}}, "DataCaptureConfig": {"EnableCapture": True}},
        {"EnableNetworkIsolation": False},
        {"ExplainerConfig": {"ClarifyExplainerConfig": {"EnableExplanations": "a", "ShapConfig": {"UseLogit": True}}}},
        {"MetricsConfig": {"EnableEnhancedMetrics": True, "EnableDetailedObservability": False}},
        {"ShadowProductionVariants": []},
        {"variant": {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}, "VolumeSizeInGB": 5}},
        {"variant": {"EnableSSMAccess": False, "RoutingConfig": {"RoutingStrategy": "RANDOM"}}},
    ],
)
def test_what_asks_for_nothing_is_not_named(given: dict[str, Any]) -> None:
    assert effects.idle_in_config(config(**given)) == []


def test_every_member_of_an_explainer_that_botocore_knows_has_an_effect() -> None:
    def members(shape: Any) -> Any:
        below = getattr(shape, "members", None)
        return None if below is None else {name: members(each.shape) for name, each in below.items()}

    assert members(service_model("sagemaker").shapes.structure("ExplainerConfig")) == effects.OF_EXPLAINER


def test_of_models_and_of_the_request() -> None:
    models = {"m": model(VpcConfig={"Subnets": ["s"]}, container={"ImageConfig": {"RepositoryAccessMode": "Vpc"}})}
    found = effects.without_effect({"EndpointName": "e", "Newer": {"A": 1}}, config(), models)
    assert found == [
        "Newer",
        'model "m", VpcConfig: replicas share this machine\'s network',
        'model "m", ImageConfig',
    ]


def test_a_model_that_two_variants_share_is_named_once() -> None:
    twice = config()
    twice["ProductionVariants"].append({**twice["ProductionVariants"][0], "VariantName": "w"})
    assert len(effects.without_effect({}, twice, {"m": model(EnableNetworkIsolation=True)})) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"KmsKeyId": "k"},
        {"ProductionVariants": [{"CoreDumpConfig": {"KmsKeyId": "k"}}]},
        {"EnableNetworkIsolation": True},
    ],
)
def test_promises_that_are_not_kept_are_found_wherever_they_are(members: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"(KmsKeyId|EnableNetworkIsolation) has no effect .* 127\.0\.0\.1"):
        effects.refuse_unprotected(members)


def test_what_promises_nothing_passes() -> None:
    effects.refuse_unprotected({"EnableNetworkIsolation": False, "KmsKeyId": "", "Tags": [{"Key": "KmsKeyId"}]})
    effects.refuse_unprotected({"DataCaptureConfig": {"KmsKeyId": "k"}})
