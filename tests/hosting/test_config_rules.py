"""Each cross-field rule of CreateEndpointConfig: what it refuses, in which words, and what it lets pass."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.errors import Refused
from mooring.hosting.config_rules import RULES, check_config, check_models, completed_config
from mooring.hosting.instance_types import has_local_storage, resources_of
from mooring.wire.service_models import service_model

PLAIN = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
SERVERLESS = {"VariantName": "v", "ModelName": "m", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 5}}
COMPONENTS = {"VariantName": "v", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
ASYNC = {"AsyncInferenceConfig": {"OutputConfig": {}}}
CAPTURE = {"DataCaptureConfig": {"InitialSamplingPercentage": 1, "DestinationS3Uri": "s3://b", "CaptureOptions": []}}
POOLS = [{"InstanceType": "ml.m5.large", "Priority": 1}, {"InstanceType": "ml.g5.xlarge", "Priority": 2}]
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def config(*variants: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"EndpointConfigName": "c", "ProductionVariants": list(variants) or [PLAIN], **members}


def clarify(
    inference: dict[str, Any] | None = None, baseline: dict[str, Any] | None = None, **shap: Any
) -> dict[str, Any]:
    shap_config = {"ShapBaselineConfig": {"ShapBaseline": "1,2"} if baseline is None else baseline, **shap}
    return {
        "ExplainerConfig": {"ClarifyExplainerConfig": {"InferenceConfig": inference or {}, "ShapConfig": shap_config}}
    }


REFUSED = {
    "variant_names_are_unique": (
        config(PLAIN, {**PLAIN, "VariantName": "V"}),
        'must be unique within an endpoint configuration: "V".',
    ),
    "all_variants_name_a_model_or_none_does": (
        config(PLAIN, {**COMPONENTS, "VariantName": "w"}),
        "must either specify a model or none",
    ),
    "every_variant_has_capacity": (
        config({"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}),
        "Either ServerlessConfig or both",
    ),
    "a_variant_names_its_instances_once": (
        config({**PLAIN, "InstancePools": POOLS}),
        "Only one of InstanceType and InstancePools",
    ),
    "a_serverless_variant_has_no_instances": (
        config({**SERVERLESS, "VolumeSizeInGB": 1}),
        "VolumeSizeInGB cannot be specified with ServerlessConfig",
    ),
    "serverless_memory_is_a_step": (
        config({**SERVERLESS, "ServerlessConfig": {"MemorySizeInMB": 1025, "MaxConcurrency": 1}}),
        "[1024, 2048, 3072, 4096, 5120, 6144]",
    ),
    "provisioned_concurrency_is_within_the_most": (
        config(
            {
                **SERVERLESS,
                "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1, "ProvisionedConcurrency": 2},
            }
        ),
        "ProvisionedConcurrency must be less than or equal to MaxConcurrency.",
    ),
    "a_serverless_variant_is_alone": (
        config(SERVERLESS, {**PLAIN, "VariantName": "w"}),
        "exactly one production variant.",
    ),
    "a_shadow_has_one_production_variant": (
        config(PLAIN, {**PLAIN, "VariantName": "w"}, ShadowProductionVariants=[{**PLAIN, "VariantName": "s"}]),
        "require exactly one production variant and one shadow",
    ),
    "some_variant_has_weight": (config({**PLAIN, "InitialVariantWeight": 0.0}), "must be greater than 0."),
    "local_storage_has_no_volume": (
        config({**PLAIN, "InstanceType": "ml.g5.xlarge", "VolumeSizeInGB": 5}),
        "VolumeSize parameter is not allowed for the selected Instance type ml.g5.xlarge.",
    ),
    "prefix_routing_is_configured": (
        config({**PLAIN, "RoutingConfig": {"RoutingStrategy": "PREFIX_AWARE"}}),
        "exactly when RoutingStrategy is PREFIX_AWARE",
    ),
    "a_serverless_endpoint_has_no_instance_features": (
        config(SERVERLESS, **CAPTURE),
        "DataCaptureConfig is not supported for serverless endpoints.",
    ),
    "async_inference_stands_alone": (
        config(**ASYNC, **clarify()),
        "ExplainerConfig is not supported with AsyncInferenceConfig.",
    ),
    "a_shadow_runs_on_plain_instances": (
        config(ShadowProductionVariants=[{**PLAIN, "VariantName": "s", "AcceleratorType": "ml.eia1.large"}]),
        "ShadowProductionVariants is not supported with Elastic Inference.",
    ),
    "managed_scaling_is_for_inference_components": (
        config({**PLAIN, "ManagedInstanceScaling": {}}),
        "ManagedInstanceScaling is only supported for inference component endpoints.",
    ),
    "isolation_is_for_inference_components": (
        config(EnableNetworkIsolation=True),
        "EnableNetworkIsolation is only supported for inference component endpoints.",
    ),
    "inference_components_have_a_role": (
        config(COMPONENTS),
        "ExecutionRoleArn is required when a production variant does not specify a model.",
    ),
    "metrics_are_published_at_a_known_pace": (
        config(MetricsConfig={"MetricPublishFrequencyInSeconds": 15}),
        "Value '15' at 'metricsConfig.metricPublishFrequencyInSeconds'",
    ),
    "captured_types_are_of_one_kind": (
        config(
            DataCaptureConfig={
                "DestinationS3Uri": "s3://b",
                "CaptureContentTypeHeader": {"CsvContentTypes": ["a/b"], "JsonContentTypes": ["A/b"]},
            }
        ),
        'The content type "A/b" cannot be in both',
    ),
    "captured_data_goes_to_s3": (
        config(DataCaptureConfig={"DestinationS3Uri": "https://b/c"}),
        'DestinationS3Uri "https://b/c" is no address of S3',
    ),
    "a_baseline_is_given_once": (
        config(**clarify(baseline={"ShapBaseline": "1", "ShapBaselineUri": "s3://b/k"})),
        "Only one of ShapBaseline and ShapBaselineUri",
    ),
    "a_baseline_is_of_a_known_type": (
        config(**clarify(baseline={"ShapBaseline": "1", "MimeType": "text/plain"})),
        "enum value set: [text/csv, application/jsonlines]",
    ),
    "a_baseline_is_in_s3": (
        config(**clarify(baseline={"ShapBaselineUri": "https://example.com/b/k"})),
        'ShapBaselineUri "https://example.com/b/k" is no address of an object in S3',
    ),
    "a_template_has_a_place_for_the_features": (
        config(**clarify({"ContentTemplate": '{"data":1}'})),
        "must contain the placeholder $features exactly once, and no other.",
    ),
    "inference_components_are_not_explained": (
        config(COMPONENTS, ExecutionRoleArn="r", **clarify()),
        "ExplainerConfig is not supported for inference component endpoints.",
    ),
    "feature_types_are_for_text": (
        config(**clarify({"FeatureTypes": ["numerical"]})),
        "FeatureTypes must include at least one 'text' feature.",
    ),
    "a_model_output_is_read_in_one_way": (
        config(**clarify({"ProbabilityIndex": 0, "LabelAttribute": "l"})),
        "ProbabilityIndex and LabelAttribute cannot both be specified.",
    ),
    "a_key_is_named_in_one_of_four_forms": (config(KmsKeyId="mine"), 'Invalid KmsKeyId "mine"'),
    "a_key_is_not_for_local_storage": (
        config({**PLAIN, "InstanceType": "ml.g4dn.xlarge"}, KmsKeyId=KEY),
        "KmsKeyId is not supported for instance type ml.g4dn.xlarge because it uses local instance storage.",
    ),
}

MORE_REFUSED = [
    (
        config({k: v for k, v in PLAIN.items() if k != "InstanceType"} | {"InstancePools": [POOLS[0], POOLS[0]]}),
        "priorities of InstancePools must be unique",
    ),
    (config({**PLAIN, "RoutingConfig": {"RoutingStrategy": "RANDOM", "PrefixAwareRoutingConfig": {}}}), "exactly when"),
    (
        config(
            {
                **PLAIN,
                "RoutingConfig": {
                    "RoutingStrategy": "PREFIX_AWARE",
                    "PrefixAwareRoutingConfig": {"PrefixLength": 2048},
                },
            }
        ),
        "must both be specified",
    ),
    (
        config({**PLAIN, "InstanceType": "ml.inf1.xlarge"}, **ASYNC),
        "AsyncInferenceConfig is not supported with Inf1 instances.",
    ),
    (
        config(
            {**COMPONENTS, "ManagedInstanceScaling": {"MinInstanceCount": 2, "MaxInstanceCount": 4}},
            ExecutionRoleArn="r",
        ),
        "must lie between MinInstanceCount and MaxInstanceCount",
    ),
    (config(**clarify(baseline={})), "One of ShapBaseline and ShapBaselineUri must be specified."),
    (config(**clarify(baseline={"MimeType": "text/csv"})), "One of ShapBaseline and ShapBaselineUri must be"),
    (config(ExplainerConfig={"ClarifyExplainerConfig": {"EnableExplanations": "a"}}), "One of ShapBaseline and"),
    (config(**clarify(baseline={"ShapBaselineUri": "s3://bucket"})), '"s3://bucket" is no address of an object'),
    (config(**clarify(baseline={"ShapBaselineUri": "s3://bucket/folder/"})), "is no address of an object in S3"),
    (config(**clarify({"ContentTemplate": "[$features,$features]"})), "exactly once"),
    (config(**clarify({"ContentTemplate": "$features_kvp"})), "exactly once"),
    (config(**clarify({"ContentTemplate": '{"a":$features'})), "must be JSON where $features is a list."),
    (config(**clarify({"ContentTemplate": '{"a":"$features"}'})), "must be JSON where $features is a list."),
    (config(**clarify({"ContentTemplate": "[$features_kvp,$features]"})), "exactly once"),
    (config(SERVERLESS, **clarify()), "ExplainerConfig is not supported for serverless endpoints."),
    (config(**clarify({"LabelIndex": 1, "ProbabilityAttribute": "p"})), "LabelIndex and ProbabilityAttribute"),
    (config(**clarify({"FeatureTypes": ["text"]})), "TextConfig must be specified"),
    (
        config(**clarify({"FeatureTypes": ["text"], "FeatureHeaders": ["a", "b"]}, TextConfig={})),
        "FeatureTypes has 1 entries and FeatureHeaders 2",
    ),
    (
        config({k: v for k, v in PLAIN.items() if k != "InstanceType"} | {"InstancePools": POOLS}, KmsKeyId=KEY),
        "instance type ml.g5.xlarge",
    ),
    (
        config(
            ShadowProductionVariants=[{**PLAIN, "VariantName": "s", "InstanceType": "ml.p5.48xlarge"}], KmsKeyId=KEY
        ),
        "instance type ml.p5.48xlarge",
    ),
    (
        config(DataCaptureConfig={"DestinationS3Uri": "s3://b", "KmsKeyId": "arn:aws:kms:us-east-1:1:key/x"}),
        "Invalid KmsKeyId",
    ),
]

TAKEN = [
    config(),
    config(SERVERLESS, KmsKeyId=f"arn:aws:kms:us-west-2:111122223333:key/{KEY}"),
    config(
        KmsKeyId="alias/ExampleAlias",
        DataCaptureConfig={
            "DestinationS3Uri": "s3://b",
            "KmsKeyId": "arn:aws:kms:us-west-2:111122223333:alias/Example/A",
        },
    ),
    config(KmsKeyId=KEY.upper()),
    config(
        {**COMPONENTS, "ManagedInstanceScaling": {"MinInstanceCount": 1, "MaxInstanceCount": 2}},
        ExecutionRoleArn="r",
        EnableNetworkIsolation=True,
    ),
    config({k: v for k, v in PLAIN.items() if k != "InstanceType"} | {"InstancePools": POOLS}),
    config(
        {
            **PLAIN,
            "RoutingConfig": {
                "RoutingStrategy": "PREFIX_AWARE",
                "PrefixAwareRoutingConfig": {"PrefixLength": 2048, "ConcurrencyThreshold": 8},
            },
        }
    ),
    config(**ASYNC, **CAPTURE),
    config(
        ShadowProductionVariants=[{**PLAIN, "VariantName": "s"}],
        **CAPTURE,
        **clarify(baseline={"ShapBaselineUri": "s3://b/k", "MimeType": "application/jsonlines"}),
    ),
    config(
        **clarify(
            {
                "FeatureTypes": ["text", "numerical"],
                "FeatureHeaders": ["a", "b"],
                "ProbabilityIndex": 1,
                "LabelIndex": 0,
            },
            TextConfig={},
        )
    ),
    config(ExplainerConfig={}),
    config(**clarify(baseline={"ShapBaselineUri": "https://b.s3.eu-west-1.amazonaws.com/some/k.csv"})),
    config(**clarify(baseline={"ShapBaselineUri": "https://s3.amazonaws.com/b/k.csv"})),
    config(
        **clarify(
            {"ContentTemplate": '{"myfeatures":$features}', "FeaturesAttribute": "f", "ProbabilityAttribute": "p"}
        )
    ),
    config(MetricsConfig={"MetricPublishFrequencyInSeconds": 300}),
    config({**PLAIN, "VolumeSizeInGB": 5}),
]


@pytest.mark.parametrize("rule", [rule.__name__ for rule in RULES])
def test_every_rule_refuses_in_its_words(rule: str) -> None:
    given, words = REFUSED[rule]
    message = next(each for each in RULES if each.__name__ == rule)(given)
    assert message is not None
    assert words in message
    with pytest.raises(Refused):
        check_config(given)


@pytest.mark.parametrize(("given", "words"), MORE_REFUSED)
def test_what_else_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as caught:
        check_config(given)
    assert words in str(caught.value)


@pytest.mark.parametrize("given", TAKEN)
def test_what_is_taken(given: dict[str, Any]) -> None:
    check_config(given)
    check_config(completed_config(given) if "ServerlessConfig" not in given["ProductionVariants"][0] else given)


@pytest.mark.parametrize(
    "accelerator",
    service_model("sagemaker").shapes.structure("ProductionVariant").members["AcceleratorType"].shape.enum,
)
def test_every_accelerator_is_taken(accelerator: str) -> None:
    check_config(config({**PLAIN, "AcceleratorType": accelerator}))


@pytest.mark.parametrize(
    ("given", "container", "model", "words"),
    [
        (
            config(SERVERLESS),
            {"Mode": "MultiModel"},
            {},
            "A multi-model container is not supported for serverless endpoints.",
        ),
        (config(SERVERLESS), {}, {"VpcConfig": {}}, "VpcConfig is not supported for serverless endpoints."),
        (
            config(SERVERLESS),
            {},
            {"EnableNetworkIsolation": True},
            "EnableNetworkIsolation is not supported for serverless endpoints.",
        ),
        (config(SERVERLESS), {"ModelDataSource": {}}, {}, "ModelDataSource is not supported for serverless endpoints."),
        (
            config(SERVERLESS),
            {"ImageConfig": {"RepositoryAccessMode": "Vpc"}},
            {},
            "A private registry is not supported for serverless endpoints.",
        ),
        (
            config(ShadowProductionVariants=[{**PLAIN, "VariantName": "s"}]),
            {"Mode": "MultiModel"},
            {},
            "single container with a single model only.",
        ),
    ],
)
def test_models_that_an_endpoint_of_the_config_cannot_run(
    given: dict[str, Any], container: dict[str, Any], model: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused) as caught:
        check_models(given, {"m": {"PrimaryContainer": container, **model}})
    assert words in str(caught.value)


def test_pipelines_behind_features() -> None:
    pipeline = {"m": {"Containers": [{"Image": "a"}, {"Image": "b"}]}}
    for given in (
        config(SERVERLESS),
        config(**clarify()),
        config(ShadowProductionVariants=[{**PLAIN, "VariantName": "s"}]),
    ):
        with pytest.raises(Refused):
            check_models(given, pipeline)
    check_models(config(), pipeline)
    check_models(config(**clarify()), {"m": {"PrimaryContainer": {"Mode": "MultiModel"}}})
    described = {"ModelDataUrl": "s3://b/k", "ModelDataSource": {}}  # as a model is kept
    check_models(config(SERVERLESS), {"m": {"PrimaryContainer": described}})


def test_instance_types_are_those_of_the_api() -> None:
    every = service_model("sagemaker").shapes.structure("ProductionVariant").members["InstanceType"].shape.enum
    families = {each.split(".")[1] for each in every if has_local_storage(each)}
    assert {"c5d", "g4dn", "g5", "g6", "m5d", "p4d", "p5", "r5d", "trn1"} <= families
    assert not families & {"m5", "c5", "g4", "p3", "t2"}
    assert resources_of("ml.p4d.24xlarge").accelerators == 8
    assert resources_of("ml.m5.large").accelerators == resources_of("ml.of.tomorrow").vcpus == 0
