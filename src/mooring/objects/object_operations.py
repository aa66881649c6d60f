"""Operations on objects: put, get, copy, delete."""

from __future__ import annotations

import os
import re
from urllib.parse import unquote_to_bytes

from mooring.objects import answers, tagging
from mooring.objects.answers import Answer
from mooring.objects.calls import Call
from mooring.objects.conditions import WriteCondition, check_read
from mooring.objects.content import Content, content_of, data_key_of, written
from mooring.objects.digests import CHECKSUM_PREFIX
from mooring.objects.encryption import HEADER, OWN, checksums_of, encryption_of
from mooring.objects.errors import S3Error, not_implemented
from mooring.objects.records import Record
from mooring.objects.requests import header_value
from mooring.objects.storage import Staged, StoredObject

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_DEFAULT_TYPE = "binary/octet-stream"


def put_object(call: Call) -> Answer:
    condition = WriteCondition.of(call.head.headers)
    call.storage.check(call.bucket, call.key, condition)
    headers, tags, sealing = call.kept_headers(), tagging.of_header(call), call.sealing()
    with call.storage.stage(data_key_of(sealing)) as staged:
        received = call.body.receive(staged)
        record = written(staged, sealing, received.md5, headers, received.checksums, tags)
        call.storage.commit(call.bucket, call.key, staged, record, condition)
    return Answer(200, {"etag": f'"{record.etag}"'} | checksum_headers(received.checksums) | encryption_headers(record))


def encryption_headers(record: Record) -> dict[str, str]:
    """How an object is encrypted, as headers."""
    encryption = encryption_of(record)
    return {} if encryption is None else encryption.headers()


def checksum_headers(checksums: dict[str, str]) -> dict[str, str]:
    """Checksums of an object as headers."""
    named = {CHECKSUM_PREFIX + name: value for name, value in checksums.items()}
    return named | {"x-amz-checksum-type": "FULL_OBJECT"} if named else {}


def get_object(call: Call) -> Answer:
    fd, found = call.storage.open_object(call.bucket, call.key)
    try:
        encryption = encryption_of(found.record)
        data_key = call.data_key(encryption)
        answer = _described(call, found, data_key)
        if encryption is not None:
            answer.content = content_of(fd, found, encryption, data_key)
    except BaseException:
        os.close(fd)
        raise
    answer.file = fd
    return answer


def head_object(call: Call) -> Answer:
    found = call.storage.stat(call.bucket, call.key)
    encryption = encryption_of(found.record)
    wanted = encryption is not None and encryption.checksums and _wants_checksums(call)
    answer = _described(call, found, call.data_key(encryption) if wanted else b"")
    answer.headers["content-length"] = str(answer.count)
    return answer


def _wants_checksums(call: Call) -> bool:
    return call.head.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"


def _checksums(found: StoredObject, data_key: bytes) -> dict[str, str]:
    encryption = encryption_of(found.record)
    return found.record.checksums if encryption is None else checksums_of(encryption, data_key)


def _described(call: Call, found: StoredObject, data_key: bytes) -> Answer:
    headers = call.head.headers
    check_read(headers, found.record.etag, found.modified_s)
    answer = Answer(200, {"content-type": _DEFAULT_TYPE} | found.record.headers, count=found.size)
    answer.headers |= {
        "etag": f'"{found.record.etag}"',
        "last-modified": answers.http_date(found.modified_s),
        "accept-ranges": "bytes",
    } | encryption_headers(found.record)
    if found.record.tags:
        answer.headers["x-amz-tagging-count"] = str(len(found.record.tags))
    for name, value in call.head.query.items():
        if name.startswith("response-"):
            answer.headers[name.removeprefix("response-")] = header_value(value, name)
    span = _span(headers.get("range"), found.size) if _range_holds(headers.get("if-range"), found) else None
    if span is not None:
        answer.status, answer.offset, answer.count = 206, span[0], span[1]
        answer.headers["content-range"] = f"bytes {span[0]}-{sum(span) - 1}/{found.size}"
    elif _wants_checksums(call):
        answer.headers |= checksum_headers(_checksums(found, data_key))
    return answer


def _range_holds(if_range: str | None, found: StoredObject) -> bool:
    return if_range is None or if_range in (f'"{found.record.etag}"', answers.http_date(found.modified_s))


def _span(value: str | None, size: int) -> tuple[int, int] | None:
    """Offset and count of a range; None for none, and for several or malformed ones, which S3 ignores."""
    matched = _RANGE.fullmatch(value.replace(" ", "")) if value else None
    if matched is None or not (matched[1] or matched[2]):
        return None
    if not matched[1]:
        first, last = max(0, size - int(matched[2])), size - 1
    else:
        first, last = int(matched[1]), min(int(matched[2] or size - 1), size - 1)
        if matched[2] and int(matched[2]) < first:
            return None
    if first >= size or last < first:
        raise S3Error("InvalidRange", RangeRequested=value or "", ActualObjectSize=str(size))
    return first, last - first + 1


def delete_object(call: Call) -> Answer:
    call.storage.delete(call.bucket, call.key, WriteCondition.of(call.head.headers))
    return Answer(204)


def source_of(call: Call) -> tuple[str, str]:
    """Bucket and key of x-amz-copy-source."""
    path, _, version = call.head.headers["x-amz-copy-source"].partition("?versionId=")
    if version not in ("", "null"):
        raise not_implemented("A version of a copy's source")
    try:
        bucket, _, key = unquote_to_bytes(path).decode().removeprefix("/").partition("/")
    except UnicodeDecodeError:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key") from None
    if bucket.startswith("arn:"):
        raise not_implemented("A copy's source by ARN")
    if not bucket or not key:
        raise S3Error("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    return bucket, key


def copy_object(call: Call) -> Answer:
    directive = call.head.headers.get("x-amz-metadata-directive", "COPY")
    tags_too = call.head.headers.get("x-amz-tagging-directive", "COPY") == "REPLACE"
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", "Unknown metadata directive.")
    source = source_of(call)
    if source == (call.bucket, call.key) and directive == "COPY" and not tags_too and HEADER not in call.head.headers:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
        )
    condition = WriteCondition.of(call.head.headers)
    call.storage.check(call.bucket, call.key, condition)
    call.body.read(0)
    replacing = call.kept_headers() if directive == "REPLACE" else None
    retagging = tagging.of_header(call) if tags_too else None
    sealing = call.sealing()
    with call.storage.opened(*source) as (fd, found), call.storage.stage(data_key_of(sealing)) as staged:
        check_read(call.head.headers, found.record.etag, found.modified_s, "x-amz-copy-source-")
        data_key = call.data_key(encryption_of(found.record))
        content = content_of(fd, found, encryption_of(found.record), data_key)
        md5 = _copied(content, found, staged)
        kept = found.record.headers if replacing is None else replacing
        tags = found.record.tags if retagging is None else retagging
        record = written(staged, sealing, md5, kept, _checksums(found, data_key), tags)
        stored = call.storage.commit(call.bucket, call.key, staged, record, condition)
    answer = copied("CopyObjectResult", stored.record.etag, stored.modified_s)
    answer.headers |= encryption_headers(record)
    return answer


def copied(name: str, etag: str, modified_s: int) -> Answer:
    """The answer of both copying operations."""
    return answers.of_xml(name, [("LastModified", answers.iso_date(modified_s)), ("ETag", f'"{etag}"')])


def _copied(content: Content, found: StoredObject, staged: Staged) -> str:
    """Copies an object; the copy's MD5, which is the ETag of what is one piece and not encrypted with KMS."""
    encryption = encryption_of(found.record)
    if "-" in found.record.etag or (encryption is not None and encryption.algorithm != OWN):
        return content.copy_hashed(staged, 0, found.size)
    content.copy(staged, 0, found.size)
    return found.record.etag


def copy_span(call: Call, size: int) -> tuple[int, int]:
    """Offset and count of x-amz-copy-source-range, which must lie within the source."""
    value = call.head.headers.get("x-amz-copy-source-range")
    if value is None:
        return 0, size
    matched = _RANGE.fullmatch(value)
    if matched is None or not matched[1] or not matched[2] or not int(matched[1]) <= int(matched[2]) < size:
        raise S3Error("InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last.")
    return int(matched[1]), int(matched[2]) - int(matched[1]) + 1
