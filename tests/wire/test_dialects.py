"""Every protocol of AWS's is told from a request, and botocore reads the errors in it."""

from __future__ import annotations

from typing import Any

import botocore.parsers
import pytest
from botocore.awsrequest import HeadersDict
from hypothesis import given
from hypothesis import strategies as st

from mooring.wire.dialects import CBOR, EC2, JSON, QUERY, REST_JSON, REST_XML, Spoken, failure, spoken
from mooring.wire.errors import WireError
from tests.wire.botocore_half import CALM

FORM = (b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")
SMITHY = (b"smithy-protocol", b"rpc-v2-cbor")


@pytest.mark.parametrize(
    ("path", "query", "headers", "body", "expected"),
    [
        (b"/", b"", [(b"x-amz-target", b"A_1.Do")], b"{}", Spoken(JSON, "Do", "A_1")),
        (
            b"/",
            b"",
            [(b"x-amz-target", b"com.aws.A.Do"), (b"content-type", b"application/x-amz-json-1.0; charset=UTF-8")],
            b"{}",
            Spoken(JSON, "Do", "com.aws.A", b"application/x-amz-json-1.0"),
        ),
        (b"/", b"", [(b"x-amz-target", b"A.D o")], b"", Spoken(JSON, None, "A")),
        (b"/", b"", [FORM], b"Action=Do&Version=2010-01-01", Spoken(QUERY, "Do", "2010-01-01")),
        (b"/1/q", b"Action=Do&Version=v", [], b"ignored", Spoken(QUERY, "Do", "v")),
        (b"/", b"", [FORM], b"", Spoken(QUERY)),
        (b"/", b"", [FORM], b"Action=%ff&&=", Spoken(QUERY)),
        (b"/", b"", [FORM], b"a&" * 20_000, Spoken(QUERY)),
        (b"/service/A/operation/Do", b"", [SMITHY], b"", Spoken(CBOR, "Do", "A")),
        (b"/service/A/operation/Do", b"", [], b"", Spoken(REST_JSON)),
        (b"/service/A/operation/", b"", [SMITHY], b"", Spoken(REST_JSON)),
        (b"/2015-03-31/functions", b"", [], b"", Spoken(REST_JSON)),
    ],
)
def test_how_a_request_is_written(path: bytes, query: bytes, headers: Any, body: bytes, expected: Spoken) -> None:
    assert spoken(path, query, headers, body) == expected


pieces = st.lists(st.binary(max_size=30) | st.sampled_from([b"Action=", b"&", b"/service/", b"."]), max_size=4)
joined = pieces.map(b"".join)


@CALM
@given(joined, joined, st.lists(st.tuples(st.sampled_from([b"x-amz-target", *FORM[:1], *SMITHY[:1]]), joined)), joined)
def test_no_input_makes_it_raise(path: bytes, query: bytes, headers: Any, body: bytes) -> None:
    said = spoken(path, query, [FORM, *headers], body)
    assert said.operation is None or said.operation.isidentifier() or said.operation[0].isdigit()
    failure(said, WireError("Code", "text", status=400), "id")


@pytest.mark.parametrize("protocol", [JSON, QUERY, EC2, REST_JSON, REST_XML, CBOR])
def test_botocore_reads_the_error(protocol: str) -> None:
    error = WireError("SomeCode", 'less < more & "é"', status=418)
    answer = failure(Spoken(protocol), error, "the-id")
    headers = HeadersDict()
    for name, value in answer.headers:
        headers[name.decode()] = value.decode()
    parser = botocore.parsers.create_parser(protocol)
    read = parser.parse({"status_code": answer.status, "headers": headers, "body": answer.body}, None)
    assert (read["Error"]["Code"], read["Error"]["Message"]) == ("SomeCode", 'less < more & "é"')
    assert read["ResponseMetadata"]["HTTPStatusCode"] == 418
    assert read["ResponseMetadata"]["RequestId"] == "the-id"


def test_json_answers_in_the_version_it_was_asked_in() -> None:
    answer = failure(Spoken(JSON, content_type=b"application/x-amz-json-1.0"), WireError("C"), "id")
    assert dict(answer.headers)[b"Content-Type"] == b"application/x-amz-json-1.0"
