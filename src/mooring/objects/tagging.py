"""Tags of objects and buckets: kept and told, for clients that put them on what they upload (MLflow on every model).

An object's tags are in its record and change without its bytes, its ETag or its time; a bucket's are a file beside its
region.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from mooring.objects import answers, xml
from mooring.objects.answers import Answer
from mooring.objects.calls import Call
from mooring.objects.errors import S3Error

MOST_OF_AN_OBJECT = 10
MOST_OF_A_BUCKET = 50
HEADER = "x-amz-tagging"
_LIMIT = 128 * 1024
_LONGEST_KEY, _LONGEST_VALUE = 128, 256
_TEXT = re.compile(r"[\w \t+=.:/@-]*")


def of_header(call: Call) -> dict[str, str]:
    """The tags of a new object, as its upload says them."""
    given = call.head.headers.get(HEADER, "")
    try:
        pairs = parse_qsl(given, keep_blank_values=True, strict_parsing=True, errors="strict") if given else []
    except ValueError:
        raise S3Error(
            "InvalidArgument",
            f"The header '{HEADER}' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
            "duplicates.",
            ArgumentName=HEADER,
        ) from None
    return _checked(pairs, MOST_OF_AN_OBJECT)


def get_object_tagging(call: Call) -> Answer:
    return _told(call.storage.stat(call.bucket, call.key).record.tags)


def put_object_tagging(call: Call) -> Answer:
    call.storage.tag_object(call.bucket, call.key, _asked(call, MOST_OF_AN_OBJECT))
    return Answer(200)


def delete_object_tagging(call: Call) -> Answer:
    call.storage.tag_object(call.bucket, call.key, {})
    return Answer(204)


def get_bucket_tagging(call: Call) -> Answer:
    tags = call.storage.bucket_tags(call.bucket)
    if not tags:
        raise S3Error("NoSuchTagSet", BucketName=call.bucket)
    return _told(tags)


def put_bucket_tagging(call: Call) -> Answer:
    call.storage.tag_bucket(call.bucket, _asked(call, MOST_OF_A_BUCKET))
    return Answer(204)


def delete_bucket_tagging(call: Call) -> Answer:
    call.storage.tag_bucket(call.bucket, {})
    return Answer(204)


def _told(tags: dict[str, str]) -> Answer:
    found: list[xml.Field] = [("Tag", [("Key", key), ("Value", value)]) for key, value in tags.items()]
    return answers.of_xml("Tagging", [("TagSet", found)])


def _asked(call: Call, most: int) -> dict[str, str]:
    sets = xml.parse(call.body.read(_LIMIT), "Tagging").all("TagSet")
    if len(sets) != 1:
        raise S3Error("MalformedXML")
    pairs = [(tag.value("Key"), tag.value("Value")) for tag in sets[0].children if tag.name == "Tag"]
    if len(pairs) != len(sets[0].children):
        raise S3Error("MalformedXML")
    whole = [(key, value) for key, value in pairs if key is not None and value is not None]
    if len(whole) != len(pairs):
        raise S3Error("MalformedXML")
    return _checked(whole, most)


def _checked(pairs: Iterable[tuple[str, str]], most: int) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in pairs:
        if not (0 < len(key) <= _LONGEST_KEY and _TEXT.fullmatch(key)):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if not (len(value) <= _LONGEST_VALUE and _TEXT.fullmatch(value)):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
        if key.lower().startswith("aws:"):
            raise S3Error("InvalidTag", "System tags cannot be added/updated by requester", TagKey=key)
        if key in tags:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        tags[key] = value
    if len(tags) > most:
        what = "Object tags" if most == MOST_OF_AN_OBJECT else "Bucket tag count"
        raise S3Error("BadRequest", f"{what} cannot be greater than {most}")
    return tags
