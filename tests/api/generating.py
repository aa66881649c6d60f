"""Requests made from botocore's own shapes: valid ones, and valid ones with one place broken."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

TEXTS = (
    "a", "v1", "m", "model-1", "x/y", "text/csv", "application/json", "s3://bucket/key", "s3://b/k", "alias/key",
    "https://bucket/key", "arn:aws:iam::000000000000:role/role", "arn:aws:sns:us-east-1:000000000000:topic",
    "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e", "sg-1", "subnet-1", "features", "[0].x", "é",
    "arn:aws:sagemaker:us-east-1:000000000000:reserved-capacity/abcdefgh", "key value", "/metrics",
    "mig-1g.10gb", "0123456789abcdef01234567", "e1", "AWS/SageMaker", "Average", "endpoint/e/variant/v",
    "at(2099-01-01T00:00:00)", "rate(5 minutes)", "cron(0 9 * * ? *)", "UTC", "Europe/Berlin", "FILL(m, 0)", "WyJhIl0=",
    "arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/0123456789",
)  # fmt: skip
"""Something for each pattern of hosting; which fits where is asked of the pattern."""

MEANT: dict[str, list[Any]] = {
    "KmsKeyId": ["alias/key", "12345678-1234-1234-1234-123456789012"],
    "MetricPublishFrequencyInSeconds": [10, 60, 300],
    "PolicyName": ["p", "a policy: of/all"],
}
"""Of what a shape allows, what a rule beyond the shapes does too; by the shape's name."""
_JAVA_CLASSES = {
    r"\uD800\uDC00-\uDBFF\uDFFF": "\U00010000-\U0010ffff",
    r"\p{L}": "a-zA-Zé",
    r"\p{Z}": " ",
    r"\p{N}": "0-9",
    r"\p{Print}": " -~",
}


def valid(shape: Shape) -> SearchStrategy[Any]:
    """Values that meet a shape, as JSON has them."""
    if isinstance(shape, StructureShape):
        return st.composite(_structure)(shape)
    if isinstance(shape, ListShape):
        least = shape.metadata.get("min", 0)
        return st.lists(valid(shape.member), min_size=least, max_size=min(shape.metadata.get("max", 3), least + 2))
    if isinstance(shape, MapShape):
        return st.dictionaries(valid(shape.key), valid(shape.value), max_size=min(shape.metadata.get("max", 3), 3))
    return _scalar(shape)


def _structure(draw: st.DrawFn, shape: StructureShape) -> dict[str, Any]:
    wanted = [name for name in shape.members if name in shape.required_members or draw(st.booleans())]
    return {name: draw(valid(shape.members[name])) for name in wanted}


def _scalar(shape: Shape) -> SearchStrategy[Any]:
    if shape.name in MEANT:
        return st.sampled_from(MEANT[shape.name])
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    match shape.type_name:
        case "string":
            if "enum" in shape.metadata:
                return st.sampled_from(shape.enum)
            fitting = [text for text in TEXTS if _fits(shape, text)]
            assert fitting, f"TEXTS has nothing for {shape.name}: {shape.metadata}"
            return st.sampled_from(fitting)
        case "integer" | "long":
            return st.integers(least if least is not None else -(2**31), most if most is not None else 2**31 - 1)
        case "float" | "double":
            return st.floats(least or 0.0, most or 1e6, width=32)
        case "boolean":
            return st.booleans()
        case "timestamp":
            return st.integers(0, 4_000_000_000)
    raise AssertionError(shape.type_name)


def _fits(shape: Shape, text: str) -> bool:
    if not shape.metadata.get("min", 0) <= len(text) <= shape.metadata.get("max", 10_000):
        return False
    pattern = shape.metadata.get("pattern", ".*")
    for java, python in _JAVA_CLASSES.items():
        pattern = pattern.replace(java, python)
    return re.fullmatch(pattern.replace(r"\z", r"\Z"), text) is not None


@dataclass(frozen=True)
class Broken:
    """A request with one place that its shape does not allow."""

    params: dict[str, Any]
    place: tuple[str | int, ...]


@st.composite
def broken(draw: st.DrawFn, shape: StructureShape) -> Broken:
    """A valid request with one place broken: too long, too large, not of the enum, absent or of another type."""
    params = draw(valid(shape))
    ways = _ways(shape, params, ())
    assume(ways)
    place, value = draw(st.sampled_from(ways))
    changed = copy.deepcopy(params)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    if value is ABSENT:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return Broken(changed, place)


ABSENT = object()


def _ways(shape: Shape, value: Any, place: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], Any]]:
    """Everything that can be broken in a value: where, and what to put there."""
    ways: list[tuple[tuple[str | int, ...], Any]] = []
    if place:
        ways += [(place, other) for other in _refused(shape, value)]
    if isinstance(shape, StructureShape):
        ways += [((*place, name), ABSENT) for name in shape.required_members if name in value]
        for name, item in value.items():
            ways += _ways(shape.members[name], item, (*place, name))
    elif isinstance(shape, ListShape):
        for index, item in enumerate(value):
            ways += _ways(shape.member, item, (*place, index))
    return ways


def _refused(shape: Shape, value: Any) -> list[Any]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if isinstance(shape, StructureShape):
        return ["text", 3, [value]]
    if isinstance(shape, ListShape):
        bad: list[Any] = ["text", {"a": 1}]
        if value and most is not None and most < 100:
            bad.append([value[0]] * (most + 1))
        return bad + ([[]] if least else [])
    if isinstance(shape, MapShape):
        return ["text", [1]]
    if shape.type_name == "string":
        bad = [{"a": 1}, [value], True]
        if "enum" in shape.metadata:
            bad.append("no such value")
        if most is not None and "enum" not in shape.metadata:
            bad.append("a" * (most + 1))
        return bad
    if shape.type_name == "boolean":
        return ["yes", 1, {}]
    bad = ["text", {}, True]
    bad += [most + 1] if most is not None else []
    return bad + ([least - 1] if least is not None else [])
