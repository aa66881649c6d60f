"""Operations on multipart uploads."""

from __future__ import annotations

import re
import time

from mooring.objects import answers, tagging, xml
from mooring.objects.answers import Answer
from mooring.objects.calls import Call
from mooring.objects.conditions import WriteCondition, check_read
from mooring.objects.digests import Digests
from mooring.objects.errors import S3Error
from mooring.objects.files import copy_bytes, hash_range
from mooring.objects.multipart import MOST_PARTS, Upload, etag_of
from mooring.objects.object_operations import checksum_headers, copied, copy_span, source_of
from mooring.objects.storage import StoredObject

PAGE = 1000
_MD5 = re.compile(r"[0-9a-f]{32}")
_COMPLETE_LIMIT = 4 * 1024 * 1024


def create_multipart_upload(call: Call) -> Answer:
    upload = call.uploads.create(call.bucket, call.key, call.kept_headers(), tagging.of_header(call), time.time())
    fields: list[xml.Field] = [("Bucket", call.bucket), ("Key", call.key), ("UploadId", upload.id)]
    return answers.of_xml("InitiateMultipartUploadResult", fields)


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
    with call.storage.stage() as staged:
        received = call.body.receive(staged)
        call.uploads.add_part(upload, number, staged, received.md5)
    headers = checksum_headers(received.checksums)
    headers.pop("x-amz-checksum-type", None)
    return Answer(200, {"etag": f'"{received.md5}"'} | headers)


def upload_part_copy(call: Call) -> Answer:
    number, upload = _part_number(call), _upload(call)
    call.body.read(0)
    with call.storage.opened(*source_of(call)) as (fd, found), call.storage.stage() as staged:
        check_read(call.head.headers, found.record.etag, found.modified_s, "x-amz-copy-source-")
        offset, count = copy_span(call, found.size)
        copy_bytes(fd, staged.fd, offset, count)
        digests = Digests()
        hash_range(staged.fd, 0, count, digests)
        call.uploads.add_part(upload, number, staged, digests.md5)
    return copied("CopyPartResult", digests.md5, int(time.time()))


def complete_multipart_upload(call: Call) -> Answer:
    condition = WriteCondition.of(call.head.headers)
    request = xml.parse(call.body.read(_COMPLETE_LIMIT), "CompleteMultipartUpload")
    named = [_named_part(part) for part in request.all("Part")]
    if len(named) > MOST_PARTS:
        raise S3Error("MalformedXML")
    try:
        stored = call.uploads.complete(_upload(call), named, condition)
    except S3Error as error:
        if error.code != "NoSuchUpload" or not (done := _completed_before(call, named)):
            raise
        stored = done
    return answers.of_xml(
        "CompleteMultipartUploadResult",
        [
            ("Location", f"{call.scheme}://{call.head.headers.get('host', 'localhost')}/{call.bucket}/{call.key}"),
            ("Bucket", call.bucket),
            ("Key", call.key),
            ("ETag", f'"{stored.record.etag}"'),
        ],
    )


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
