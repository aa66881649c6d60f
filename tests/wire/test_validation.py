from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mooring.wire import validation
from mooring.wire.errors import WireError
from mooring.wire.service_models import service_model
from mooring.wire.shapes import ListShape, Member, Shape, Structure
from mooring.wire.validation import framed, rendered, require_valid, violations
from tests.wire.botocore_half import HOSTING, botocore_operation, inputs, plain

MODEL = service_model("sagemaker")
NAME = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
TAG = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
VARIANT = {"VariantName": "a", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}


def told(operation: str, params: dict[str, Any]) -> list[str]:
    shape = MODEL.operation(operation).input
    assert shape is not None
    return violations(shape, params)


def config(**variant: Any) -> dict[str, Any]:
    return {"EndpointConfigName": "c", "ProductionVariants": [VARIANT | variant]}


def test_the_frame_counts() -> None:
    assert framed(["a"]) == "1 validation error detected: a"
    assert framed(["a", "b"]) == "2 validation errors detected: a; b"


def test_a_missing_required_member() -> None:
    assert told("CreateModel", {}) == [
        "Value null at 'modelName' failed to satisfy constraint: Member must not be null"
    ]


def test_length_comes_before_pattern() -> None:
    name = "a_" * 40
    pattern = r"[a-zA-Z0-9]([\-a-zA-Z0-9]*[a-zA-Z0-9])?"
    with pytest.raises(WireError) as caught:
        require_valid(MODEL.operation("CreateModel").input, {"ModelName": name})
    assert (caught.value.code, caught.value.status) == ("ValidationException", 400)
    assert caught.value.message == (
        f"2 validation errors detected: Value '{name}' at 'modelName' failed to satisfy constraint: Member must have "
        f"length less than or equal to 63; Value '{name}' at 'modelName' failed to satisfy constraint: Member must "
        f"satisfy regular expression pattern: {pattern}"
    )


def test_an_empty_name_fails_by_its_pattern_only() -> None:
    assert told("DescribeEndpoint", {"EndpointName": ""}) == [
        (
            "Value '' at 'endpointName' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {NAME}"
        )
    ]


def test_an_instance_type_that_is_not_one() -> None:
    (clause,) = told("CreateEndpointConfig", config(InstanceType="ml.t3.mediumm"))
    start = (
        "Value 'ml.t3.mediumm' at 'productionVariants.1.member.instanceType' failed to satisfy constraint: "
        "Member must satisfy enum value set: ["
    )
    assert clause.startswith(start)
    listed = clause.removeprefix(start).removesuffix("]").split(", ")
    shape = botocore_operation("sagemaker", "CreateEndpointConfig").input_shape
    assert listed == shape.members["ProductionVariants"].member.members["InstanceType"].enum


@pytest.mark.parametrize(
    ("variant", "clause"),
    [
        (
            {"VolumeSizeInGB": 513},
            (
                "Value '513' at 'productionVariants.1.member.volumeSizeInGB' failed to satisfy constraint: "
                "Member must have value less than or equal to 512"
            ),
        ),
        (
            {"VolumeSizeInGB": 0},
            (
                "Value '0' at 'productionVariants.1.member.volumeSizeInGB' failed to satisfy constraint: "
                "Member must have value greater than or equal to 1"
            ),
        ),
        (
            {"InitialVariantWeight": -1.0},
            (
                "Value '-1.0' at 'productionVariants.1.member.initialVariantWeight' failed to satisfy constraint: "
                "Member must have value greater than or equal to 0"
            ),
        ),
        (
            {"VariantName": None},
            (
                "Value null at 'productionVariants.1.member.variantName' failed to satisfy constraint: "
                "Member must not be null"
            ),
        ),
    ],
)
def test_a_variant(variant: dict[str, Any], clause: str) -> None:
    assert told("CreateEndpointConfig", config(**variant)) == [clause]


def test_a_list_that_is_too_short_or_too_long() -> None:
    empty = {"EndpointConfigName": "c", "ProductionVariants": []}
    assert told("CreateEndpointConfig", empty) == [
        (
            "Value '[]' at 'productionVariants' failed to satisfy constraint: "
            "Member must have length greater than or equal to 1"
        )
    ]
    many = {"EndpointConfigName": "c", "ProductionVariants": [VARIANT] * 11}
    assert told("CreateEndpointConfig", many) == [
        (
            "Value '[...]' at 'productionVariants' failed to satisfy constraint: "
            "Member must have length less than or equal to 10"
        )
    ]


def test_a_list_of_simple_elements_states_all_their_constraints() -> None:
    vpc = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1", "sub net"]}
    assert told("CreateModel", {"ModelName": "m", "VpcConfig": vpc}) == [
        (
            "Value '[subnet-1, sub net]' at 'vpcConfig.subnets' failed to satisfy constraint: Member must satisfy "
            "constraint: [Member must have length less than or equal to 32, Member must have length greater than "
            "or equal to 0, Member must satisfy regular expression pattern: [-0-9a-zA-Z]+, Member must not be null]"
        )
    ]
    assert told("CreateModel", {"ModelName": "m", "VpcConfig": vpc | {"Subnets": [None]}})[0].startswith(
        "Value '[null]' at 'vpcConfig.subnets' failed to satisfy constraint: Member must satisfy constraint: ["
    )


def test_the_list_form_with_an_enum() -> None:
    element = Shape("Architecture", "string", enum=("x86_64", "arm64"))
    architectures = ListShape("Architectures", "list", element=Member("member", element, "member"))
    member = Member("Architectures", architectures, "Architectures")
    shape = Structure("In", "structure", members={"Architectures": member})
    assert violations(shape, {"Architectures": ["X86_64"]}) == [
        (
            "Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: "
            "[Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"
        )
    ]


def test_the_keys_and_values_of_a_map() -> None:
    container = {"Image": "i", "Environment": {"GOOD": "v", "BAD KEY": "w" * 1025}}
    shown = "{GOOD=v, BAD KEY=" + "w" * 1025 + "}"
    at = f"Value '{shown}' at 'primaryContainer.environment' failed to satisfy constraint: "
    assert told("CreateModel", {"ModelName": "m", "PrimaryContainer": container}) == [
        at + "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have "
        "length greater than or equal to 0, Member must satisfy regular expression pattern: [a-zA-Z_][a-zA-Z0-9_]*]",
        at + "Map value must satisfy constraint: [Member must have length less than or equal to 1024, Member must have "
        r"length greater than or equal to 0, Member must satisfy regular expression pattern: [\S\s]*]",
    ]


def test_a_null_in_a_map_or_in_a_list_of_structures() -> None:
    (clause,) = told("CreateModel", {"ModelName": "m", "PrimaryContainer": {"Environment": {"A": None}}})
    assert clause.startswith("Value '{A=null}' at 'primaryContainer.environment' ")
    assert clause.endswith(", Member must not be null]")
    assert told("CreateModel", {"ModelName": "m", "Tags": [None]}) == [
        "Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null"
    ]


def test_paths_change_their_first_letters_only() -> None:
    clauses = told(
        "CreateEndpointConfig",
        config()
        | {
            "DataCaptureConfig": {
                "InitialSamplingPercentage": 101,
                "DestinationS3Uri": "ftp",
                "CaptureOptions": [{"CaptureMode": "Both"}],
            },
            "Tags": [{"Key": "&", "Value": "v"}],
            "KmsKeyId": "?",
        },
    )
    assert [re.search("at '([^']*)'", clause)[1] for clause in clauses] == [  # type: ignore[index]
        "dataCaptureConfig.initialSamplingPercentage",
        "dataCaptureConfig.destinationS3Uri",
        "dataCaptureConfig.captureOptions.1.member.captureMode",
        "tags.1.member.key",
        "kmsKeyId",
    ]
    assert clauses[3].endswith(f"pattern: {TAG}")


def test_sensitive_values_and_blobs_are_not_shown() -> None:
    secret = Member("Secret", Shape("S", "string", maximum=3, sensitive=True), "Secret")
    body = Member("Body", Shape("B", "blob", maximum=3), "Body")
    shape = Structure("In", "structure", members={"Secret": secret, "Body": body})
    assert violations(shape, {"Secret": "hunter2", "Body": b"12345"}) == [
        "Value at 'secret' failed to satisfy constraint: Member must have length less than or equal to 3",
        "Value at 'body' failed to satisfy constraint: Member must have length less than or equal to 3",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (1001, "1001"),
        (-1.0, "-1.0"),
        (0.0, "0.0"),
        (0.5, "0.5"),
        (9999999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (-12345678.9, "-1.23456789E7"),
        (0.00012345, "1.2345E-4"),
        (1e300, "1.0E300"),
        (float("-inf"), "-Infinity"),
        ("it's raw", "it's raw"),
        ([1, "a", None], "[1, a, null]"),
        ({"k": 1.0, "k2": "v"}, "{k=1.0, k2=v}"),
    ],
)
def test_values_are_printed_as_java_does(value: Any, text: str) -> None:
    assert rendered(value) == text


def test_what_is_absurdly_long_is_told_once_and_not_looked_into() -> None:
    assert len(told("DescribeEndpoint", {"EndpointName": "!" * 100_000})) == 1
    assert len(told("CreateEndpointConfig", {"EndpointConfigName": "c", "ProductionVariants": [{}] * 100_000})) == 1
    wanted = [{"VariantName": "!"}] * 100_000
    clauses = told("UpdateEndpointWeightsAndCapacities", {"EndpointName": "e", "DesiredWeightsAndCapacities": wanted})
    assert len(clauses) == validation.MOST_VIOLATIONS


def breakages(shape: Any, params: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any], str, Any]]:
    """Places where one change makes exactly one violation: (path, the structure, its member, the bad value)."""
    found: list[tuple[str, dict[str, Any], str, Any]] = []
    for name, member in shape.members.items():
        here = f"{path}.{name[0].lower()}{name[1:]}".lstrip(".")
        value, bounds = params.get(name), member.metadata
        if member.type_name == "structure" and value is not None:
            found += breakages(member, value, here)
        elif member.type_name == "list" and member.member.type_name == "structure":
            for position, item in enumerate(value or (), 1):
                found += breakages(member.member, item, f"{here}.{position}.member")
        elif name in shape.required_members:
            found.append((here, params, name, None))
        elif value is not None and "enum" in bounds:
            found.append((here, params, name, "no such value"))
        elif value is not None and member.type_name == "integer" and "max" in bounds:
            found.append((here, params, name, bounds["max"] + 1))
        elif value is not None and member.type_name in ("integer", "float") and "min" in bounds:
            found.append((here, params, name, bounds["min"] - 1))
    return found


@pytest.mark.parametrize("operation", [name for name in HOSTING if botocore_operation("sagemaker", name).input_shape])
@settings(max_examples=12, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_violation_is_told_at_its_place_and_counted(operation: str, data: st.DataObject) -> None:
    shape = botocore_operation("sagemaker", operation).input_shape
    params = plain(data.draw(inputs(shape)))
    places = breakages(shape, params)
    assume(places)
    chosen = data.draw(st.sets(st.integers(0, len(places) - 1), min_size=1))
    for index in chosen:
        _, structure, name, bad = places[index]
        structure[name] = bad

    with pytest.raises(WireError) as caught:
        require_valid(MODEL.operation(operation).input, params)

    message = caught.value.message
    assert message is not None
    frame = re.match(r"(\d+) validation (errors?) detected: Value ", message)
    assert frame is not None
    assert (int(frame[1]), frame[2]) == (len(chosen), "error" if len(chosen) == 1 else "errors")
    paths = [re.search("at '([^']*)' failed", clause)[1] for clause in told(operation, params)]  # type: ignore[index]
    assert paths == [places[index][0] for index in sorted(chosen)]
