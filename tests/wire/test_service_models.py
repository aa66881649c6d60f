from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from botocore.loaders import Loader

from mooring.wire import service_models
from mooring.wire.service_models import lay_over, lay_under, load_document, service_model
from mooring.wire.shapes import ListShape, MapShape, Shape, Structure
from tests.wire.botocore_half import HOSTING, RUNTIME, botocore_model, botocore_operation

SERVICES = ["sagemaker", "sagemaker-runtime", "sts"]


def without_documentation(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_documentation(v) for k, v in value.items() if k != "documentation" or not isinstance(v, str)}
    return value


@pytest.mark.parametrize("service", SERVICES)
def test_a_document_is_what_botocores_own_loader_gives(service: str) -> None:
    ours, theirs = load_document(service), Loader().load_service_model(service, "service-2")
    for part in ("shapes", "operations", "metadata"):
        assert without_documentation(ours[part]) == without_documentation(theirs[part])


@pytest.mark.parametrize("service", SERVICES)
def test_metadata_is_botocores(service: str) -> None:
    ours, theirs = service_model(service), botocore_model(service)
    assert ours.signing_name == theirs.signing_name
    assert ours.protocol == theirs.protocol
    assert ours.api_version == theirs.api_version
    assert ours.operation_names == frozenset(theirs.operation_names)


@pytest.mark.parametrize(
    ("service", "operation"), [*(("sagemaker", name) for name in HOSTING), *(("sagemaker-runtime", n) for n in RUNTIME)]
)
def test_shapes_are_botocores(service: str, operation: str) -> None:
    ours, theirs = service_model(service).operation(operation), botocore_operation(service, operation)
    for mine, other in ((ours.input, theirs.input_shape), (ours.output, theirs.output_shape)):
        assert (mine is None) == (other is None)
        if mine is not None:
            assert_same(mine, other, set())


def assert_same(ours: Shape, theirs: Any, seen: set[str]) -> None:
    if ours.name in seen:
        return
    seen.add(ours.name)
    assert (ours.name, ours.kind) == (theirs.name, theirs.type_name)
    assert ours.minimum == theirs.metadata.get("min")
    assert ours.maximum == theirs.metadata.get("max")
    assert ours.pattern == theirs.metadata.get("pattern")
    assert list(ours.enum) == theirs.metadata.get("enum", [])
    if isinstance(ours, Structure):
        assert list(ours.members) == list(theirs.members)
        assert ours.required == set(theirs.required_members)
        for name, member in ours.members.items():
            assert member.location == theirs.members[name].serialization.get("location")
            assert_same(member.shape, theirs.members[name], seen)
    elif isinstance(ours, ListShape):
        assert_same(ours.element.shape, theirs.member, seen)
    elif isinstance(ours, MapShape):
        assert_same(ours.key.shape, theirs.key, seen)
        assert_same(ours.value.shape, theirs.value, seen)


def test_a_shape_may_contain_itself() -> None:
    search = service_model("sagemaker").shapes.structure("SearchExpression")
    subexpressions = search.members["SubExpressions"].shape
    assert isinstance(subexpressions, ListShape)
    assert subexpressions.element.shape is search


def test_unknown_names_are_key_errors() -> None:
    with pytest.raises(KeyError):
        service_model("no-such-service")
    with pytest.raises(KeyError):
        service_model("sts").operation("NoSuchOperation")


def test_modelled_errors_are_found_by_name_and_by_code() -> None:
    runtime, sts = service_model("sagemaker-runtime"), service_model("sts")
    failed = runtime.error("ModelError")
    assert failed is not None
    assert failed.error_status == 424
    assert sts.error("PackedPolicyTooLarge") is sts.error("PackedPolicyTooLargeException") is not None
    assert runtime.error("ValidationException") is None


def test_an_addition_fills_gaps_only() -> None:
    document: dict[str, Any] = {"shapes": {"A": {"type": "string", "enum": ["x"], "max": 3}}}
    lay_under(document, {"shapes": {"A": {"enum": ["x", "y"], "max": 9, "min": 1}, "B": {"type": "integer"}}})
    assert document == {
        "shapes": {"A": {"type": "string", "enum": ["x", "y"], "max": 3, "min": 1}, "B": {"type": "integer"}}
    }


def test_a_replacement_wins_and_null_removes() -> None:
    document: dict[str, Any] = {"shapes": {"A": {"type": "string", "pattern": "x", "max": 3}}}
    lay_over(document, {"shapes": {"A": {"pattern": None, "max": 9}}})
    assert document == {"shapes": {"A": {"type": "string", "max": 9}}}


def test_corrections_bring_a_model_without_them_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    document = load_document("sagemaker")
    shapes = document["shapes"]
    for name in ("ContainerMetricsConfig", "MetricsEndpointList", "MetricsEndpoint", "PrefixAwareRoutingConfig"):
        shapes.pop(name, None)
    shapes["ProductionVariantRoutingConfig"]["members"].pop("PrefixAwareRoutingConfig", None)
    shapes["MetricsConfig"]["members"].pop("EnableDetailedObservability", None)
    shapes["RoutingStrategy"]["enum"] = ["LEAST_OUTSTANDING_REQUESTS", "RANDOM"]
    monkeypatch.setattr(service_models, "load_document", lambda name: document)

    model = service_model.__wrapped__("sagemaker")

    routing = model.shapes.structure("ProductionVariantRoutingConfig")
    assert "PREFIX_AWARE" in routing.members["RoutingStrategy"].shape.enum
    prefix = routing.members["PrefixAwareRoutingConfig"].shape
    assert isinstance(prefix, Structure)
    assert prefix.members["PrefixLength"].shape.minimum == 1024
    assert "EnableDetailedObservability" in model.shapes.structure("MetricsConfig").members
    assert "ContainerMetricsConfig" in model.shapes.structure("ContainerDefinition").members


@pytest.mark.parametrize("service", SERVICES)
def test_every_shape_of_a_corrected_model_can_be_made(service: str) -> None:
    model = service_model(service)
    assert all(model.shapes.shape(name).name == name for name in model.shapes.names())


def test_nothing_here_imports_botocore() -> None:
    modules = "recognition, invocation_checks, json_protocol, rest_json, query_protocol, validation"
    program = (
        f"import sys; from mooring.wire import {modules}\n"
        "from mooring.wire.service_models import service_model; service_model('sagemaker')\n"
        "sys.exit('botocore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0
