"""Operations on multipart uploads."""

from __future__ import annotations

import re
import time

from mooring.objects import answers, tagging, xml
from mooring.objects.answers import Answer
from mooring.objects.calls import Call
from mooring.objects.conditions import WriteCondition, check_read
from mooring.objects.content import content_of
from mooring.objects.encryption import encryption_of
from mooring.objects.errors import S3Error
from mooring.objects.multipart import MOST_PARTS, Upload, etag_of
from mooring.objects.object_operations import (
    checksum_headers,
    copied,
    copy_span,
    encryption_headers,
    source_of,
)
from mooring.objects.storage import StoredObject

PAGE = 1000
_MD5 = re.compile(r"[0-9a-f]{32}")
_COMPLETE_LIMIT = 4 * 1024 * 1024


def create_multipart_upload(call: Call) -> Answer:
    kept, tags = call.kept_headers(), tagging.of_header(call)
    call.storage.check(call.bucket, call.key, WriteCondition())
    sealing = call.sealing()
    encryption = None if sealing is None else sealing.encryption
    upload = call.uploads.create(call.bucket, call.key, kept, tags, time.time(), encryption)
    fields: list[xml.Field] = [("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload.id)]
    answer = answers.of_xml("InitiateMultipartUploadResult", fields)
    answer.headers |= _told(upload)
    return answer


def _told(upload: Upload) -> dict[str, str]:
    """How the upload's object is encrypted, as headers."""
    return {} if upload.encryption is None else upload.encryption.headers()


def _data_key(call: Call, upload: Upload) -> bytes | None:
    return None if upload.encryption is None else call.data_key(upload.encryption)


def _etag(upload: Upload, data_key: bytes | None, md5: str) -> str:
    return md5 if upload.encryption is None or data_key is None else upload.encryption.etag(data_key, md5)


def _upload(call: Call) -> Upload:
    return call.uploads.find(call.bucket, call.key, call.query("uploadId"))


def _part_number(call: Call) -> int:
    text = call.query("partNumber")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= number <= MOST_PARTS:
        raise S3Error("InvalidArgument", f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive")
    return number


def upload_part(call: Call) -> Answer:
    number, upload = _part_number(call), _upload(call)
    data_key = _data_key(call, upload)
    with call.storage.stage(data_key) as staged:
        received = call.body.receive(staged)
        staged.finish()
        etag = _etag(upload, data_key, received.md5)
        call.uploads.add_part(upload, number, staged, etag, received.size)
    headers = checksum_headers(received.checksums) | _told(upload)
    headers.pop("x-amz-checksum-type", None)
    return Answer(200, {"etag": f'"{etag}"'} | headers)


def upload_part_copy(call: Call) -> Answer:
    number, upload = _part_number(call), _upload(call)
    call.body.read(0)
    data_key = _data_key(call, upload)
    with call.storage.opened(*source_of(call)) as (fd, found), call.storage.stage(data_key) as staged:
        check_read(call.head.headers, found.record.etag, found.modified_s, "x-amz-copy-source-")
        offset, count = copy_span(call, found.size)
        encryption = encryption_of(found.record)
        content = content_of(fd, found, encryption, call.data_key(encryption))
        md5 = content.copy_hashed(staged, offset, count)
        staged.finish()
        etag = _etag(upload, data_key, md5)
        call.uploads.add_part(upload, number, staged, etag, count)
    answer = copied("CopyPartResult", etag, int(time.time()))
    answer.headers |= _told(upload)
    return answer


def complete_multipart_upload(call: Call) -> Answer:
    condition = WriteCondition.of(call.head.headers)
    request = xml.parse(call.body.read(_COMPLETE_LIMIT), "CompleteMultipartUpload")
    named = [_named_part(part) for part in request.all("Part")]
    if len(named) > MOST_PARTS:
        raise S3Error("MalformedXML")
    try:
        upload = _upload(call)
        stored = call.uploads.complete(upload, named, condition, _data_key(call, upload))
    except S3Error as error:
        if error.code != "NoSuchUpload" or not (done := _completed_before(call, named)):
            raise
        stored = done
    answer = answers.of_xml(
        "CompleteMultipartUploadResult",
        [
            ("Location", f"{call.scheme}://{call.head.headers.get('host', 'localhost')}/{call.bucket}/{call.key}"),
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("ETag", f'"{stored.record.etag}"'),
        ],
    )
    answer.headers |= encryption_headers(stored.record)
    return answer


def _completed_before(call: Call, named: list[tuple[int, str]]) -> StoredObject | None:
    """The object, when it consists of just these parts: the client repeats a completion whose answer it missed."""
    etags = [etag.strip('"') for _, etag in named]
    if not etags or not all(_MD5.fullmatch(etag) for etag in etags):
        return None
    try:
        found = call.storage.stat(call.bucket, call.key)
    except S3Error:
        return None
    return found if found.record.etag == etag_of(etags) else None


def _named_part(part: xml.Element) -> tuple[int, str]:
    number, etag = (part.value("PartNumber") or "").strip(), part.value("ETag")
    if not (number.isascii() and number.isdigit() and len(number) < 6) or not etag:
        raise S3Error("MalformedXML")
    return int(number), etag.strip()


def abort_multipart_upload(call: Call) -> Answer:
    call.uploads.abort(_upload(call))
    return Answer(204)


def list_parts(call: Call) -> Answer:
    upload = _upload(call)
    most, marker = call.number("max-parts", PAGE, PAGE), call.number("part-number-marker", 0, MOST_PARTS)
    waiting = [part for part in call.uploads.parts(upload) if part.number > marker]
    shown = waiting[:most]
    parts: list[xml.Field] = [
        (
            "Part",
            [
                ("PartNumber", part.number),
                ("LastModified", answers.iso_date(part.modified_s)),
                ("ETag", f'"{part.etag}"'),
                ("Size", part.size),
            ],
        )
        for part in shown
    ]
    truncated = len(waiting) > len(shown)
    fields: list[xml.Field] = [
        ("Bucket", call.bucket),
        ("Key", call.encoded(call.key)),
        ("UploadId", upload.id),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", shown[-1].number if truncated and shown else None),
        ("MaxParts", most),
        ("IsTruncated", truncated),
        *parts,
        ("StorageClass", "STANDARD"),
    ]
    return answers.of_xml("ListPartsResult", fields)


def list_multipart_uploads(call: Call) -> Answer:
    most, prefix, delimiter = call.number("max-uploads", PAGE, PAGE), call.query("prefix"), call.query("delimiter")
    if delimiter:
        raise S3Error("NotImplemented", "A delimiter with ListMultipartUploads is not implemented.")
    marker, id_marker = call.query("key-marker"), call.query("upload-id-marker")
    waiting = [each for each in call.uploads.all(call.bucket) if each.key.startswith(prefix)]
    if marker:
        waiting = [each for each in waiting if _is_after(each, marker, id_marker, waiting)]
    shown = waiting[:most]
    truncated = len(waiting) > len(shown)
    uploads: list[xml.Field] = [
        (
            "Upload",
            [
                ("Key", call.encoded(each.key)),
                ("UploadId", each.id),
                ("Initiated", answers.iso_date(each.started_s)),
                ("StorageClass", "STANDARD"),
            ],
        )
        for each in shown
    ]
    fields: list[xml.Field] = [
        ("Bucket", call.bucket),
        ("KeyMarker", call.encoded(marker)),
        ("UploadIdMarker", id_marker),
        ("NextKeyMarker", call.encoded(shown[-1].key) if truncated and shown else None),
        ("NextUploadIdMarker", shown[-1].id if truncated and shown else None),
        ("Prefix", call.encoded(prefix)),
        ("EncodingType", call.query("encoding-type") or None),
        ("MaxUploads", most),
        ("IsTruncated", truncated),
        *uploads,
    ]
    return answers.of_xml("ListMultipartUploadsResult", fields)


def _is_after(upload: Upload, marker: str, id_marker: str, among: list[Upload]) -> bool:
    if upload.key != marker:
        return upload.key.encode() > marker.encode()
    same = [each.id for each in among if each.key == marker]
    return id_marker in same and same.index(upload.id) > same.index(id_marker)
