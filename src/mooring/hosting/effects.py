"""Which fields do something, so that one which does nothing yet is never accepted in silence.

Named here is what has an effect; whatever else a caller asks for is stored, echoed and reported as without one, also
a field that a newer botocore brings. A value that asks for nothing (false, nothing, an empty list) is not reported.
`InstanceType` and `ExecutionRoleArn` describe rather than ask: every deployment has them, and what they mean on one
machine is in the documentation.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

from mooring.errors import Refused
from mooring.hosting.config_rules import models_of
from mooring.hosting.instance_types import is_accelerated
from mooring.hosting.model_rules import containers_of
from mooring.hosting.rules import Members
from mooring.hosting.variant_rules import variants_of

OF_CONFIG = frozenset(
    {
        "EndpointConfigName", "ProductionVariants", "ShadowProductionVariants", "Tags", "ExecutionRoleArn",
        "DataCaptureConfig", "MetricsConfig", "AsyncInferenceConfig", "ExplainerConfig",
    }
)  # fmt: skip
OF_METRICS = frozenset({"EnableEnhancedMetrics", "MetricPublishFrequencyInSeconds"})
OF_EXPLAINER: dict[str, Any] = {
    "ClarifyExplainerConfig": {
        "EnableExplanations": None,
        "InferenceConfig": dict.fromkeys(
            (
                "FeaturesAttribute", "ContentTemplate", "MaxRecordCount", "MaxPayloadInMB", "ProbabilityIndex",
                "LabelIndex", "ProbabilityAttribute", "LabelAttribute", "LabelHeaders", "FeatureHeaders",
                "FeatureTypes",
            )
        ),
        "ShapConfig": {
            "ShapBaselineConfig": dict.fromkeys(("MimeType", "ShapBaseline", "ShapBaselineUri")),
            "NumberOfSamples": None,
            "UseLogit": None,
            "Seed": None,
            "TextConfig": dict.fromkeys(("Language", "Granularity")),
        },
    }
}  # fmt: skip
"""Of a structure, its members; None for what is no structure."""
OF_VARIANT = frozenset(
    {
        "VariantName", "ModelName", "InitialInstanceCount", "InstanceType", "InitialVariantWeight", "RoutingConfig",
        "ServerlessConfig", "ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds",
    }
)  # fmt: skip
OF_MODEL = frozenset({"ModelName", "PrimaryContainer", "Containers", "ExecutionRoleArn", "Tags"})
OF_CONTAINER = frozenset({"ContainerHostname", "Image", "Mode", "ModelDataUrl", "ModelDataSource", "Environment"})
OF_ENDPOINT = frozenset(
    {
        "EndpointName", "EndpointConfigName", "Tags", "DeploymentConfig", "RetainAllVariantProperties",
        "ExcludeRetainedVariantProperties", "RetainDeploymentConfig",
    }
)  # fmt: skip

OWN_KEYS = frozenset({"DataCaptureConfig", "AsyncInferenceConfig"})
"""Fields with a KmsKeyId that is followed."""

MEANWHILE = {
    "EnableDetailedObservability": "what containers tell on a /metrics of their own is not read",
    "KmsKeyId": "the model's files lie unencrypted on this machine's disk while it is served",
    "EnableNetworkIsolation": "replicas reach the network",
    "VpcConfig": "replicas share this machine's network",
}
"""What goes on instead, where that is not plain from the name."""


def without_effect(request: Members, config: Members, models: Mapping[str, Members]) -> list[str]:
    """What an endpoint's request, config and models ask for in vain, each as `where: why`, in their order."""
    found = [_told(name, name) for name in _idle(request, OF_ENDPOINT)]
    found += idle_in_config(config)
    for name in models_of(config):
        if name in models:
            found += [f'model "{name}", {each}' for each in idle_in_model(models[name])]
    return found


def without_accelerator(config: Members) -> list[str]:
    """Variants that ask for a GPU; what is to be told of them where there is none."""
    return [
        f'variant "{variant["VariantName"]}", InstanceType {variant["InstanceType"]}: this machine has no NVIDIA GPU, '
        "the model runs on the CPU"
        for variant in variants_of(config)
        if is_accelerated(variant.get("InstanceType", ""))
    ]


def idle_in_config(config: Members) -> list[str]:
    """What of an endpoint config does nothing yet."""
    found = [_told(name, name) for name in _idle(config, OF_CONFIG)]
    metrics = config.get("MetricsConfig") or {}
    found += [_told(f"MetricsConfig, {name}", name) for name in _idle(metrics, OF_METRICS)]
    found += _idle_below(config.get("ExplainerConfig") or {}, OF_EXPLAINER, "ExplainerConfig")
    for variant in variants_of(config):
        where = f'variant "{variant["VariantName"]}"'
        # A serverless variant is completed with a volume that nobody asked for.
        inert = {"VolumeSizeInGB"} if "ServerlessConfig" in variant else set()
        found += [_told(f"{where}, {name}", name) for name in _idle(variant, OF_VARIANT | inert)]
    return found


def idle_in_model(model: Members) -> list[str]:
    """What of a model does nothing yet."""
    found = [_told(name, name) for name in _idle(model, OF_MODEL)]
    for container in containers_of(model):
        found += [_told(name, name) for name in _idle(container, OF_CONTAINER)]
    return found


def refuse_idle(idle: list[str]) -> None:
    """Raises `Refused` for what would have no effect, where the settings want that."""
    if idle:
        raise Refused(
            f"No effect yet in this version of Mooring: {'; '.join(idle)}. "
            "MOORING_HOSTING_STRICT is on, which refuses that."
        )


def refuse_unprotected(members: Members) -> None:
    """Raises `Refused` for a promise of secrecy that is not kept: to a server which others reach, it would be a lie.

    What is captured is encrypted, and so is what asynchronous jobs write to S3: a key for those is none.
    """
    kept = {name: value for name, value in members.items() if name not in OWN_KEYS}
    for name, value in _all_members(kept):
        if value and name in ("KmsKeyId", "EnableNetworkIsolation"):
            raise Refused(
                f"{name} has no effect in this version of Mooring ({MEANWHILE[name]}), and it is refused while the "
                "server listens on more than loopback. Leave it out, or serve on 127.0.0.1."
            )


def _idle_below(members: Members, effective: Members, where: str) -> list[str]:
    found = [_told(f"{where}, {name}", name) for name in _idle(members, effective)]
    for name, below in effective.items():
        if below is not None and members.get(name):
            found += _idle_below(members[name], below, f"{where}, {name}")
    return found


def _idle(members: Members, effective: Container[str]) -> Iterator[str]:
    return (name for name, value in members.items() if value and name not in effective)


def _told(where: str, name: str) -> str:
    return f"{where}: {MEANWHILE[name]}" if name in MEANWHILE else where


def _all_members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield name, each
            yield from _all_members(each)
    elif isinstance(value, list):
        for each in value:
            yield from _all_members(each)
