"""Operations on buckets: create, delete, list."""

from __future__ import annotations

import base64
import binascii
import re

from mooring.objects import answers, xml
from mooring.objects.answers import Answer
from mooring.objects.calls import Call
from mooring.objects.conditions import WriteCondition
from mooring.objects.errors import S3Error
from mooring.objects.listing import ABOVE, Listing, Page
from mooring.objects.storage import StoredObject

PAGE = 1000
_DELETE_LIMIT = 4 * 1024 * 1024
_CREATE_LIMIT = 64 * 1024
_FIRST_REGION = "us-east-1"
"""S3's own region, which its answers do not name, and where a bucket may be created twice."""
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")


def list_buckets(call: Call) -> Answer:
    most = call.number("max-buckets", 10_000, 10_000)
    prefix, after = call.query("prefix"), call.query("continuation-token")
    found = [each for each in call.storage.buckets() if each[0].startswith(prefix) and each[0] > after]
    rows = found[:most]
    buckets: list[xml.Field] = [
        ("Bucket", [("Name", name), ("CreationDate", answers.iso_date(created))]) for name, created in rows
    ]
    more = rows[-1][0] if rows and len(found) > most else None
    return answers.of_xml(
        "ListAllMyBucketsResult",
        [("Owner", _owner(call)), ("Buckets", buckets), ("ContinuationToken", more), ("Prefix", prefix or None)],
    )


def create_bucket(call: Call) -> Answer:
    body = call.body.read(_CREATE_LIMIT)
    asked = _region_asked_for(xml.parse(body, "CreateBucketConfiguration")) if body else None
    if not call.storage.create_bucket(call.bucket, asked or call.region) and call.region != _FIRST_REGION:
        raise S3Error("BucketAlreadyOwnedByYou", BucketName=call.bucket)
    return Answer(200, {"location": f"/{call.bucket}"})


def _region_asked_for(configuration: xml.Element) -> str | None:
    for child in configuration.children:
        if child.name != "LocationConstraint":
            raise S3Error("NotImplemented", f"{child.name} with CreateBucket is not implemented.")
    region = configuration.value("LocationConstraint")
    if region and not _REGION.fullmatch(region):
        raise S3Error("InvalidLocationConstraint", LocationConstraint=region)
    return "eu-west-1" if region == "EU" else region  # its name of old


def _region_of(call: Call) -> str:
    """The bucket's region; of one that a person made as a directory, the account's."""
    return call.storage.region_of(call.bucket) or call.home


def head_bucket(call: Call) -> Answer:
    return Answer(200, {"x-amz-bucket-region": _region_of(call), "content-type": "application/xml"})


def delete_bucket(call: Call) -> Answer:
    call.storage.delete_bucket(call.bucket)
    return Answer(204)


def get_bucket_location(call: Call) -> Answer:
    region = _region_of(call)
    answer = answers.of_xml("LocationConstraint", [])
    if region != _FIRST_REGION:  # which has no name here
        answer.body = answer.body.replace(b"></", f">{region}</".encode())
    return answer


def list_objects(call: Call) -> Answer:
    marker, delimiter = call.query("marker"), call.query("delimiter")
    after = marker.encode()
    if delimiter and marker.startswith(call.query("prefix")) and marker.endswith(delimiter):
        after += ABOVE  # the marker is a group that the last page has shown
    page, most = _page(call, after)
    next_marker = call.encoded(page.last) if page.next_after is not None and delimiter else None
    fields: list[xml.Field] = [("Marker", call.encoded(marker)), ("NextMarker", next_marker)]
    return answers.of_xml("ListBucketResult", _result(call, page, most, fields, owner=True))


def list_objects_v2(call: Call) -> Answer:
    if call.query("list-type") != "2":
        raise S3Error("InvalidArgument", "Invalid list-type")
    token, start = call.head.query.get("continuation-token"), call.query("start-after")
    page, most = _page(call, start.encode() if token is None else _untoken(token))
    fields: list[xml.Field] = [
        ("StartAfter", call.encoded(start) if start else None),
        ("ContinuationToken", token),
        ("NextContinuationToken", None if page.next_after is None else _token(page.next_after)),
        ("KeyCount", len(page.keys) + len(page.groups)),
    ]
    owner = call.query("fetch-owner") == "true"
    return answers.of_xml("ListBucketResult", _result(call, page, most, fields, owner=owner))


def _page(call: Call, after: bytes) -> tuple[Page, int]:
    call.storage.need_bucket(call.bucket)
    most = call.number("max-keys", PAGE, PAGE)
    listing = Listing(call.storage.bucket_path(call.bucket))
    return listing.page(call.query("prefix"), call.query("delimiter"), after, most), most


def _result(call: Call, page: Page, most: int, extra: list[xml.Field], *, owner: bool) -> list[xml.Field]:
    fields: list[xml.Field] = [
        ("Name", call.bucket),
        ("Prefix", call.encoded(call.query("prefix"))),
        *extra,
        ("MaxKeys", most),
        ("Delimiter", call.encoded(call.query("delimiter")) or None),
        ("EncodingType", call.query("encoding-type") or None),
        ("IsTruncated", page.next_after is not None),
    ]
    for key in page.keys:
        try:
            found = call.storage.stat(call.bucket, key)
        except S3Error:
            continue  # deleted since
        fields.append(("Contents", _contents(call, found, owner)))
    fields += [("CommonPrefixes", [("Prefix", call.encoded(group))]) for group in page.groups]
    return fields


def _contents(call: Call, found: StoredObject, owner: bool) -> list[xml.Field]:
    fields: list[xml.Field] = [
        ("Key", call.encoded(found.key)),
        ("LastModified", answers.iso_date(found.modified_s)),
        ("ETag", f'"{found.record.etag}"'),
        ("Size", found.size),
        ("StorageClass", "STANDARD"),
    ]
    return [*fields, ("Owner", _owner(call))] if owner else fields


def _owner(call: Call) -> list[xml.Field]:
    return [("ID", call.account), ("DisplayName", "mooring")]


def _token(after: bytes) -> str:
    return base64.urlsafe_b64encode(after).decode()


def _untoken(token: str) -> bytes:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect") from None


def delete_objects(call: Call) -> Answer:
    call.storage.need_bucket(call.bucket)
    request = xml.parse(call.body.read(_DELETE_LIMIT), "Delete")
    wanted = request.all("Object")
    if not 1 <= len(wanted) <= PAGE:
        raise S3Error("MalformedXML")
    quiet = (request.value("Quiet") or "").lower() == "true"
    fields: list[xml.Field] = []
    for each in wanted:
        key = each.value("Key")
        if not key:
            raise S3Error("MalformedXML")
        try:
            _delete_one(call, key, each)
        except S3Error as error:
            fields.append(("Error", [("Key", key), ("Code", error.code), ("Message", str(error))]))
        else:
            if not quiet:
                fields.append(("Deleted", [("Key", key)]))
    return answers.of_xml("DeleteResult", fields)


def _delete_one(call: Call, key: str, named: xml.Element) -> None:
    if unknown := {child.name for child in named.children} - {"Key", "ETag", "VersionId"}:
        raise S3Error("NotImplemented", f"{', '.join(sorted(unknown))} with DeleteObjects is not implemented.")
    if named.value("VersionId") not in (None, "", "null"):
        raise S3Error("NotImplemented", "Versions are not implemented.")
    call.caller.require("DeleteObject", call.bucket, key)
    etag = named.value("ETag")
    call.storage.delete(call.bucket, key, WriteCondition(etag=etag.strip('"') if etag else None))
