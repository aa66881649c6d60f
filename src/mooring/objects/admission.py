"""What is admitted: a list of operations by method, resource and subresource. Everything else is NotImplemented.

A query parameter or an `x-amz-` header that an operation does not list refuses the request, whatever it would have
meant: nothing that this endpoint does not do is silently left undone. `tests/objects` has a test for each line.
"""

from __future__ import annotations

from dataclasses import dataclass

from mooring.objects.digests import CHECKSUM_PREFIX, UNVERIFIED, VERIFIED
from mooring.objects.errors import S3Error, not_implemented
from mooring.objects.requests import Head

_EVERYWHERE = frozenset(("x-id",))
_OVERRIDES = frozenset(
    f"response-{name}"
    for name in [
        "content-type",
        "content-language",
        "expires",
        "cache-control",
        "content-disposition",
        "content-encoding",
    ]
)
_HEADERS = frozenset(
    (
        "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "x-amz-user-agent", "x-amz-request-payer",
        "x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner",
    )
)  # fmt: skip
_UPLOADS = frozenset(
    (
        "x-amz-decoded-content-length", "x-amz-trailer", "x-amz-sdk-checksum-algorithm",
        *(CHECKSUM_PREFIX + name for name in VERIFIED + UNVERIFIED),
    )
)  # fmt: skip
_NEW = frozenset(
    (
        "x-amz-acl", "x-amz-storage-class", "x-amz-tagging", "x-amz-server-side-encryption",
        "x-amz-server-side-encryption-aws-kms-key-id", "x-amz-server-side-encryption-context",
        "x-amz-server-side-encryption-bucket-key-enabled",
    )
)  # fmt: skip
_META = "x-amz-meta-"
_SOURCE = frozenset(
    (
        "x-amz-copy-source", "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match",
        "x-amz-copy-source-if-modified-since", "x-amz-copy-source-if-unmodified-since",
    )
)  # fmt: skip
_CHECKSUM_KIND = frozenset(("x-amz-checksum-algorithm", "x-amz-checksum-type"))
_VALUES = {
    "x-amz-acl": ("private", "bucket-owner-full-control"),
    "x-amz-storage-class": ("STANDARD",),
    "x-amz-server-side-encryption": ("AES256", "aws:kms"),
    "x-amz-server-side-encryption-bucket-key-enabled": ("true", "false", "True", "False"),
    "x-amz-tagging-directive": ("COPY", "REPLACE"),
    "x-amz-object-ownership": ("BucketOwnerEnforced",),
}


_OPTIONS = {
    "x-amz-acl": "--acl",
    "x-amz-storage-class": "--storage-class",
    "x-amz-server-side-encryption": "--sse",
    "x-amz-server-side-encryption-bucket-key-enabled": "--bucket-key-enabled",
    "x-amz-tagging-directive": "--tagging-directive",
    "x-amz-object-ownership": "--object-ownership",
}
"""What the AWS CLI calls the headers of `_VALUES`."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One admitted operation: what selects it, and what it takes."""

    name: str
    method: str
    resource: str  # service, bucket or object
    needs: frozenset[str] = frozenset()
    takes: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()
    metadata: bool = False


def _operation(
    name: str, method: str, resource: str, needs: str = "", takes: str = "",
    headers: frozenset[str] = frozenset(), metadata: bool = False,
) -> Operation:  # fmt: skip
    return Operation(name, method, resource, frozenset(needs.split()), frozenset(takes.split()), headers, metadata)


_LIST = "prefix delimiter max-keys encoding-type"
OPERATIONS = (
    _operation("ListBuckets", "GET", "service", takes="prefix max-buckets continuation-token"),
    _operation("GetBucketTagging", "GET", "bucket", needs="tagging"),
    _operation("PutBucketTagging", "PUT", "bucket", needs="tagging", headers=_UPLOADS),
    _operation("DeleteBucketTagging", "DELETE", "bucket", needs="tagging"),
    _operation("GetBucketEncryption", "GET", "bucket", needs="encryption"),
    _operation("PutBucketEncryption", "PUT", "bucket", needs="encryption", headers=_UPLOADS),
    _operation("DeleteBucketEncryption", "DELETE", "bucket", needs="encryption"),
    _operation("CreateBucket", "PUT", "bucket", headers=frozenset(("x-amz-acl", "x-amz-object-ownership")) | _UPLOADS),
    _operation("HeadBucket", "HEAD", "bucket"),
    _operation("DeleteBucket", "DELETE", "bucket"),
    _operation("GetBucketLocation", "GET", "bucket", needs="location"),
    _operation(
        "ListMultipartUploads", "GET", "bucket", needs="uploads",
        takes="prefix delimiter max-uploads encoding-type key-marker upload-id-marker",
    ),
    _operation(
        "ListObjectsV2", "GET", "bucket", needs="list-type", takes=f"{_LIST} continuation-token start-after fetch-owner"
    ),
    _operation("ListObjects", "GET", "bucket", takes=f"{_LIST} marker"),
    _operation("DeleteObjects", "POST", "bucket", needs="delete", headers=_UPLOADS),
    _operation("GetObjectTagging", "GET", "object", needs="tagging"),
    _operation("PutObjectTagging", "PUT", "object", needs="tagging", headers=_UPLOADS),
    _operation("DeleteObjectTagging", "DELETE", "object", needs="tagging"),
    _operation(
        "CreateMultipartUpload", "POST", "object", needs="uploads", headers=_NEW | _CHECKSUM_KIND, metadata=True
    ),
    _operation(
        "CompleteMultipartUpload", "POST", "object", needs="uploadId",
        headers=_UPLOADS | _CHECKSUM_KIND,
    ),
    _operation("ListParts", "GET", "object", needs="uploadId", takes="max-parts part-number-marker encoding-type"),
    _operation("AbortMultipartUpload", "DELETE", "object", needs="uploadId"),
    _operation(
        "UploadPartCopy", "PUT", "object", needs="uploadId partNumber x-amz-copy-source",
        headers=_SOURCE | {"x-amz-copy-source-range"},
    ),
    _operation("UploadPart", "PUT", "object", needs="uploadId partNumber", headers=_UPLOADS),
    _operation(
        "CopyObject", "PUT", "object", needs="x-amz-copy-source", metadata=True,
        headers=_SOURCE | _NEW | _CHECKSUM_KIND | {"x-amz-metadata-directive", "x-amz-tagging-directive"},
    ),
    _operation("PutObject", "PUT", "object", headers=_UPLOADS | _NEW, metadata=True),
    _operation(
        "GetObject", "GET", "object", takes=" ".join(_OVERRIDES), headers=frozenset(("x-amz-checksum-mode",))
    ),
    _operation(
        "HeadObject", "HEAD", "object", takes=" ".join(_OVERRIDES), headers=frozenset(("x-amz-checksum-mode",))
    ),
    _operation("DeleteObject", "DELETE", "object"),
)  # fmt: skip
"""In the order of trial: of one method and resource, those that need more come first."""
_PARAMETERS = frozenset(name for each in OPERATIONS for name in each.takes) | {"uploadId", "partNumber"} | _EVERYWHERE
"""Those that say something of an operation; any other one is a subresource, and stands for another operation."""


def admit(head: Head, account: str) -> str:
    """The name of the operation that a request is for; `NotImplemented` if it is none of the list, or more than it."""
    resource = "object" if head.key else "bucket" if head.bucket else "service"
    candidates = [each for each in OPERATIONS if each.resource == resource]
    if not any(each.method == head.method for each in candidates):
        if head.method in ("GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"):
            raise not_implemented(f"{head.method} of this resource")
        raise S3Error("MethodNotAllowed", Method=head.method)
    given = head.query.keys() | head.headers.keys()
    chosen = next((each for each in candidates if each.method == head.method and each.needs <= given), None)
    if chosen is None:
        named = next((name for name in head.query if name not in _PARAMETERS), None)
        missing = "of this resource without a subresource" if named is None else f"?{named}"
        raise not_implemented(f"{head.method} {missing}")
    _check_query(head, chosen)
    _check_headers(head, chosen, account)
    return chosen.name


def _check_query(head: Head, operation: Operation) -> None:
    for name in head.query:
        if name not in operation.takes and name not in operation.needs and name not in _EVERYWHERE:
            raise not_implemented(
                f'"{name}" with {operation.name}' if name in _PARAMETERS else f"{head.method} ?{name}"
            )


def _check_headers(head: Head, operation: Operation, account: str) -> None:
    for name, value in head.headers.items():
        if not name.startswith("x-amz-") or name in _HEADERS or name in operation.headers:
            pass
        elif not (operation.metadata and name.startswith(_META)):
            raise not_implemented(f"The header {name} with {operation.name}")
        if name in _VALUES and value not in _VALUES[name]:
            raise not_implemented(f"{name}: {value}", _advice(name))
        if name.endswith("expected-bucket-owner") and value != account:
            raise S3Error("AccessDenied")


def _advice(name: str) -> str:
    return f"Leave the header out ({_OPTIONS[name]} in the AWS CLI) or give it as {' or '.join(_VALUES[name])}."
