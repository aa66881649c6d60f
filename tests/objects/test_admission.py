"""What is refused: every subresource and header that is not on the list, hostile XML, and names that cannot be."""

from __future__ import annotations

import re

import pytest

from mooring.objects.admission import OPERATIONS
from mooring.objects.service import HANDLERS
from tests.objects.conftest import ObjectsServer, exchange
from tests.objects.test_bodies import head
from tests.objects.test_objects import code_of

REFUSED = ("NotImplemented", 501)

OF_OBJECTS = [
    ("put_object_acl", {"ACL": "private"}),
    ("get_object_acl", {}),
    ("put_object_retention", {"Retention": {"Mode": "GOVERNANCE"}}),
    ("put_object_legal_hold", {"LegalHold": {"Status": "ON"}}),
    ("get_object_attributes", {"ObjectAttributes": ["ETag"]}),
    ("get_object_torrent", {}),
    ("restore_object", {"RestoreRequest": {"Days": 1}}),
    (
        "select_object_content",
        {
            "Expression": "SELECT 1",
            "ExpressionType": "SQL",
            "InputSerialization": {"CSV": {}},
            "OutputSerialization": {"CSV": {}},
        },
    ),
]
OF_BUCKETS = [
    ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    ("get_bucket_versioning", {}),
    ("put_bucket_policy", {"Policy": "{}"}),
    ("get_bucket_policy", {}),
    ("put_bucket_acl", {"ACL": "private"}),
    ("get_bucket_acl", {}),
    ("get_bucket_lifecycle_configuration", {}),
    ("delete_bucket_lifecycle", {}),
    ("get_bucket_cors", {}),
    ("delete_bucket_cors", {}),
    ("get_bucket_notification_configuration", {}),
    ("get_bucket_replication", {}),
    ("get_bucket_website", {}),
    ("get_bucket_logging", {}),
    ("get_object_lock_configuration", {}),
    ("list_object_versions", {}),
]
OF_PUTS = [
    {"ServerSideEncryption": "aws:kms:dsse"},
    {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    {"ACL": "public-read"},
    {"GrantRead": "id=1"},
    {"StorageClass": "GLACIER"},
    {"WebsiteRedirectLocation": "/x"},
    {"ObjectLockMode": "GOVERNANCE"},
    {"WriteOffsetBytes": 0},
]


def test_every_operation_of_the_list_has_a_handler() -> None:
    assert HANDLERS.keys() == {operation.name for operation in OPERATIONS}


@pytest.mark.parametrize(("operation", "arguments"), OF_OBJECTS, ids=[name for name, _ in OF_OBJECTS])
def test_other_subresources_of_an_object_leave_it_alone(
    server: ObjectsServer, bucket: str, operation: str, arguments: dict
) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"precious")
    assert code_of(getattr(s3, operation), Bucket=bucket, Key="k", **arguments) == REFUSED
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"precious"


@pytest.mark.parametrize(("operation", "arguments"), OF_BUCKETS, ids=[name for name, _ in OF_BUCKETS])
def test_other_subresources_of_a_bucket(server: ObjectsServer, bucket: str, operation: str, arguments: dict) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="k", Body=b"precious")
    assert code_of(getattr(s3, operation), Bucket=bucket, **arguments) == REFUSED
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"precious"


@pytest.mark.parametrize(
    "arguments", OF_PUTS, ids=[next(iter(each)) + str(number) for number, each in enumerate(OF_PUTS)]
)
def test_a_put_that_asks_for_more_is_refused_whole(server: ObjectsServer, bucket: str, arguments: dict) -> None:
    s3 = server.client()
    assert code_of(s3.put_object, Bucket=bucket, Key="k", Body=b"x", **arguments) == REFUSED
    assert code_of(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_what_changes_nothing_is_taken(server: ObjectsServer, bucket: str) -> None:
    account = server.settings.account.id
    s3 = server.client()
    s3.put_object(
        Bucket=bucket, Key="k", Body=b"x", ACL="private", StorageClass="STANDARD", ExpectedBucketOwner=account
    )
    stranger = {"Bucket": bucket, "Key": "k", "ExpectedBucketOwner": "999999999999"}
    assert code_of(s3.get_object, **stranger) == ("AccessDenied", 403)


@pytest.mark.parametrize(
    "request_line",
    [
        "PATCH /{}/k",
        "OPTIONS /{}/k",
        "POST /{}/k",
        "PUT /{}/k?uploadId=1",
        "GET /{}/k?versionId=1",
        "DELETE /",
        "TRACE /",
    ],
)
def test_other_methods(server: ObjectsServer, bucket: str, request_line: str) -> None:
    raw = head(bucket, "k", "Content-Length: 0").partition(b"\r\n")[2]
    status, answer = exchange(server.connect(), f"{request_line.format(bucket)} HTTP/1.1\r\n".encode() + raw)
    assert status in (501, 405)
    assert re.search(rb"<Error><Code>(NotImplemented|MethodNotAllowed)</Code>.*<RequestId>[0-9A-F]{16}<", answer)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<Delete>",
        b"not xml",
        b"<Other/>",
        b"<Delete></Delete>",
        b"<Delete><Object></Object></Delete>",
        b"<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        b'<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Delete><Object><Key>&b;</Key></Object></Delete>',
        b'<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b'<?xml version="1.0" encoding="made-up"?><Delete/>',
        b'<?xml version="1.0" encoding="utf-7"?><Delete></Delete>',
        b'<?xml version="1.0" encoding="idna"?><Delete></Delete>',
        b'<?xml version="1.0" encoding="hex"?><Delete></Delete>',
        b'<?xml version="1.0" encoding="utf-16"?><Delete></Delete>',
        b"<Delete>" + b"<x>" * 500 + b"</x>" * 500 + b"</Delete>",
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
        b"<Delete>" + b" " * (5 << 20) + b"</Delete>",
        b"\xff\xfe\x00",
    ],
    ids=range(18),
)
def test_hostile_documents(server: ObjectsServer, bucket: str, document: bytes) -> None:
    request = head(bucket, "?delete", f"Content-Length: {len(document)}", method="POST")
    request = request.replace(b"/?delete", b"?delete")
    status, answer = exchange(server.connect(), request + document)
    assert (status, b"<Code>MalformedXML</Code>" in answer) == (400, True)


@pytest.mark.parametrize(
    "name", ["ab", "A-Upper", "a..b", "192.168.0.1", "-start", "end-", "with_under", "a" * 64, "..", "%2e%2e"]
)
def test_bucket_names(server: ObjectsServer, name: str) -> None:
    request = head(name, "", "Content-Length: 0").replace(f"/{name}/".encode(), f"/{name}".encode())
    status, answer = exchange(server.connect(), request)
    assert (status, b"InvalidBucketName" in answer) == (400, True)
    listing = request.replace(b"PUT ", b"GET ")
    assert exchange(server.connect(), listing)[0] == 404


@pytest.mark.parametrize(
    "target",
    [
        "/{}/%ff%fe",
        "/{}/" + "k" * 1025,
        "/{}/" + "k" * 256 + "/x",
        "/{}/" + "%00" * 100,
        "no-slash",
        "/{}/k?max-keys=%ff",
    ],
)
def test_names_that_cannot_be_are_refused_in_words(server: ObjectsServer, bucket: str, target: str) -> None:
    raw = head(bucket, "k", "Content-Length: 0").partition(b"\r\n")[2]
    status, answer = exchange(server.connect(), f"PUT {target.format(bucket)} HTTP/1.1\r\n".encode() + raw)
    assert status == 400
    assert b"<Error><Code>" in answer


def test_a_response_header_cannot_be_smuggled_in(server: ObjectsServer, bucket: str) -> None:
    server.client().put_object(Bucket=bucket, Key="k", Body=b"x")
    request = head(bucket, "k?response-content-type=a%0d%0ax-evil:1", method="GET")
    status, answer = exchange(server.connect(), request)
    assert (status, b"InvalidArgument" in answer) == (400, True)


def test_a_head_that_is_too_large(server: ObjectsServer, bucket: str) -> None:
    status, answer = exchange(server.connect(), head(bucket, "k", "x: " + "y" * 60_000))
    assert (status, b"InvalidRequest" in answer) == (400, True)


def test_metadata_is_bounded(server: ObjectsServer, bucket: str) -> None:
    put = server.client().put_object
    assert code_of(put, Bucket=bucket, Key="k", Body=b"", Metadata={"m": "x" * 2100}) == ("MetadataTooLarge", 400)


@pytest.mark.parametrize(
    ("request_line", "says"),
    [
        ("GET /{}?versioning", b"GET ?versioning is not implemented by Mooring"),
        ("PUT /{}?acl", b"PUT ?acl is not implemented by Mooring"),
        ("DELETE /{}?location", b"DELETE ?location is not implemented by Mooring"),
        ("GET /{}/k?versionId=1", b"GET ?versionId is not implemented by Mooring"),
        ("POST /{}/k?restore", b"POST ?restore is not implemented by Mooring"),
        ("POST /{}/k", b"POST of this resource without a subresource is not implemented by Mooring"),
        ("PUT /{}/k?uploadId=1", b"&quot;uploadId&quot; with PutObject is not implemented by Mooring"),
        ("GET /{}/k?max-keys=1", b"&quot;max-keys&quot; with GetObject is not implemented by Mooring"),
    ],
)
def test_a_refusal_names_what_was_asked_for(server: ObjectsServer, bucket: str, request_line: str, says: bytes) -> None:
    raw = head(bucket, "k", "Content-Length: 0").partition(b"\r\n")[2]
    status, answer = exchange(server.connect(), f"{request_line.format(bucket)} HTTP/1.1\r\n".encode() + raw)
    assert (status, says in answer) == (501, True)


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ("x-amz-storage-class: STANDARD_IA", b"(--storage-class in the AWS CLI) or give it as STANDARD."),
        ("x-amz-acl: public-read", b"(--acl in the AWS CLI) or give it as private or bucket-owner-full-control."),
        ("x-amz-server-side-encryption: aws:kms:dsse", b"(--sse in the AWS CLI) or give it as AES256 or aws:kms."),
    ],
)
def test_a_refused_value_says_what_to_do(server: ObjectsServer, bucket: str, header: str, advice: bytes) -> None:
    status, answer = exchange(server.connect(), head(bucket, "k", header, "Content-Length: 0"))
    assert status == 501
    assert f"{header} is not implemented by Mooring".encode() in answer
    assert b"Leave the header out " + advice in answer
