"""How a bucket's new objects are encrypted that say nothing of it themselves."""

from __future__ import annotations

from typing import Any

from mooring.objects import answers, xml
from mooring.objects.answers import Answer
from mooring.objects.calls import Call
from mooring.objects.encryption import KMS, OWN
from mooring.objects.errors import S3Error, not_implemented

_LIMIT = 64 * 1024
_LONGEST_KEY = 2048


def get_bucket_encryption(call: Call) -> Answer:
    default = call.storage.bucket_encryption(call.bucket)
    if default is None:
        raise S3Error("ServerSideEncryptionConfigurationNotFoundError", BucketName=call.bucket)
    applied: list[xml.Field] = [("SSEAlgorithm", default["algorithm"])]
    if default["key_id"]:
        applied.append(("KMSMasterKeyID", default["key_id"]))
    rule: list[xml.Field] = [
        ("ApplyServerSideEncryptionByDefault", applied),
        ("BucketKeyEnabled", bool(default["bucket_key"])),
    ]
    return answers.of_xml("ServerSideEncryptionConfiguration", [("Rule", rule)])


def put_bucket_encryption(call: Call) -> Answer:
    document = xml.parse(call.body.read(_LIMIT), "ServerSideEncryptionConfiguration")
    rules = document.all("Rule")
    if len(rules) != 1:
        raise S3Error("MalformedXML")
    call.storage.encrypt_bucket(call.bucket, _default(rules[0]))
    return Answer(200)


def delete_bucket_encryption(call: Call) -> Answer:
    call.storage.encrypt_bucket(call.bucket, None)
    return Answer(204)


def _default(rule: xml.Element) -> dict[str, Any]:
    if unknown := {child.name for child in rule.children} - {"ApplyServerSideEncryptionByDefault", "BucketKeyEnabled"}:
        raise not_implemented(f"{', '.join(sorted(unknown))} with PutBucketEncryption")
    applied = rule.all("ApplyServerSideEncryptionByDefault")
    if len(applied) != 1:
        raise S3Error("MalformedXML")
    algorithm, key_id = applied[0].value("SSEAlgorithm"), applied[0].value("KMSMasterKeyID") or ""
    if algorithm not in (OWN, KMS):
        raise not_implemented(f"The encryption {algorithm!r}", f"Give it as {OWN} or {KMS}.")
    if (key_id and algorithm != KMS) or len(key_id) > _LONGEST_KEY:
        raise S3Error(
            "InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms"
        )
    return {"algorithm": algorithm, "key_id": key_id, "bucket_key": rule.value("BucketKeyEnabled") == "true"}
