"""What an invocation's headers may be, and the head that its container gets.

Raw client headers are never passed on: the head is rebuilt from the list of the container contract, which also closes
request smuggling towards replicas.
"""

from __future__ import annotations

import functools

from mooring.gateway.faults import no_target_model, validation_error
from mooring.http1.messages import Response
from mooring.wire import browsers
from mooring.wire.invocation_checks import InvocationChecks
from mooring.wire.recognition import SAGEMAKER_RUNTIME
from mooring.wire.service_models import service_model

AUTHORIZATION = b"authorization"
TARGET_VARIANT = b"x-amzn-sagemaker-target-variant"
TARGET_MODEL = b"x-amzn-sagemaker-target-model"

_FORWARDED = {
    b"content-type": b"Content-Type: %b\r\n",
    b"accept": b"Accept: %b\r\n",
    b"x-amzn-sagemaker-custom-attributes": b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n",
    b"x-amzn-sagemaker-inference-id": b"X-Amzn-SageMaker-Inference-Id: %b\r\n",
    b"x-amzn-sagemaker-session-id": b"X-Amzn-SageMaker-Session-Id: %b\r\n",
}
_CHECKED = (
    TARGET_MODEL,
    b"x-amzn-sagemaker-target-container-hostname",
    b"x-amzn-sagemaker-enable-explanations",
    b"x-amzn-sagemaker-inference-component",
)

KNOWN = frozenset((AUTHORIZATION, TARGET_VARIANT, *_FORWARDED, *_CHECKED, *browsers.LOOKED_AT))
"""The headers that an invocation looks at; all others end here. Two requests that agree in these are equally valid."""

_HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost:8080\r\nX-Amzn-SageMaker-Forwarded-Api: InvokeEndpoint\r\n"


def container_head(known: dict[bytes, bytes]) -> bytes:
    """The request head for a container; `Content-Length`'s value and the end are still to be added."""
    lines = [line % known[name] for name, line in _FORWARDED.items() if name in known]
    return b"%b%bContent-Length: " % (_HEAD, b"".join(lines))


def violation(endpoint: bytes, known: dict[bytes, bytes]) -> Response | None:
    """The answer to a name or headers that break AWS's bounds or patterns; None when they are fine."""
    error = _checks().violation(endpoint, tuple(known.items()), 0)
    return None if error is None else validation_error(error.message or "")


def unfit(endpoint: str, known: dict[bytes, bytes]) -> Response | None:
    """The answer to headers that are fine by themselves and mean nothing to this endpoint."""
    return no_target_model(endpoint) if TARGET_MODEL in known else None


@functools.cache
def _checks() -> InvocationChecks:
    return InvocationChecks(service_model(SAGEMAKER_RUNTIME), "InvokeEndpoint")


def prepare() -> None:
    """Compile the checks now rather than in the first request."""
    _checks()
