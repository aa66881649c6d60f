"""The other half of the wire, played by botocore itself, and inputs drawn from its shapes."""

from __future__ import annotations

import functools
import io
import re
from datetime import UTC, datetime
from typing import Any

import botocore.loaders
import botocore.model
import botocore.parsers
import botocore.serialize
from botocore.awsrequest import HeadersDict
from botocore.eventstream import EventStream
from hypothesis import settings
from hypothesis import strategies as st

from mooring.wire.errors import WireResponse
from mooring.wire.patterns import matcher, translated

HOSTING = [
    *("CreateModel", "DescribeModel", "ListModels", "DeleteModel"),
    *("CreateEndpointConfig", "DescribeEndpointConfig", "ListEndpointConfigs", "DeleteEndpointConfig"),
    *("CreateEndpoint", "DescribeEndpoint", "ListEndpoints", "DeleteEndpoint", "UpdateEndpoint"),
    *("UpdateEndpointWeightsAndCapacities", "AddTags", "ListTags", "DeleteTags"),
]
CALM = settings(derandomize=True)
"""The same examples each time, however slow the machine."""

RUNTIME = ["InvokeEndpoint", "InvokeEndpointAsync"]


@functools.cache
def botocore_model(service: str) -> botocore.model.ServiceModel:
    document = botocore.loaders.Loader().load_service_model(service, "service-2")
    return botocore.model.ServiceModel(document, service)


def botocore_operation(service: str, operation: str) -> botocore.model.OperationModel:
    return botocore_model(service).operation_model(operation)


class _Raw:
    """A response whose body arrives in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def stream(self) -> list[bytes]:
        return self._pieces


def event_stream(*pieces: bytes) -> EventStream:
    """The events of a response stream; iterating raises what a failure in it is to a client."""
    operation = "InvokeEndpointWithResponseStream"
    shape = botocore_operation("sagemaker-runtime", operation).output_shape.members["Body"]
    # What reads events hangs on the parser of the whole answer.
    parser = botocore.parsers.create_parser("rest-json")._event_stream_parser
    return EventStream(_Raw(list(pieces)), shape, parser, operation)


def request_of(service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """What botocore would send."""
    model = botocore_model(service)
    serializer = botocore.serialize.create_serializer(model.metadata["protocol"], include_validation=False)
    request: dict[str, Any] = serializer.serialize_to_request(params, model.operation_model(operation))
    return request


def headers_of(request: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), str(value).encode("latin-1")) for name, value in request["headers"].items()]


def understood(service: str, operation: str, response: WireResponse) -> dict[str, Any]:
    """What botocore reads out of an answer."""
    model = botocore_model(service)
    headers = HeadersDict()
    for name, value in response.headers:
        headers[name.decode()] = value.decode()
    parser = botocore.parsers.create_parser(model.metadata["protocol"])
    called = model.operation_model(operation)
    streamed = called.has_streaming_output and response.status < 300
    body = io.BytesIO(response.body) if streamed else response.body
    answer = {"status_code": response.status, "headers": headers, "body": body}
    parsed: dict[str, Any] = parser.parse(answer, called.output_shape)
    return parsed


@st.composite
def inputs(draw: st.DrawFn, shape: Any, depth: int = 0) -> Any:
    """A valid value of a botocore shape."""
    kind = shape.type_name
    if kind == "structure":
        chosen = {}
        for name, member in shape.members.items():
            if name in shape.required_members or draw(st.integers(0, 2 + depth)) == 0:
                chosen[name] = draw(inputs(member, depth + 1))
        return chosen
    low = shape.metadata.get("min", 0)
    if kind == "list":
        count = draw(st.integers(low, min(low + 1, shape.metadata.get("max", low + 1))))
        return [draw(inputs(shape.member, depth + 1)) for _ in range(count)]
    if kind == "map":
        return draw(st.dictionaries(inputs(shape.key), inputs(shape.value), min_size=low, max_size=low + 1))
    return draw(scalars(shape))


def scalars(shape: Any) -> st.SearchStrategy[Any]:
    kind, bounds = shape.type_name, shape.metadata
    low, high = bounds.get("min"), bounds.get("max")
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long"):
        return st.integers(-(2**31) if low is None else low, 2**31 - 1 if high is None else high)
    if kind in ("float", "double"):
        return st.floats(low, high, allow_nan=False, allow_infinity=False, width=32)
    if kind == "timestamp":
        return st.integers(0, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
    if kind == "blob":
        return st.binary(max_size=64)
    if bounds.get("enum"):
        return st.sampled_from(bounds["enum"])
    return texts(bounds.get("pattern"), low or 0, high or 100, shape.serialization.get("location") == "header")


@functools.cache
def texts(pattern: str | None, low: int, high: int, in_header: bool) -> st.SearchStrategy[str]:
    if pattern is None or pattern in (".*", r"[\S\s]*", r"\p{ASCII}*"):
        return st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=low, max_size=min(high, low + 20))
    printable = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
    alphabet = printable if in_header else st.characters(exclude_categories=["Cs"])
    drawn = st.from_regex(re.compile(translated(pattern), re.ASCII), fullmatch=True, alphabet=alphabet)
    readable = drawn.map(lambda text: text + "x" * max(0, low - len(text)))
    return readable.filter(lambda text: len(text) <= high and matcher(pattern)(text))


def plain(value: Any) -> Any:
    """With datetimes as the float seconds that we use."""
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
