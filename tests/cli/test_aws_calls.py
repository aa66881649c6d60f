"""The command line's own AWS calls: SageMaker in JSON with its errors, S3 from a file of any size."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from mooring.cli import s3 as s3_module
from mooring.cli.aws import ATTEMPTS, SageMaker
from mooring.cli.s3 import S3, s3_of
from mooring.errors import AlreadyExists, LimitExceeded, MooringError, NotFound, Refused, Unavailable


def test_a_call_says_operation_region_and_invocation(fake) -> None:
    fake.answers["POST", "/"] = lambda query, body: (200, {"ModelArn": "arn"})
    assert SageMaker(fake.url, "eu-west-1").call("CreateModel", ModelName="ü") == {"ModelArn": "arn"}
    _, _, headers, body = fake.asked[-1]
    assert json.loads(body) == {"ModelName": "ü"}
    assert headers["x-amz-target"] == "SageMaker.CreateModel"
    assert "/eu-west-1/sagemaker/aws4_request" in headers["authorization"]
    assert len(headers["amz-sdk-invocation-id"]) == 36


def test_a_call_is_repeated_while_control_is_away_as_the_same_call(fake) -> None:
    answers = [(503, {"__type": "ServiceUnavailable", "message": "away"})] * 2 + [(200, {})]
    fake.answers["POST", "/"] = lambda query, body: answers.pop(0)
    pauses: list[float] = []
    assert SageMaker(fake.url, "r", pauses.append).call("DeleteModel", ModelName="m") == {}
    assert len({headers["amz-sdk-invocation-id"] for _, _, headers, _ in fake.asked}) == 1
    assert pauses == sorted(set(pauses))
    assert len(pauses) == 2


def test_control_that_stays_away_is_an_error(fake) -> None:
    fake.answers["POST", "/"] = lambda query, body: (503, {"__type": "ServiceUnavailable", "message": "away"})
    with pytest.raises(Unavailable, match="away"):
        SageMaker(fake.url, "r", lambda seconds: None).call("DeleteModel", ModelName="m")
    assert len(fake.asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("ValidationException", 'Could not find model "arn".', NotFound),
        ("ValidationException", 'Cannot create already existing model "arn".', AlreadyExists),
        ("com.amazonaws#ValidationException", "1 validation error detected", Refused),
        ("ResourceLimitExceeded", "too many", LimitExceeded),
        ("InternalFailure", "oh", MooringError),
    ],
)
def test_errors_keep_awss_words(fake, code: str, message: str, kind: type[MooringError]) -> None:
    fake.answers["POST", "/"] = lambda query, body: (400, {"__type": code, "message": message})
    with pytest.raises(kind) as error:
        SageMaker(fake.url, "r").call("DescribeModel", ModelName="m")
    assert type(error.value) is kind
    assert str(error.value) == message
    if kind is NotFound:
        assert SageMaker(fake.url, "r").find("DescribeModel", ModelName="m") is None


def test_a_file_is_sent_with_its_length_and_digest(fake, tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "f").write_bytes(data)
    counts: list[int] = []
    fake.answers["PUT", "/bucket/a%20b/%C3%BC.tar.gz"] = lambda query, body: (200, b"")
    digest = hashlib.sha256(data).hexdigest()
    S3(fake.url, "us-east-1").put("bucket", "a b/ü.tar.gz", tmp_path / "f", digest, counts.append)
    _, _, headers, body = fake.asked[-1]
    assert body == data
    assert headers["content-length"] == str(len(data)) == str(sum(counts))
    assert "transfer-encoding" not in headers
    assert headers["x-amz-content-sha256"] == digest
    assert "/us-east-1/s3/aws4_request" in headers["authorization"]


def test_a_large_file_goes_in_parts(fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "LARGEST_PUT_BYTES", 10)
    monkeypatch.setattr(s3_module, "PART_BYTES", 4)
    (tmp_path / "f").write_bytes(b"0123456789ab+")
    parts: dict[str, bytes] = {}

    def part(query: str, body: bytes) -> tuple[int, bytes]:
        parts[parse_qs(query)["partNumber"][0]] = body
        return 200, b""

    uploaded = b"<r><UploadId>id&amp;1</UploadId></r>"
    fake.answers["POST", "/b/k"] = lambda query, body: (200, uploaded if query == "uploads=" else b"<r></r>")
    fake.answers["PUT", "/b/k"] = part
    S3(fake.url, "us-east-1").put("b", "k", tmp_path / "f", "unused", lambda count: None)
    assert parts == {"1": b"0123", "2": b"4567", "3": b"89ab", "4": b"+"}
    assert fake.asked[-1][1] == "/b/k?uploadId=id%261"
    assert fake.asked[-1][3].count(b"<PartNumber>") == 4


def test_parts_of_an_upload_that_failed_are_given_up(fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "LARGEST_PUT_BYTES", 1)
    (tmp_path / "f").write_bytes(b"0123")
    fake.answers["POST", "/b/k"] = lambda query, body: (200, b"<r><UploadId>u</UploadId></r>")
    fake.answers["PUT", "/b/k"] = lambda query, body: (
        500,
        b"<Error><Code>X</Code><Message>no &lt;room&gt;</Message></Error>",
    )
    fake.answers["DELETE", "/b/k"] = lambda query, body: (204, b"")
    with pytest.raises(MooringError, match="^no <room>$"):
        S3(fake.url, "us-east-1").put("b", "k", tmp_path / "f", "unused", lambda count: None)
    assert fake.asked[-1][:2] == ("DELETE", "/b/k?uploadId=u")


def test_a_completion_that_fails_after_its_status_is_an_error(fake, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(s3_module, "LARGEST_PUT_BYTES", 1)
    (tmp_path / "f").write_bytes(b"0123")
    failed = b'<?xml version="1.0"?><Error><Code>InternalError</Code></Error>'
    begun = b"<r><UploadId>u</UploadId></r>"
    fake.answers["POST", "/b/k"] = lambda query, body: (200, begun if query == "uploads=" else failed)
    fake.answers["PUT", "/b/k"] = lambda query, body: (200, b"")
    with pytest.raises(MooringError, match="^InternalError$"):
        S3(fake.url, "us-east-1").put("b", "k", tmp_path / "f", "unused", lambda count: None)


def test_buckets_outside_the_first_region_say_where_they_are(fake) -> None:
    fake.answers["PUT", "/b"] = lambda query, body: (200, b"")
    S3(fake.url, "us-east-1").make_bucket("b")
    assert fake.asked[-1][3] == b""
    S3(fake.url, "eu-west-1").make_bucket("b")
    assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in fake.asked[-1][3]


def test_what_is_there(fake) -> None:
    fake.answers["HEAD", "/b/k"] = lambda query, body: (200, b"12345")
    s3 = S3(fake.url, "us-east-1")
    assert (s3.size_of("b", "k"), s3.size_of("b", "none"), s3.has_bucket("none")) == (5, None, False)
    fake.answers["GET", "/b"] = lambda query, body: (200, b"<r><Key>a/%C3%BC</Key><Key>a/b&amp;c</Key></r>")
    assert s3.keys("b", "a/", 10) == ["a/ü", "a/b&c"]
    with pytest.raises(NotFound), s3.reading("b", "none"):
        pass


def test_another_s3_gets_real_signatures(fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    (tmp_path / "f").write_bytes(b"data")
    fake.answers["PUT", "/b/k"] = lambda query, body: (200, b"")
    s3 = s3_of("http://127.0.0.1:8080", "eu-west-1", {"AWS_ENDPOINT_URL_S3": f"{fake.url}/"})
    digest = hashlib.sha256(b"data").hexdigest()
    s3.put("b", "k", tmp_path / "f", digest, lambda count: None)
    headers = fake.asked[-1][2]
    assert headers["x-amz-content-sha256"] == digest
    assert "Credential=AKIDEXAMPLE/" in headers["authorization"]
    assert "Signature=000" not in headers["authorization"]
    assert s3_of(fake.url, "r", {"AWS_ENDPOINT_URL_S3": f"{fake.url}/"}).url == fake.url


def test_no_server_is_one_line(fake, tmp_path: Path) -> None:
    fake.close()
    (tmp_path / "f").write_bytes(bytes(10_000_000))
    for ask in (
        lambda: SageMaker(fake.url, "r").call("ListModels"),
        lambda: S3(fake.url, "r").put("b", "k", tmp_path / "f", "d", lambda count: None),
    ):
        with pytest.raises(Unavailable, match=f"^no server answers at {fake.url}: Connection refused$"):
            ask()


def test_a_server_that_refuses_a_body_before_it_has_read_it_is_heard(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(20_000_000))
    refused = b"<Error><Message>There is no space left.</Message></Error>"
    answer = b"HTTP/1.1 500 X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(refused), refused)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1000)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            s3 = S3(f"http://127.0.0.1:{listener.getsockname()[1]}", "r")
            with pytest.raises(MooringError, match=r"^There is no space left\.$|no server answers"):
                s3.put("b", "k", tmp_path / "f", "d", lambda count: None)
        finally:
            thread.join()
