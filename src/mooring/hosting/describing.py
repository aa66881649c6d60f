"""DescribeEndpoint's answer, from an endpoint's record."""

from __future__ import annotations

from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, VariantState
from mooring.hosting.model_rules import containers_of
from mooring.hosting.rules import Members

ECHOED_OF_CONFIG = ("AsyncInferenceConfig", "ExplainerConfig", "MetricsConfig")
ECHOED_OF_VARIANT = ("ManagedInstanceScaling", "RoutingConfig")


def described(record: EndpointRecord) -> Members:
    """The output of DescribeEndpoint; what has no value is absent."""
    answer: Members = {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "EndpointConfigName": record.config_name,
        "EndpointStatus": str(record.status),
        "CreationTime": record.created_at,
        "LastModifiedTime": record.modified_at,
    }
    if _has_served(record):
        for member, shadow in (("ProductionVariants", False), ("ShadowProductionVariants", True)):
            variants = [_variant(record, variant) for variant in record.variants if variant.shadow is shadow]
            if variants:
                answer[member] = variants
    if "DataCaptureConfig" in record.config:
        answer["DataCaptureConfig"] = _data_capture(record.config["DataCaptureConfig"])
    if record.failure_reason is not None:
        answer["FailureReason"] = record.failure_reason
    if record.deployment_config is not None:
        answer["LastDeploymentConfig"] = record.deployment_config
    return answer | {name: record.config[name] for name in ECHOED_OF_CONFIG if name in record.config}


def _has_served(record: EndpointRecord) -> bool:
    """Variants are shown from the first InService on, also while deleting; never of one that failed to get there."""
    if record.status in (EndpointStatus.CREATING, EndpointStatus.FAILED):
        return False
    effective = any(variant.current_count or variant.current_weight for variant in record.variants)
    return effective or record.status is not EndpointStatus.DELETING


def _variant(record: EndpointRecord, variant: VariantState) -> Members:
    images = [container["Image"] for container in containers_of(variant.model) if "Image" in container]
    summary: Members = {
        "VariantName": variant.name,
        "DeployedImages": [
            {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": record.created_at} for image in images
        ],
        "CurrentWeight": variant.current_weight,
        "DesiredWeight": variant.desired_weight,
    }
    if "ServerlessConfig" in variant.config:
        summary["CurrentInstanceCount"] = 0
        summary["CurrentServerlessConfig"] = summary["DesiredServerlessConfig"] = variant.config["ServerlessConfig"]
    else:
        summary["CurrentInstanceCount"] = variant.current_count
        summary["DesiredInstanceCount"] = variant.desired_count
    return summary | {name: variant.config[name] for name in ECHOED_OF_VARIANT if name in variant.config}


def _data_capture(config: Members) -> Members:
    return {
        "EnableCapture": config.get("EnableCapture", True),
        "CaptureStatus": "Stopped",  # nothing is captured yet, and DescribeEndpoint does not say otherwise
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
