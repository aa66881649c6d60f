"""Records for tests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, VariantState
from mooring.hosting.naming import Scope
from mooring.hosting.resources import Resource

HERE = Scope("000000000000", "us-east-1")


def a_model(name: str, created_at: float = 1.5) -> Resource:
    return Resource("model", HERE, name, {"ModelName": name, "PrimaryContainer": {"Image": "i"}}, created_at)


def an_endpoint(name: str = "e", **changes: Any) -> EndpointRecord:
    variant = VariantState(
        name="v",
        config={"VariantName": "v", "InstanceType": "ml.m5.large"},
        model={"ModelName": "m"},
        desired_weight=1.0,
        current_weight=0.0,
        desired_count=1,
        current_count=0,
    )
    record = EndpointRecord(
        uid=f"uid-{name}",
        scope=HERE,
        name=name,
        config_name="c",
        config={"EndpointConfigName": "c", "ProductionVariants": [{"VariantName": "v"}]},
        status=EndpointStatus.CREATING,
        variants=(variant,),
        created_at=10.25,
        modified_at=10.25,
    )
    return replace(record, **changes)
