from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Account

INSTANCE = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
SERVERLESS = {
    "VariantName": "v",
    "ModelName": "m",
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5},
}


CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://b/capture",
    "KmsKeyId": "alias/capture",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}
ASYNC = {
    "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4},
    "OutputConfig": {
        "S3OutputPath": "s3://b/out",
        "S3FailurePath": "s3://b/failed",
        "NotificationConfig": {"SuccessTopic": "arn:aws:sns:us-east-1:000000000000:t"},
    },
}
EXPLAINER = {
    "ClarifyExplainerConfig": {
        "EnableExplanations": "`true`",
        "ShapConfig": {"ShapBaselineConfig": {"MimeType": "text/csv", "ShapBaseline": "1,2"}, "Seed": 3},
    }
}
VARIANT = {
    **INSTANCE,
    "InitialVariantWeight": 0.5,
    "CoreDumpConfig": {"DestinationS3Uri": "s3://b/core", "KmsKeyId": "alias/core"},
    "VolumeSizeInGB": 10,
    "ModelDataDownloadTimeoutInSeconds": 60,
    "ContainerStartupHealthCheckTimeoutInSeconds": 3600,
    "EnableSSMAccess": True,
    "InferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-2",
    "RoutingConfig": {"RoutingStrategy": "RANDOM"},
}
POOLED = {
    "VariantName": "v",
    "ModelName": "m",
    "InitialInstanceCount": 1,
    "InitialVariantWeight": 1.0,
    "InstancePools": [{"InstanceType": "ml.m5.large", "Priority": 1}],
    "VariantInstanceProvisionTimeoutInSeconds": 300,
}


@pytest.mark.parametrize(
    "given",
    [
        {
            "ProductionVariants": [VARIANT],
            "ShadowProductionVariants": [{**VARIANT, "VariantName": "shadow"}],
            "DataCaptureConfig": CAPTURE,
            "ExplainerConfig": EXPLAINER,
        },
        {"ProductionVariants": [VARIANT], "AsyncInferenceConfig": ASYNC, "KmsKeyId": "alias/key"},
        {"ProductionVariants": [{**VARIANT, "AcceleratorType": "ml.eia2.medium"}]},
        {
            "ProductionVariants": [POOLED],
            "ExecutionRoleArn": "arn:aws:iam::000000000000:role/r",
            "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
            "MetricsConfig": {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 60},
        },
    ],
)
def test_every_member_is_echoed(account: Account, given: dict[str, Any]) -> None:
    account.model()
    made = account.client.create_endpoint_config(EndpointConfigName="c", Tags=[{"Key": "k", "Value": "v"}], **given)
    assert made["EndpointConfigArn"] == account.arn("endpoint-config/c")
    found = account.client.describe_endpoint_config(EndpointConfigName="c")
    assert {name: found[name] for name in given} == given
    assert found["EnableNetworkIsolation"] is False
    assert "Tags" not in found


def test_weights_and_a_serverless_volume_are_filled_in(account: Account) -> None:
    account.model()
    account.client.create_endpoint_config(EndpointConfigName="i", ProductionVariants=[INSTANCE])
    account.client.create_endpoint_config(EndpointConfigName="s", ProductionVariants=[SERVERLESS])
    described = account.client.describe_endpoint_config
    assert described(EndpointConfigName="i")["ProductionVariants"] == [{**INSTANCE, "InitialVariantWeight": 1.0}]
    assert described(EndpointConfigName="s")["ProductionVariants"] == [
        {**SERVERLESS, "InitialVariantWeight": 1.0, "VolumeSizeInGB": 5}
    ]


def test_a_config_that_is_not_there(account: Account) -> None:
    text = f'Could not find endpoint configuration "{account.arn("endpoint-config/none")}".'
    assert account.refused("describe_endpoint_config", EndpointConfigName="none") == text
    assert account.refused("delete_endpoint_config", EndpointConfigName="none") == text


def test_a_name_is_taken_once(account: Account) -> None:
    account.model()
    account.config("c")
    assert (
        account.refused("create_endpoint_config", EndpointConfigName="C", ProductionVariants=[INSTANCE])
        == f'Cannot create already existing endpoint configuration "{account.arn("endpoint-config/C")}".'
    )


def test_its_models_must_exist(account: Account) -> None:
    assert (
        account.refused("create_endpoint_config", EndpointConfigName="c", ProductionVariants=[INSTANCE])
        == f'Could not find model "{account.arn("model/m")}".'
    )


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (
            [INSTANCE, {**INSTANCE, "VariantName": "V"}],
            'Variant names must be unique within an endpoint configuration: "V".',
        ),
        (
            [{"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large"}],
            (
                "Either ServerlessConfig or both InstanceType and InitialInstanceCount must be specified for "
                'production variant "v".'
            ),
        ),
        (
            [{**INSTANCE, "InitialVariantWeight": 0.0}],
            "The sum of all production variant weights must be greater than 0.",
        ),
        (
            [INSTANCE, {"VariantName": "w", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}],
            "All production variants must either specify a model or none of them.",
        ),
        (
            [{**SERVERLESS, "InstanceType": "ml.m5.large"}],
            'InstanceType cannot be specified with ServerlessConfig for production variant "v".',
        ),
        (
            [
                {
                    **SERVERLESS,
                    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 5, "ProvisionedConcurrency": 6},
                }
            ],
            "ProvisionedConcurrency must be less than or equal to MaxConcurrency.",
        ),
        (
            [{**SERVERLESS, "ServerlessConfig": {"MemorySizeInMB": 2000, "MaxConcurrency": 5}}],
            (
                "1 validation error detected: Value '2000' at "
                "'productionVariants.1.member.serverlessConfig.memorySizeInMB' failed to satisfy constraint: "
                "Member must satisfy enum value set: [1024, 2048, 3072, 4096, 5120, 6144]"
            ),
        ),
        (
            [SERVERLESS, {**INSTANCE, "VariantName": "w"}],
            "A serverless endpoint must have exactly one production variant.",
        ),
    ],
)
def test_what_variants_cannot_be(account: Account, variants: list[dict[str, Any]], message: str) -> None:
    account.model()
    assert account.refused("create_endpoint_config", EndpointConfigName="c", ProductionVariants=variants) == message


def test_a_shadow_stands_beside_one_variant(account: Account) -> None:
    account.model()
    variants = [{**INSTANCE, "VariantName": name} for name in "abc"]
    message = account.refused(
        "create_endpoint_config",
        EndpointConfigName="c",
        ProductionVariants=variants[:2],
        ShadowProductionVariants=variants[2:],
    )
    assert message == "Shadow production variants require exactly one production variant and one shadow variant."


def test_violations_of_shapes_are_told_together_and_first(account: Account) -> None:
    message = account.refused(
        "create_endpoint_config",
        EndpointConfigName="c",
        ProductionVariants=[{**INSTANCE, "InstanceType": "ml.none", "VariantName": "-"}] * 2,
    )
    assert message.startswith("4 validation errors detected: Value '-' at 'productionVariants.1.member.variantName' ")
    assert "Value 'ml.none' at 'productionVariants.2.member.instanceType' failed to satisfy constraint: " in message
