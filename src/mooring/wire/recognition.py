"""Which service a request is for, when all of them share one URL.

Told in this order: the credential scope of its signature; the prefix of `X-Amz-Target`; the path (invocations, and
Mooring's own under `/-/mooring/`); a bucket in the host name; an `Action`, in the query or in a form, which is the
query protocol; and else S3, whose keys may look like anything. SageMaker's control plane and runtime share a signing
name, so there the path decides. Nothing is verified here, and no input makes it raise.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mooring.wire.service_models import service_model
from mooring.wire.sigv4 import claimed_credential, query_pairs
from mooring.wire.uri_templates import UriTemplate

SAGEMAKER: Final = "sagemaker"
SAGEMAKER_RUNTIME: Final = "sagemaker-runtime"
S3: Final = "s3"
STS: Final = "sts"
MOORING: Final = "mooring"
UNKNOWN: Final = "unknown"

ADMIN_PREFIX: Final = b"/-/mooring/"

_SERVICE_OF_TARGET = {
    b"SageMaker": SAGEMAKER,
    b"AnyScaleFrontendService": "application-autoscaling",
    b"GraniteServiceVersion20100801": "monitoring",
    b"Logs_20140328": "logs",
    b"TrentService": "kms",
    b"AmazonSQS": "sqs",
}
_SERVICE_OF_VERSION = {
    b"2011-06-15": STS,
    b"2010-05-08": "iam",
    b"2010-03-31": "sns",
    b"2012-11-05": "sqs",
    b"2010-08-01": "monitoring",
}
_BUCKET_HOST = re.compile(rb"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\.localhost\.?(?::[0-9]{1,5})?", re.IGNORECASE)
_LOOKED_AT = 65_536
_FORM = b"application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Recognition:
    """A service by its signing name (`sagemaker-runtime`, `mooring` and `unknown` are ours), and who claims to call."""

    service: str
    region: str | None = None
    access_key_id: str | None = None


def recognize(
    method: bytes, path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes = b""
) -> Recognition:
    """The service of one request; header names are lower-cased, `body` may be what has arrived of it so far."""
    known: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in (b"authorization", b"x-amz-target", b"host", b"content-type"):
            known.setdefault(name, value)
    credential = claimed_credential(known.get(b"authorization"), query)
    if credential is not None:
        service = credential.service
        if service == SAGEMAKER and path.startswith(b"/endpoints/"):
            service = SAGEMAKER_RUNTIME
        return Recognition(service, credential.region, credential.access_key_id)
    return Recognition(_unsigned(method, path, query, known, body))


def _unsigned(method: bytes, path: bytes, query: bytes, known: dict[bytes, bytes], body: bytes) -> str:
    target = known.get(b"x-amz-target")
    if target is not None:
        return _SERVICE_OF_TARGET.get(target.partition(b".")[0].strip(), UNKNOWN)
    if method == b"POST" and any(template.match(path) is not None for template in _invocation_paths()):
        return SAGEMAKER_RUNTIME
    if path.startswith(ADMIN_PREFIX):
        return MOORING
    if _BUCKET_HOST.fullmatch(known.get(b"host", b"").strip()):
        return S3
    return _query_service(method, path, query, known.get(b"content-type", b""), body) or S3


def _query_service(method: bytes, path: bytes, query: bytes, content_type: bytes, body: bytes) -> str | None:
    if path != b"/":
        return None
    is_form = method == b"POST" and content_type.partition(b";")[0].strip().lower() == _FORM
    pairs = dict(query_pairs(query + b"&" + body[:_LOOKED_AT] if is_form else query))
    if b"Action" not in pairs and not is_form:
        return None
    return _SERVICE_OF_VERSION.get(pairs.get(b"Version", b""), STS)


@functools.cache
def _invocation_paths() -> tuple[UriTemplate, ...]:
    runtime = service_model(SAGEMAKER_RUNTIME)
    return tuple(UriTemplate(runtime.operation(name).request_uri) for name in sorted(runtime.operation_names))
