"""From a request to its answer: address, admit, run the operation, and put what fails into S3's words."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from mooring.hosting.naming import partition
from mooring.objects import answers, bucket_encryption, bucket_operations, object_operations, tagging, upload_operations
from mooring.objects.admission import OPERATIONS, admit
from mooring.objects.answers import Answer
from mooring.objects.bodies import Body
from mooring.objects.calls import Call
from mooring.objects.data_keys import Asker, DataKeyDesk
from mooring.objects.errors import S3Error
from mooring.objects.guarding import Anyone, Caller, Guard
from mooring.objects.multipart import Uploads
from mooring.objects.requests import Head, address
from mooring.objects.storage import Storage
from mooring.objects.streams import ClientGone
from mooring.processes.audit_log import AuditLog, AuditRecord
from mooring.settings import AccountSettings
from mooring.wire.sigv4 import claimed_credential

_log = logging.getLogger("mooring.objects")

HANDLERS: dict[str, Callable[[Call], Answer]] = {
    "ListBuckets": bucket_operations.list_buckets,
    "CreateBucket": bucket_operations.create_bucket,
    "HeadBucket": bucket_operations.head_bucket,
    "DeleteBucket": bucket_operations.delete_bucket,
    "GetBucketLocation": bucket_operations.get_bucket_location,
    "ListObjects": bucket_operations.list_objects,
    "ListObjectsV2": bucket_operations.list_objects_v2,
    "DeleteObjects": bucket_operations.delete_objects,
    "PutObject": object_operations.put_object,
    "GetObject": object_operations.get_object,
    "HeadObject": object_operations.head_object,
    "CopyObject": object_operations.copy_object,
    "DeleteObject": object_operations.delete_object,
    "GetObjectTagging": tagging.get_object_tagging,
    "PutObjectTagging": tagging.put_object_tagging,
    "DeleteObjectTagging": tagging.delete_object_tagging,
    "GetBucketTagging": tagging.get_bucket_tagging,
    "GetBucketEncryption": bucket_encryption.get_bucket_encryption,
    "PutBucketEncryption": bucket_encryption.put_bucket_encryption,
    "DeleteBucketEncryption": bucket_encryption.delete_bucket_encryption,
    "PutBucketTagging": tagging.put_bucket_tagging,
    "DeleteBucketTagging": tagging.delete_bucket_tagging,
    "CreateMultipartUpload": upload_operations.create_multipart_upload,
    "UploadPart": upload_operations.upload_part,
    "UploadPartCopy": upload_operations.upload_part_copy,
    "CompleteMultipartUpload": upload_operations.complete_multipart_upload,
    "AbortMultipartUpload": upload_operations.abort_multipart_upload,
    "ListParts": upload_operations.list_parts,
    "ListMultipartUploads": upload_operations.list_multipart_uploads,
}
assert HANDLERS.keys() == {operation.name for operation in OPERATIONS}


class Service:
    """The operations over one store. Without a guard nobody is asked who calls."""

    def __init__(
        self,
        storage: Storage,
        account: AccountSettings,
        guard: Guard | None = None,
        scheme: str = "http",
        audit: AuditLog | None = None,
        desk: DataKeyDesk | None = None,
    ) -> None:
        self._guard = guard
        self._desk = desk or DataKeyDesk("")
        self._storage = storage
        self._uploads = Uploads(storage)
        self._account = account
        self._scheme = scheme
        self._audit = audit

    def answer(self, head: Head, body: Body, request_id: str, *, is_own: bool = False) -> Answer:
        """The answer to one request, which `is_own` when it is Mooring's; raises only `ClientGone`."""
        operation = "-"
        try:
            address(head)
            caller: Caller = Anyone() if self._guard is None or is_own else self._guard.identify(head)
            operation = admit(head, self._account.id)
            body.verify_chunks(caller.chain)
            home = self._account.region
            region = _region(head) or home
            asker = Asker(caller.key_id, is_own, request_id)
            stores, whose = (self._storage, self._uploads), (self._account.id, region, home)
            call = Call(head, body, *stores, *whose, caller, self._desk, asker, self._scheme)
            _require(call, operation)
            answer = HANDLERS[operation](call)
        except S3Error as error:
            answer = answers.of_error(error, head.resource, request_id)
            _log.info("%s %r %s: %r", operation, head.resource, error.code, str(error))
        except ClientGone:
            raise
        except OSError as error:
            answer = answers.of_error(_of_os(error), head.resource, request_id)
            _log.warning("%s %r: %r", operation, head.resource, error)
        except Exception:  # noqa: BLE001  # one request's defect must not end the connection without a word
            _log.exception("%s %r failed", operation, head.resource)
            answer = answers.of_error(S3Error("InternalError"), head.resource, request_id)
        answer.operation = operation
        return answer

    def record(self, head: Head, answer: Answer | None, request_id: str, source: str, took_s: float) -> None:
        """Put a request into the audit log, if there is one that wants it."""
        operation = answer.operation if answer is not None else f"{head.method} request"
        if self._audit is None or not self._audit.wants(operation):
            return
        authorization = head.headers.get("authorization", "").encode("latin-1")
        credential = claimed_credential(authorization, head.target.partition("?")[2].encode("latin-1"))
        record = AuditRecord(
            service="s3",
            operation=operation,
            request_id=request_id,
            status=answer.status if answer is not None else None,
            took_s=took_s,
            resource=f"arn:{partition(self._account.region)}:s3:::{head.resource[1:]}",
            region=(credential.region if credential is not None else None) or self._account.region,
            key_id=credential.access_key_id if credential is not None else "",
            source=source,
            error=answer.error if answer is not None else "ClientGone",
        )
        self._audit.add(record)


def _require(call: Call, operation: str) -> None:
    """Raises `S3Error` unless the caller may do it; DeleteObjects asks for each of its keys."""
    if operation != "DeleteObjects":
        source = object_operations.source_of(call) if operation in ("CopyObject", "UploadPartCopy") else None
        call.caller.require(operation, call.bucket, call.key, source)
    if tagging.HEADER in call.head.headers:
        call.caller.require("PutObjectTagging", call.bucket, call.key)


def _region(head: Head) -> str | None:
    authorization = head.headers.get("authorization", "").encode("latin-1")
    credential = claimed_credential(authorization, head.target.partition("?")[2].encode("latin-1"))
    return credential.region if credential is not None else None


def _of_os(error: OSError) -> S3Error:
    if error.errno == errno.ENAMETOOLONG:
        return S3Error("KeyTooLongError", "The path of this key is too long for the file system.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return S3Error("InternalError", "There is no space left for this object.")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return S3Error("SlowDown")
    return S3Error("InternalError")
