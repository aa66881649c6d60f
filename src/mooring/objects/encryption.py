"""What is encrypted and with what: the headers of a request, a bucket's default, and what a record keeps of it.

An object that is to be encrypted has a data key of its own, sealed under a key of KMS (`aws:kms`) or the store's own
(`AES256`), and bound to the object's ARN: files and records that change places open nothing. Its file is one segment
(`mooring.keys.segments`), or one for each part of a multipart upload. A proof over their list ties them to each other
and to the ETag. Checksums are sealed, and with KMS the ETag is not the MD5 of what the object holds, as on AWS: neither
shall tell whether somebody's guess is right.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from mooring.hosting.naming import partition
from mooring.keys.envelopes import DataKey, Tampered, open_record, seal_record
from mooring.keys.segments import Segment
from mooring.objects.errors import S3Error
from mooring.objects.records import Record

HEADER = "x-amz-server-side-encryption"
KEY_HEADER = f"{HEADER}-aws-kms-key-id"
CONTEXT_HEADER = f"{HEADER}-context"
BUCKET_KEY_HEADER = f"{HEADER}-bucket-key-enabled"
OWN, KMS = "AES256", "aws:kms"
DEFAULT_KEY = "alias/aws/s3"
_ARN_CONTEXT = "aws:s3:arn"
_LONGEST_CONTEXT = 8192


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a new object is to be encrypted."""

    algorithm: str
    key_id: str = ""
    """Any of a KmsKeyId's forms; empty with `AES256`."""
    context: Mapping[str, str] = field(default_factory=dict)
    bucket_key: bool = False


def wanted(headers: Mapping[str, str], default: Mapping[str, Any] | None) -> Wanted | None:
    """What a request asks for, or else its bucket's default; None leaves the object as it is. Raises `S3Error`."""
    algorithm = headers.get(HEADER)
    named = [name for name in (KEY_HEADER, CONTEXT_HEADER) if name in headers]
    if algorithm != KMS and named:
        raise S3Error(
            "InvalidArgument",
            f"Server Side Encryption with AWS KMS managed key requires HTTP header {HEADER} : {KMS}",
            ArgumentName=HEADER,
        )
    bucket_key = headers.get(BUCKET_KEY_HEADER, "").lower() == "true"
    if algorithm == KMS:
        return Wanted(KMS, headers.get(KEY_HEADER) or DEFAULT_KEY, _context(headers.get(CONTEXT_HEADER)), bucket_key)
    if algorithm is not None:
        return Wanted(OWN)
    if default is None:
        return None
    if default["algorithm"] == OWN:
        return Wanted(OWN)
    return Wanted(KMS, default["key_id"] or DEFAULT_KEY, {}, bool(default["bucket_key"]) or bucket_key)


def _context(header: str | None) -> dict[str, str]:
    if header is None:
        return {}
    try:
        document = json.loads(base64.b64decode(header, validate=True)) if len(header) <= _LONGEST_CONTEXT else None
        json.dumps(document, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (binascii.Error, ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not all(isinstance(each, str) for each in document.values()):
        raise S3Error(
            "InvalidArgument",
            "The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON which "
            "represents a string-string map",
            ArgumentName=CONTEXT_HEADER,
        )
    return document


@dataclass(frozen=True, slots=True)
class Encryption:
    """What a record keeps of how its object is encrypted, and an upload of how its parts are."""

    algorithm: str
    sealed_key: str
    """In base64."""
    key_arn: str
    context: dict[str, str]
    region: str
    """The bucket's, where the KMS key is looked for."""
    bucket_key: bool = False
    segments: list[list[Any]] = field(default_factory=list)
    """Size and salt, in hexadecimal, of each segment, in their order."""
    checksums: str = ""
    """The object's checksums, sealed, in base64."""
    proof: str = ""

    @staticmethod
    def begin(want: Wanted, key: DataKey, arn: str, region: str) -> Encryption:
        """Of an object to come."""
        sealed = base64.b64encode(key.sealed).decode()
        return Encryption(
            want.algorithm, sealed, key.key_arn, context_of(want.context, arn), region, bucket_key=want.bucket_key
        )

    @property
    def size(self) -> int:
        """Of what was encrypted."""
        return sum(int(size) for size, _ in self.segments)

    def parts(self) -> list[Segment]:
        """The segments of the file."""
        return [Segment(int(size), bytes.fromhex(salt)) for size, salt in self.segments]

    def headers(self) -> dict[str, str]:
        """How an answer tells of it."""
        told = {HEADER: self.algorithm}
        if self.algorithm == KMS:
            told[KEY_HEADER] = self.key_arn
        if self.bucket_key:
            told[BUCKET_KEY_HEADER] = "true"
        return told

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def etag(self, data_key: bytes, md5: str) -> str:
        """The ETag of what has this MD5."""
        if self.algorithm == OWN:
            return md5
        return hmac.digest(data_key, b"mooring/etag\n" + md5.encode(), "sha256")[:16].hex()


def encryption_of(record: Record) -> Encryption | None:
    """How an object is encrypted; None when it is not."""
    return None if record.encryption is None else Encryption(**record.encryption)


def context_of(given: Mapping[str, str], arn: str) -> dict[str, str]:
    """What a data key is bound to: what the caller gave, and the object."""
    return {**given, _ARN_CONTEXT: arn}


def object_arn(region: str, bucket: str, key: str) -> str:
    """The ARN of an object."""
    return f"arn:{partition(region)}:s3:::{bucket}/{key}"


def complete(
    begun: Encryption, data_key: bytes, segments: Sequence[Segment], etag: str, checksums: Mapping[str, str]
) -> dict[str, Any]:
    """The whole of it, for the record of an object that has been written."""
    rows = [[each.size, each.salt.hex()] for each in segments]
    sealed = ""
    if checksums:
        sealed = base64.b64encode(seal_record(data_key, json.dumps(dict(checksums)).encode(), b"checksums")).decode()
    document = {**begun.to_document(), "segments": rows, "checksums": sealed}
    return {**document, "proof": _proof(data_key, rows, etag, sealed)}


def check(encryption: Encryption, data_key: bytes, etag: str) -> None:
    """Raises `Tampered` unless segments and ETag are those that were written."""
    proof = _proof(data_key, encryption.segments, etag, encryption.checksums)
    if not hmac.compare_digest(proof, encryption.proof):
        raise Tampered


def checksums_of(encryption: Encryption, data_key: bytes) -> dict[str, str]:
    """The checksums of the object. Raises `Tampered`."""
    if not encryption.checksums:
        return {}
    opened = open_record(data_key, base64.b64decode(encryption.checksums), b"checksums")
    found: dict[str, str] = json.loads(opened)
    return found


def _proof(data_key: bytes, rows: list[list[Any]], etag: str, checksums: str) -> str:
    text = json.dumps([rows, etag, checksums], separators=(",", ":")).encode()
    return hmac.digest(data_key, b"mooring/object\n" + text, "sha256").hex()
