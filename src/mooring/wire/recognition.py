"""Which service a request is for, when all of them share one URL.

Told in this order: the credential scope of its signature; the prefix of `X-Amz-Target`, or the service in a path of
Smithy's RPC; Mooring's own prefix `/-/mooring/`, and `/metrics`; the paths of invocations; a bucket in the host name;
all else below `/endpoints/`, which is the runtime's, and below `/-/`, which is nobody's; an `Action`, in the query or
in a form, which is the query protocol, at `/` or at a queue's own path; and else S3, whose keys may look like anything.
SageMaker's control plane and runtime share a signing name, so there the path decides. Nothing is verified here, and no
input makes it raise.

`is_for_s3` is that question as the gateway and the objects front both put it, on the bytes of a head: one function, so
that a connection cannot be passed from one to the other and back.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from mooring.wire import rpc_v2_cbor
from mooring.wire.service_models import service_model
from mooring.wire.sigv4 import claimed_credential, query_pairs
from mooring.wire.uri_templates import UriTemplate

SAGEMAKER: Final = "sagemaker"
SAGEMAKER_RUNTIME: Final = "sagemaker-runtime"
S3: Final = "s3"
STS: Final = "sts"
KMS: Final = "kms"
SCALING: Final = "application-autoscaling"
SQS: Final = "sqs"
NEIGHBOURS: Final = frozenset(("iam", "sns", "sqs", "logs", "monitoring"))
"""What SageMaker code calls beside SageMaker, by signing names: `mooring.neighbours` serves it, and the rest of STS."""
MOORING: Final = "mooring"
UNKNOWN: Final = "unknown"

OWN_PREFIX: Final = b"/-/"
ADMIN_PREFIX: Final = b"/-/mooring/"
SCRAPE_PATH: Final = b"/metrics"
"""Where Prometheus looks, unless it is told another place. A bucket of that name is reached by signed requests only."""
ENDPOINTS_PREFIX: Final = b"/endpoints/"

_SERVICE_OF_TARGET = {
    b"SageMaker": SAGEMAKER,
    b"AnyScaleFrontendService": SCALING,
    b"GraniteServiceVersion20100801": "monitoring",
    b"Logs_20140328": "logs",
    b"TrentService": KMS,
    b"AmazonSQS": SQS,
}
_SERVICE_OF_VERSION = {
    b"2011-06-15": STS,
    b"2010-05-08": "iam",
    b"2010-03-31": "sns",
    b"2012-11-05": SQS,
    b"2010-08-01": "monitoring",
}
_QUEUE_PATH = re.compile(rb"/[0-9]{12}/[A-Za-z0-9_-]{1,80}(?:\.fifo)?")
_BUCKET_HOST = re.compile(rb"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\.localhost\.?(?::[0-9]{1,5})?", re.IGNORECASE)
_LOOKED_AT_HEADERS = frozenset((b"authorization", b"x-amz-target", b"host", b"content-type", rpc_v2_cbor.HEADER))
_LOOKED_AT = 65_536
_FORM = b"application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Recognition:
    """A service by its signing name (`sagemaker-runtime`, `mooring` and `unknown` are ours), and who claims to call."""

    service: str
    region: str | None = None
    access_key_id: str | None = None


class RawHead(NamedTuple):
    """A head as it came, cut into its parts: the names lower-cased, nothing checked."""

    method: bytes
    path: bytes
    query: bytes
    headers: list[tuple[bytes, bytes]]


def read_head(raw: bytes) -> RawHead | None:
    """The parts of a head (its empty line may be there); None for what does not begin like HTTP: a parser says why."""
    request_line, _, rest = raw.strip(b"\r\n").partition(b"\r\n")
    method, _, target = request_line.partition(b" ")
    path, _, query = target.rpartition(b" ")[0].partition(b"?")
    if not method.isalpha() or not path:
        return None
    lines = (line.partition(b":") for line in rest.split(b"\r\n"))
    return RawHead(method, path, query, [(name.lower(), value.strip()) for name, _, value in lines])


def is_for_s3(head: RawHead | bytes) -> bool:
    """Whether a request is S3's, by its head alone: no body changes that. What is not HTTP is nobody's."""
    read = read_head(head) if isinstance(head, bytes) else head
    return read is not None and recognize(*read).service == S3


def recognize(
    method: bytes, path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes = b""
) -> Recognition:
    """The service of one request; header names are lower-cased, `body` may be what has arrived of it so far."""
    known: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _LOOKED_AT_HEADERS:
            known.setdefault(name, value)
    credential = claimed_credential(known.get(b"authorization"), query)
    if credential is not None:
        service = credential.service
        if service == SAGEMAKER and path.startswith(ENDPOINTS_PREFIX):
            service = SAGEMAKER_RUNTIME
        return Recognition(service, credential.region, credential.access_key_id)
    return Recognition(_unsigned(method, path, query, known, body))


def targeted(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The service that `X-Amz-Target` names, whatever a call is signed for; None without one that is known."""
    for name, value in headers:
        if name == b"x-amz-target":
            return _SERVICE_OF_TARGET.get(value.partition(b".")[0].strip())
    return None


def _unsigned(method: bytes, path: bytes, query: bytes, known: dict[bytes, bytes], body: bytes) -> str:
    target = known.get(b"x-amz-target")
    if target is not None:
        return _SERVICE_OF_TARGET.get(target.partition(b".")[0].strip(), UNKNOWN)
    addressed = rpc_v2_cbor.addressed(path, known.get(rpc_v2_cbor.HEADER))
    if addressed is not None:
        return _SERVICE_OF_TARGET.get(addressed[0].encode("ascii"), UNKNOWN)
    if path.startswith(ADMIN_PREFIX) or (path == SCRAPE_PATH and method == b"GET" and not query):
        return MOORING
    if _is_invocation(method, path):
        return SAGEMAKER_RUNTIME
    if _BUCKET_HOST.fullmatch(known.get(b"host", b"").strip()):
        return S3
    if path.startswith(ENDPOINTS_PREFIX):
        return SAGEMAKER_RUNTIME
    if path.startswith(OWN_PREFIX):
        return UNKNOWN
    return _query_service(method, path, query, known.get(b"content-type", b""), body) or S3


def _query_service(method: bytes, path: bytes, query: bytes, content_type: bytes, body: bytes) -> str | None:
    is_form = method == b"POST" and content_type.partition(b";")[0].strip().lower() == _FORM
    if path != b"/":
        is_call = is_form or b"Version=2012-11-05" in query
        return SQS if is_call and _QUEUE_PATH.fullmatch(path) else None
    pairs = dict(query_pairs(query + b"&" + body[:_LOOKED_AT] if is_form else query))
    if b"Action" not in pairs and not is_form:
        return None
    return _SERVICE_OF_VERSION.get(pairs.get(b"Version", b""), STS)


def _is_invocation(method: bytes, path: bytes) -> bool:
    return method == b"POST" and any(template.match(path) is not None for template in _invocation_paths())


@functools.cache
def _invocation_paths() -> tuple[UriTemplate, ...]:
    runtime = service_model(SAGEMAKER_RUNTIME)
    return tuple(UriTemplate(runtime.operation(name).request_uri) for name in sorted(runtime.operation_names))
