"""CBOR, held against botocore's writer and reader, and against bytes that mean harm."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any

import botocore.parsers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.wire import cbor, rpc_v2_cbor
from mooring.wire.cbor import Timestamp, decoded, encoded
from mooring.wire.errors import WireError
from mooring.wire.service_models import service_model
from tests.wire.botocore_half import CALM, botocore_operation, headers_of, inputs, plain, request_of, understood

CLOUDWATCH = "cloudwatch"
OPERATIONS = ["PutMetricData", "PutMetricAlarm", "GetMetricData", "DescribeAlarms", "ListMetrics", "TagResource"]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
    max_leaves=20,
)


@CALM
@given(values)
def test_what_is_written_is_read(value: Any) -> None:
    assert decoded(encoded(value)) == value


@CALM
@given(values)
def test_botocore_reads_what_is_written(value: Any) -> None:
    parser = botocore.parsers.RpcV2CBORParser()
    read = parser.parse_data_item(parser.get_peekable_stream_from_bytes(encoded({"v": value})))
    assert read.get("v") == _without_nulls(value)


def _without_nulls(value: Any) -> Any:
    """botocore drops null members of maps."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def test_times() -> None:
    assert decoded(encoded(Timestamp(1.5))) == 1.5
    assert encoded(Timestamp(1.5))[0] == 0xC1
    parser = botocore.parsers.RpcV2CBORParser()
    read = parser.parse_data_item(parser.get_peekable_stream_from_bytes(encoded(Timestamp(1.5))))
    assert read == datetime.fromtimestamp(1.5, UTC)
    assert decoded(b"\xc1\x19\x03\xe8") == 1000.0


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x9f\x01\x02\xff", [1, 2]),
        (b"\xbf\x61a\x01\xff", {"a": 1}),
        (b"\x7f\x61a\x61b\xff", "ab"),
        (b"\x5f\x41a\x40\xff", b"a"),
        (b"\xf9\x3c\x00", 1.0),
        (b"\xfa" + struct.pack(">f", 0.5), 0.5),
        (b"\x1b" + b"\xff" * 8, 2**64 - 1),
        (b"\xf7", None),
    ],
)
def test_other_ways_to_say_it(data: bytes, value: Any) -> None:
    assert decoded(data) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01",  # two items
        b"\x18",  # cut off
        b"\x61\xff",  # not UTF-8
        b"\xa1\x01\x01",  # a name that is no text
        b"\x9b" + b"\xff" * 8,  # a list of 2**64 items
        b"\x7b" + b"\xff" * 8,  # a text of 2**64 bytes
        b"\x81" * 100_000,  # deep
        b"\x9f" * 100_000,
        b"\xc1" * 100_000,
        b"\x9a\xff\xff\xff\xff" + b"\xa0" * 500_000,  # many
        b"\xc0\x61a",  # another tag
        b"\xc1\xf5",
        b"\x7f\x41a\xff",  # pieces of another kind
        b"\xe0",
        b"\xff",
        b"\x1c",
    ],
    ids=lambda data: data[:4].hex(),
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decoded(data)


@CALM
@given(st.binary(max_size=200))
@example(b"\xbf\xbf")
def test_nothing_else_is_raised(data: bytes) -> None:
    try:
        value = decoded(data)
    except ValueError:
        return
    if not _has_nan(value):
        assert decoded(encoded(value)) == value


def _has_nan(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_nan, value.values()))
    return any(map(_has_nan, value)) if isinstance(value, list) else isinstance(value, float) and math.isnan(value)


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1, object(), {1, 2}])
def test_what_has_no_place(value: Any) -> None:
    with pytest.raises(TypeError):
        encoded(value)


@CALM
@given(st.data())
def test_requests_as_botocore_writes_them(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(OPERATIONS))
    params = data.draw(inputs(botocore_operation(CLOUDWATCH, operation).input_shape))
    request = request_of(CLOUDWATCH, operation, params)
    headers = dict(headers_of(request))
    path = request["url_path"].encode()
    assert rpc_v2_cbor.addressed(path, headers[b"smithy-protocol"]) == ("GraniteServiceVersion20100801", operation)
    assert rpc_v2_cbor.addressed(path, None) is None
    assert rpc_v2_cbor.parameters(request["body"]) == plain(params)


@CALM
@given(st.data())
def test_answers_as_botocore_reads_them(data: st.DataObject) -> None:
    operation = data.draw(st.sampled_from(["GetMetricData", "DescribeAlarms", "ListMetrics"]))
    result = data.draw(inputs(botocore_operation(CLOUDWATCH, operation).output_shape))
    answer = rpc_v2_cbor.success(service_model(CLOUDWATCH).operation(operation).output, plain(result), "the-id")
    read = understood(CLOUDWATCH, operation, answer)
    assert read.pop("ResponseMetadata")["RequestId"] == "the-id"
    assert read == result


@pytest.mark.parametrize("body", [b"\x80", b"\x01", b"\xa1", b"\xff"])
def test_bodies_that_are_no_map(body: bytes) -> None:
    with pytest.raises(WireError, match="SerializationException"):
        rpc_v2_cbor.parameters(body)


def test_the_bound_is_beyond_any_call() -> None:
    metric = {"MetricName": "m", "Values": [1.0] * 150, "Counts": [1.0] * 150}
    reader = cbor._Reader(encoded(metric))
    reader.item(cbor.DEEPEST)
    assert 1000 * (cbor.MOST_ITEMS - reader._left) < cbor.MOST_ITEMS
