"""What the headers of each of the runtime's operations may be, what its container gets and what its caller gets.

Raw client headers are never passed on: the head is rebuilt from the list of the container contract, which also closes
request smuggling towards replicas. The same holds for what a container says of its answer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from mooring.gateway.faults import no_components, no_target_container, no_target_model, validation_error
from mooring.http1.messages import Response
from mooring.traces import context
from mooring.wire import browsers
from mooring.wire.invocation_checks import InvocationChecks
from mooring.wire.recognition import SAGEMAKER_RUNTIME
from mooring.wire.service_models import service_model

AUTHORIZATION = b"authorization"
CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
ENABLE_EXPLANATIONS = b"x-amzn-sagemaker-enable-explanations"
INFERENCE_COMPONENT = b"x-amzn-sagemaker-inference-component"
INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
SESSION_ID = b"x-amzn-sagemaker-session-id"
TARGET_CONTAINER = b"x-amzn-sagemaker-target-container-hostname"
TARGET_MODEL = b"x-amzn-sagemaker-target-model"
TARGET_VARIANT = b"x-amzn-sagemaker-target-variant"

WISHES = (b"accept", CUSTOM_ATTRIBUTES)
"""By which a container may answer the same body to InvokeEndpoint in another way."""
_UNFIT = {TARGET_MODEL: no_target_model, TARGET_CONTAINER: no_target_container, INFERENCE_COMPONENT: no_components}
"""Headers that mean nothing to an endpoint of one model, and what is said to them."""
_ALIKE = {
    b"content-type": b"Content-Type: %b\r\n",
    CUSTOM_ATTRIBUTES: b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n",
    INFERENCE_ID: b"X-Amzn-SageMaker-Inference-Id: %b\r\n",
    SESSION_ID: b"X-Amzn-SageMaker-Session-Id: %b\r\n",
}


class Api:
    """One operation. A header that it does not have is as if it were not there."""

    def __init__(self, operation: str, accept: bytes, relayed: Mapping[bytes, bytes]) -> None:
        self.operation = operation
        self.relayed = relayed
        """What a container's headers become towards the caller, by lower-cased name; all others stay behind."""
        self._forwarded = {**_ALIKE, accept: b"Accept: %b\r\n"}
        self._begin = (
            "POST /invocations HTTP/1.1\r\nHost: localhost:8080\r\n"
            f"X-Amzn-SageMaker-Forwarded-Api: {operation}\r\n".encode()
        )

    @functools.cached_property
    def known(self) -> frozenset[bytes]:
        """The headers that this operation looks at. Two requests that agree in these are equally valid, whatever they
        say of their trace."""
        return frozenset((AUTHORIZATION, *_checks(self.operation).headers, *browsers.LOOKED_AT, *context.HEADERS))

    def container_head(self, known: Mapping[bytes, bytes]) -> bytes:
        """The request head for a container; `Content-Length`'s value and the end are still to be added."""
        lines = [line % known[name] for name, line in self._forwarded.items() if name in known]
        return b"%b%bContent-Length: " % (self._begin, b"".join(lines))

    def violation(self, endpoint: bytes, known: Mapping[bytes, bytes], body_length: int = 0) -> Response | None:
        """The answer to a name or headers that break AWS's bounds or patterns; None when they are fine."""
        error = _checks(self.operation).violation(endpoint, tuple(known.items()), body_length)
        return None if error is None else validation_error(error.message or "")


INVOKE = Api(
    "InvokeEndpoint",
    b"accept",
    {
        b"content-type": b"Content-Type: %b\r\n",
        CUSTOM_ATTRIBUTES: b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n",
    },
)
STREAM = Api(
    "InvokeEndpointWithResponseStream",
    b"x-amzn-sagemaker-accept",
    {
        b"content-type": b"X-Amzn-SageMaker-Content-Type: %b\r\n",
        CUSTOM_ATTRIBUTES: b"X-Amzn-SageMaker-Custom-Attributes: %b\r\n",
    },
)
ASYNC = Api("InvokeEndpointAsync", b"x-amzn-sagemaker-accept", {})
"""Its container is called by control."""


def unfit(endpoint: str, known: Mapping[bytes, bytes]) -> Response | None:
    """The answer to headers that are fine by themselves and mean nothing to this endpoint."""
    return next((refusal(endpoint) for name, refusal in _UNFIT.items() if name in known), None)


@functools.cache
def _checks(operation: str) -> InvocationChecks:
    return InvocationChecks(service_model(SAGEMAKER_RUNTIME), operation)


def prepare() -> None:
    """Compile the checks now rather than in the first request."""
    for api in (INVOKE, STREAM, ASYNC):
        assert api.known
