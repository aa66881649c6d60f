"""What the features of an endpoint config ask of it: which exclude each other, and what each needs to make sense."""

from __future__ import annotations

from mooring.hosting.model_rules import containers_of
from mooring.hosting.rules import Members
from mooring.hosting.s3_uris import bucket_and_key
from mooring.hosting.variant_rules import instance_types_of, not_in_set, variants_of

PUBLISH_FREQUENCIES_S = (10, 30, 60, 120, 180, 240, 300)


def a_serverless_endpoint_has_no_instance_features(config: Members) -> str | None:
    if not _serverless(config):
        return None
    for name in ("DataCaptureConfig", "AsyncInferenceConfig", "ExplainerConfig"):
        if name in config:
            return f"{name} is not supported for serverless endpoints."
    return None


def async_inference_stands_alone(config: Members) -> str | None:
    if "AsyncInferenceConfig" not in config:
        return None
    for name in ("ShadowProductionVariants", "ExplainerConfig"):
        if config.get(name):
            return f"{name} is not supported with AsyncInferenceConfig."
    return _unsupported_hardware(config, "AsyncInferenceConfig")


def a_shadow_runs_on_plain_instances(config: Members) -> str | None:
    return _unsupported_hardware(config, "ShadowProductionVariants") if config.get("ShadowProductionVariants") else None


def managed_scaling_is_for_inference_components(config: Members) -> str | None:
    for variant in config["ProductionVariants"]:
        scaling = variant.get("ManagedInstanceScaling")
        if scaling is None:
            continue
        if "ModelName" in variant:
            return "ManagedInstanceScaling is only supported for inference component endpoints."
        least, most = scaling.get("MinInstanceCount", 0), scaling.get("MaxInstanceCount")
        begin = variant.get("InitialInstanceCount", least)
        if most is not None and not least <= begin <= most:
            return (
                "InitialInstanceCount must lie between MinInstanceCount and MaxInstanceCount of "
                f'ManagedInstanceScaling for production variant "{variant["VariantName"]}".'
            )
    return None


def isolation_is_for_inference_components(config: Members) -> str | None:
    if config.get("EnableNetworkIsolation") and _names_models(config):
        return "EnableNetworkIsolation is only supported for inference component endpoints."
    return None


def inference_components_have_a_role(config: Members) -> str | None:
    if _names_models(config) or "ExecutionRoleArn" in config:
        return None
    return "ExecutionRoleArn is required when a production variant does not specify a model."


def metrics_are_published_at_a_known_pace(config: Members) -> str | None:
    pace = config.get("MetricsConfig", {}).get("MetricPublishFrequencyInSeconds")
    if pace is None or pace in PUBLISH_FREQUENCIES_S:
        return None
    return not_in_set(pace, "metricsConfig.metricPublishFrequencyInSeconds", PUBLISH_FREQUENCIES_S)


def captured_types_are_of_one_kind(config: Members) -> str | None:
    header = config.get("DataCaptureConfig", {}).get("CaptureContentTypeHeader", {})
    text = {each.lower() for each in header.get("CsvContentTypes", ())}
    for each in header.get("JsonContentTypes", ()):
        if each.lower() in text:
            return f'The content type "{each}" cannot be in both CsvContentTypes and JsonContentTypes.'
    return None


def captured_data_goes_to_s3(config: Members) -> str | None:
    uri = config.get("DataCaptureConfig", {}).get("DestinationS3Uri")
    if uri is None:
        return None
    found = bucket_and_key(uri)
    if found is not None and found[0]:
        return None
    return f'DestinationS3Uri "{uri}" is no address of S3: s3://bucket/prefix is needed.'


def inference_components_are_not_explained(config: Members) -> str | None:
    if "ExplainerConfig" in config and not _names_models(config):
        return "ExplainerConfig is not supported for inference component endpoints."
    return None


RULES = (
    a_serverless_endpoint_has_no_instance_features,
    async_inference_stands_alone,
    a_shadow_runs_on_plain_instances,
    managed_scaling_is_for_inference_components,
    isolation_is_for_inference_components,
    inference_components_have_a_role,
    metrics_are_published_at_a_known_pace,
    captured_types_are_of_one_kind,
    captured_data_goes_to_s3,
    inference_components_are_not_explained,
)


def unsupported_model(config: Members, model: Members) -> str | None:
    """What a model has that an endpoint of this config cannot."""
    containers = containers_of(model)
    several, multi = len(containers) > 1, any(each.get("Mode") == "MultiModel" for each in containers)
    if _serverless(config):
        found = {
            "A multi-model container": multi,
            "An inference pipeline": several,
            "VpcConfig": "VpcConfig" in model,
            "EnableNetworkIsolation": model.get("EnableNetworkIsolation", False),
            "A private registry": any(
                each.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc" for each in containers
            ),
            "ModelPackageName": any("ModelPackageName" in each for each in containers),
            "ModelDataSource": any("ModelDataSource" in each and "ModelDataUrl" not in each for each in containers),
        }
        return next((f"{name} is not supported for serverless endpoints." for name, has in found.items() if has), None)
    if config.get("ShadowProductionVariants") and (multi or several):
        return "Shadow production variants support models of a single container with a single model only."
    if "ExplainerConfig" in config and several:
        return "ExplainerConfig is not supported with models of several containers."
    return None


def _serverless(config: Members) -> bool:
    return any("ServerlessConfig" in variant for variant in variants_of(config))


def _names_models(config: Members) -> bool:
    return any("ModelName" in variant for variant in config["ProductionVariants"])


def _unsupported_hardware(config: Members, feature: str) -> str | None:
    for variant in variants_of(config):
        if "AcceleratorType" in variant:
            return f"{feature} is not supported with Elastic Inference."
        if any(each.startswith("ml.inf1.") for each in instance_types_of(variant)):
            return f"{feature} is not supported with Inf1 instances."
    return None
