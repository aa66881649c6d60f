"""Records: AWS's schema to the byte, and every body can be had back from one."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.data_capture.records import PIECE, RecordForm
from mooring.hosting.capturing import CaptureRoute

BOTH = CaptureRoute("b", "", 100, True, True, ("text/csv",), ("application/json", "application/jsonlines"))
NOW = 1650241308.9
LIMIT = 1 << 20
TYPES = st.sampled_from(["text/csv", "TEXT/CSV; charset=utf-8", "application/json", "application/x-npy", "", None])


def made(
    body: bytes,
    reply: bytes = b"",
    *,
    capture: CaptureRoute = BOTH,
    limit: int = LIMIT,
    pieces: bool = False,
    asked_type: str | None = "text/csv",
    reply_type: str | None = "application/json",
    failed: bool = False,
    **headers: str,
) -> bytes:
    asked = {f"x-amzn-sagemaker-{name.replace('_', '-')}".encode(): value.encode() for name, value in headers.items()}
    if asked_type is not None:
        asked[b"content-type"] = asked_type.encode()
    replied = None if failed else [(b"server", b"x")]
    if replied is not None and reply_type is not None:
        replied.append((b"content-type", reply_type.encode()))
    form = RecordForm(capture, limit)
    if pieces:
        return b"".join(form.pieces(asked, body, replied, reply, NOW))
    return form.line(asked, body, replied, reply, NOW)


def restored(side: dict[str, Any]) -> bytes:
    data: str = side["data"]
    return base64.b64decode(data, validate=True) if side["encoding"] == "BASE64" else data.encode()


def test_a_record_is_awss_to_the_byte() -> None:
    line = made(b"132,10,182.9", b"0.0363", reply_type="text/csv; charset=utf-8", inference_id="my-id").decode()
    event_id = json.loads(line)["eventMetadata"]["eventId"]
    assert line == (
        '{"captureData":{"endpointInput":{"observedContentType":"text/csv","mode":"INPUT","data":"132,10,182.9",'
        '"encoding":"CSV"},"endpointOutput":{"observedContentType":"text/csv; charset=utf-8","mode":"OUTPUT",'
        f'"data":"0.0363","encoding":"CSV"}}}},"eventMetadata":{{"eventId":"{event_id}","inferenceId":"my-id",'
        '"inferenceTime":"2022-04-18T00:21:48Z"},"eventVersion":"0"}\n'
    )


def test_custom_attributes_are_a_list() -> None:
    found = json.loads(made(b"", custom_attributes='trace="1"; b'))
    assert found["eventMetadata"]["customAttributes"] == ['trace="1"; b']
    assert list(json.loads(made(b"", custom_attributes="a", inference_id="b"))["eventMetadata"]) == [
        "eventId",
        "inferenceId",
        "customAttributes",
        "inferenceTime",
    ]


@pytest.mark.parametrize("pieces", [False, True])
def test_sides_are_those_that_are_wanted(pieces: bool) -> None:
    only_input = CaptureRoute("b", "", 100, True, False)
    only_output = CaptureRoute("b", "", 100, False, True)
    sides = [
        json.loads(made(b"a", b"b", capture=each, pieces=pieces, failed=failed))["captureData"]
        for each in (only_input, only_output)
        for failed in (False, True)
    ]
    assert [list(each) for each in sides] == [["endpointInput"], ["endpointInput"], ["endpointOutput"], []]


@pytest.mark.parametrize("pieces", [False, True])
def test_a_failed_invocation_has_no_output(pieces: bool) -> None:
    assert list(json.loads(made(b"a", failed=True, pieces=pieces))["captureData"]) == ["endpointInput"]


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/csv", "CSV"),
        ("Text/CSV ; header=present", "CSV"),
        ("application/json", "JSON"),
        ("application/jsonlines", "JSON"),
        ("application/x-npy", "BASE64"),
        ("text/plain", "BASE64"),
        (None, "BASE64"),
    ],
)
def test_the_type_says_the_encoding(content_type: str | None, encoding: str) -> None:
    side = json.loads(made(b"1,2\n", asked_type=content_type))["captureData"]["endpointInput"]
    assert side["encoding"] == encoding
    assert side.get("observedContentType") == content_type
    assert restored(side) == b"1,2\n"


def test_without_named_types_all_is_base64() -> None:
    plain = CaptureRoute("b", "", 100, True, True)
    data = json.loads(made(b"1", b"2", capture=plain))["captureData"]
    assert [side["encoding"] for side in data.values()] == ["BASE64", "BASE64"]


def test_text_that_is_not_utf_8_is_kept_as_bytes() -> None:
    side = json.loads(made(b"caf\xe9,1"))["captureData"]["endpointInput"]
    assert (side["encoding"], restored(side)) == ("BASE64", b"caf\xe9,1")


@given(st.binary(max_size=300), st.binary(max_size=300), TYPES, TYPES, st.booleans())
def test_every_body_can_be_had_back(
    body: bytes, reply: bytes, asked_type: str | None, reply_type: str | None, pieces: bool
) -> None:
    line = made(body, reply, asked_type=asked_type, reply_type=reply_type, pieces=pieces)
    assert line.index(b"\n") == len(line) - 1
    data = json.loads(line)["captureData"]
    assert (restored(data["endpointInput"]), restored(data["endpointOutput"])) == (body, reply)


@given(st.text(), st.text(max_size=64).filter(lambda text: text.isascii() and text.isprintable()))
def test_a_record_is_one_line_to_every_reader(text: str, inference_id: str) -> None:
    line = made(text.encode("utf-8", "surrogatepass"), inference_id=inference_id).decode()
    assert line.splitlines() == [line[:-1]]
    assert json.loads(line)["eventMetadata"]["inferenceId"] == inference_id


@given(st.text(min_size=1, max_size=50), st.integers(0, 60))
def test_a_long_body_is_cut_between_characters(text: str, limit: int) -> None:
    body = text.encode("utf-8", "surrogatepass")
    side = json.loads(made(body, limit=limit))["captureData"]["endpointInput"]
    kept = restored(side)
    assert body.startswith(kept)
    if side["encoding"] == "CSV":
        assert min(len(body), limit) - 3 <= len(kept) <= limit
    else:
        assert kept == body[:limit]


@given(st.integers(0, 3), st.sampled_from([b"a", "é".encode(), "€".encode(), "\U0001f600".encode(), b"\xff"]), TYPES)
def test_pieces_are_the_same_record(extra: int, unit: bytes, content_type: str | None) -> None:
    body = unit * (PIECE // len(unit)) + b"x" * extra
    side = json.loads(made(body, asked_type=content_type, pieces=True))["captureData"]["endpointInput"]
    assert restored(side) == body


def test_event_ids_are_version_4_uuids_and_differ() -> None:
    ids = [json.loads(made(b""))["eventMetadata"]["eventId"] for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(uuid.UUID(each).version == 4 and str(uuid.UUID(each)) == each for each in ids)
    assert all(uuid.UUID(each).variant == uuid.RFC_4122 for each in ids)
