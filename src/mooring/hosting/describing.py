"""DescribeEndpoint's answer, from an endpoint's record."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Rollout, VariantState
from mooring.hosting.model_rules import containers_of
from mooring.hosting.rollout.progress import new_statuses, old_statuses
from mooring.hosting.rollout.targets import standing
from mooring.hosting.rules import Members

ECHOED_OF_CONFIG = ("AsyncInferenceConfig", "ExplainerConfig", "MetricsConfig")
ECHOED_OF_VARIANT = ("ManagedInstanceScaling", "RoutingConfig")
ECHOED_OF_PENDING_VARIANT = ("InstanceType", "AcceleratorType", *ECHOED_OF_VARIANT)


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
    if record.rollout is not None:
        answer["PendingDeploymentSummary"] = _pending(record, record.rollout)
    if "DataCaptureConfig" in record.config:
        answer["DataCaptureConfig"] = _data_capture(record, record.config["DataCaptureConfig"])
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
    """A variant of the config that is in effect; during a rollout, with what is left to it."""
    weight, count = variant.current_weight, variant.current_count
    statuses: list[Members] = []
    if (rollout := record.rollout) is not None and not variant.shadow:
        now = standing(record, rollout)
        weight *= 1 - now.shares.get(variant.name, min(now.shares.values(), default=1.0))
        count = now.old.get(variant.name, count)
        statuses = old_statuses(record, rollout, variant)
    return _summary(variant, weight, count, record.created_at, statuses, ECHOED_OF_VARIANT)


def _pending(record: EndpointRecord, rollout: Rollout) -> Members:
    """The config that is being deployed, and how far that is."""
    summary: Members = {"EndpointConfigName": rollout.config_name, "StartTime": rollout.started_at}
    for member, shadow in (("ProductionVariants", False), ("ShadowProductionVariants", True)):
        variants = [_pending_variant(record, rollout, each) for each in rollout.variants if each.shadow is shadow]
        if variants:
            summary[member] = variants
    return summary


def _pending_variant(record: EndpointRecord, rollout: Rollout, variant: VariantState) -> Members:
    now = standing(record, rollout)
    statuses: list[Members] = []
    # Those that are being started count once they take traffic; a shadow of theirs then gets copies.
    if variant.shadow:
        mirrors = any(now.routed.values())
        weight, count = variant.desired_weight * mirrors, variant.desired_count * mirrors
    else:
        weight, count = variant.desired_weight * now.shares.get(variant.name, 0.0), now.routed.get(variant.name, 0)
        statuses = new_statuses(record, rollout, variant)
    return _summary(variant, weight, count, rollout.started_at, statuses, ECHOED_OF_PENDING_VARIANT)


def _summary(
    variant: VariantState, weight: float, count: int, resolved_at: float, statuses: list[Members], echoed: Sequence[str]
) -> Members:
    images = [container["Image"] for container in containers_of(variant.model) if "Image" in container]
    summary: Members = {
        "VariantName": variant.name,
        "DeployedImages": [
            {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": resolved_at} for image in images
        ],
        "CurrentWeight": weight,
        "DesiredWeight": variant.desired_weight,
    }
    if "ServerlessConfig" in variant.config:
        summary["CurrentInstanceCount"] = 0
        wished = variant.config["ServerlessConfig"]
        summary["CurrentServerlessConfig"] = variant.current_serverless or wished
        summary["DesiredServerlessConfig"] = wished
    else:
        summary["CurrentInstanceCount"] = count
        summary["DesiredInstanceCount"] = variant.desired_count
    if statuses:
        summary["VariantStatus"] = statuses
    return summary | {name: variant.config[name] for name in echoed if name in variant.config}


def _data_capture(record: EndpointRecord, config: Members) -> Members:
    enabled = config.get("EnableCapture", True)
    serves = _has_served(record) and record.status is not EndpointStatus.OUT_OF_SERVICE
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled and serves and not record.capture_problem else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
