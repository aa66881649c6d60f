"""Every answer of the gateway that is not a model's: the error shapes of InvokeEndpoint, and 503 in three protocols.

botocore tells an error apart by `x-amzn-ErrorType`; a body without that header becomes a bare ClientError.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from mooring.gateway.request_ids import new_request_id
from mooring.hosting.naming import partition
from mooring.hosting.routes import Route
from mooring.http1.messages import Response
from mooring.wire.recognition import ADMIN_PREFIX, ENDPOINTS_PREFIX

if TYPE_CHECKING:
    from mooring.gateway.pipeline import Pipeline

MESSAGE_LIMIT = 2048
"""Characters of a Message; the shape's own bound."""

_SHOWN = 100

TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container {container}. Review the latency metrics"
    " for each container in Amazon CloudWatch, resolve the issue, and try again."
)
BROKEN = "The container closed the connection before its response was complete."
MALFORMED = "The response of the container is not valid HTTP."
UNREADABLE_SESSION = (
    "The header X-Amzn-SageMaker-Session-Id of the container's response is not ID; Expires=yyyy-mm-ddThh:mm:ssZ."
)
TAKEN_SESSION = "The container opened a session under an id that is open on another instance of the endpoint."
SESSION_LIMIT_SETTING = "MOORING_GATEWAY_SESSIONS_PER_ENDPOINT"


def fault(status: int, code: str, members: Mapping[str, object], request_id: bytes | None = None) -> Response:
    """An error in rest-json, the protocol of invocations."""
    headers = (
        (b"Content-Type", b"application/json"),
        (b"x-amzn-RequestId", request_id or new_request_id()),
        (b"x-amzn-ErrorType", code.encode()),
    )
    return Response(status, headers, json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode())


def validation_error(message: str, error_code: str | None = None) -> Response:
    """The request cannot be served as it is."""
    members = {"Message": message} if error_code is None else {"ErrorCode": error_code, "Message": message}
    return fault(400, "ValidationError", members)


def no_such_endpoint(name: str, account: str, region: str, elsewhere: Sequence[str]) -> Response:
    """The endpoint does not exist in `region`, or has never been in service; `elsewhere` are regions where it is."""
    if elsewhere:
        advice = f"It is in {', '.join(elsewhere)}, and this call is for {region}."
    else:
        advice = f"An endpoint of {region} can be invoked once it is InService; `mooring status` shows them."
    return validation_error(f"Endpoint {name} of account {account} not found. {advice}", "NO_SUCH_ENDPOINT")


def no_target_model(endpoint: str) -> Response:
    """TargetModel was given for an endpoint that has one model."""
    message = f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model header."
    return validation_error(message, "TARGET_MODEL_HEADER_NOT_SUPPORTED")


def no_target_container(endpoint: str) -> Response:
    """TargetContainerHostname was given for an endpoint whose containers cannot be called one by one."""
    message = (
        f"Endpoint {endpoint} is not a multi-container endpoint with direct invocation"
        " and does not support target container hostname header."
    )
    return validation_error(message, "TARGET_CONTAINER_HOSTNAME_HEADER_NOT_SUPPORTED")


def no_components(endpoint: str) -> Response:
    """InferenceComponentName was given for an endpoint that has none."""
    message = (
        f"Inference Component Name header is not allowed for endpoint {endpoint}, to which you did not deploy inference"
        " components. Please remove the Inference Component Name header and try again."
    )
    return validation_error(message, "INFERENCE_COMPONENT_NAME_NOT_SUPPORTED")


def no_explainer(endpoint: str) -> Response:
    """EnableExplanations was given for an endpoint that explains nothing."""
    return validation_error(
        f"Endpoint {endpoint} has no ExplainerConfig and does not support the EnableExplanations header. Give it an"
        " endpoint config with a ClarifyExplainerConfig, or leave EnableExplanations out."
    )


def busy_explaining(message: str) -> Response:
    """A call cannot be explained right now; SDKs try again on this one."""
    return fault(503, "ServiceUnavailable", {"Message": message})


def internal_failure(message: str) -> Response:
    """What went wrong is Mooring's own."""
    return fault(500, "InternalFailure", {"Message": message})


def no_such_session(session: str, endpoint: str) -> Response:
    """A SessionId that is nobody's."""
    return validation_error(
        f"Session {session} of endpoint {endpoint} does not exist: it was never opened, was closed or has expired."
        " Open one with SessionId NEW_SESSION."
    )


def session_lost(session: str, endpoint: str, variant: str) -> Response:
    """The replica that has the session does not serve any more, and its state is gone with it."""
    return validation_error(
        f"Session {session} of endpoint {endpoint} is lost: the instance of variant {variant} that had it no longer"
        " serves. Open another with SessionId NEW_SESSION."
    )


def session_elsewhere(session: str, endpoint: str, variant: str, target: str) -> Response:
    """TargetVariant and SessionId contradict each other."""
    return validation_error(
        f"Session {session} of endpoint {endpoint} is on variant {variant}, and TargetVariant names {target}."
    )


def too_many_sessions(endpoint: str) -> Response:
    """No session can be opened before another ends; SDKs try again on this one."""
    message = f"Endpoint {endpoint} has as many sessions as it may. Close some, or set {SESSION_LIMIT_SETTING}."
    return fault(400, "ThrottlingException", {"Message": message})


def unrecorded_session(reason: str) -> Response:
    """A container opened a session that a restart would forget."""
    return fault(500, "InternalFailure", {"Message": f"The new session cannot be recorded: {reason}."})


def bad_session(route: Route, container: str, reason: str) -> Response:
    """A container opened a session in a way that cannot be."""
    return _model_error(route, container, 0, reason)


def oversize(pipeline: Pipeline) -> Response:
    """A body above what an endpoint takes. Of a serverless one AWS says it in another form."""
    if not pipeline.serverless:
        return body_too_long(pipeline.body_limit)
    request_id = new_request_id()
    members = {"Message": f"Request {request_id.decode()} has oversize body."}
    return fault(400, "ValidationError", members, request_id=request_id)


def throttled() -> Response:
    """A serverless variant runs as many calls as it may; SDKs try again on this one. AWS gives no message."""
    response = fault(400, "ThrottlingException", {"message": None})
    return Response(response.status, (*response.headers, (b"Retry-After", b"1")), response.body)


def not_ready(endpoint: str, variant: str) -> Response:
    """A serverless variant's replica did not come up for as long as a call may wait; SDKs try again on this one."""
    message = f"Variant {variant} of endpoint {endpoint} is still being provisioned. Try again later."
    return fault(429, "ModelNotReadyException", {"Message": message})


def no_sessions(endpoint: str) -> Response:
    """A SessionId was given for a serverless endpoint, whose replicas come and go."""
    return validation_error(f"Sessions are not supported for serverless endpoints, and {endpoint} is one.")


def body_too_long(limit: int) -> Response:
    """A body above what an invocation may have, in AWS's words and with what helps."""
    advice = "Put larger input into S3 for the model to fetch, or set MOORING_GATEWAY_BODY_LIMIT_BYTES."
    text = f"HTTP content length exceeded {limit} bytes. {advice}"
    return Response(413, ((b"Content-Type", b"text/plain"),), text.encode())


def only_asynchronous(endpoint: str) -> Response:
    """A call that wants its answer at once, of an endpoint that has a queue."""
    return validation_error(
        f"Endpoint {endpoint} has an AsyncInferenceConfig and is invoked by InvokeEndpointAsync only."
    )


def not_asynchronous(endpoint: str) -> Response:
    """A call for the queue of an endpoint that has none."""
    return validation_error(
        f"Endpoint {endpoint} has no AsyncInferenceConfig. Invoke it by InvokeEndpoint, or give it an endpoint config"
        " that has one."
    )


def not_kept(reason: str) -> Response:
    """An asynchronous call that was not accepted, as it would not have survived; SDKs try again on this one."""
    return fault(503, "ServiceUnavailable", {"Message": f"The request cannot be kept: {reason}. Try again later."})


def no_such_variant(variant: str, endpoint: str) -> Response:
    """TargetVariant names none of the endpoint's variants."""
    return validation_error(f"Variant {variant} does not exist in endpoint {endpoint}.")


def out_of_service(endpoint: str) -> Response:
    """The endpoint was stopped: nothing runs, and trying again does not help."""
    return validation_error(
        f"Endpoint {endpoint} is OutOfService: it was stopped. `mooring endpoints start {endpoint}` brings it back."
    )


def no_weight(endpoint: str) -> Response:
    """All variants have weight zero, and TargetVariant was not given."""
    return validation_error(
        f"No variant of endpoint {endpoint} takes traffic: every weight is 0. Name a TargetVariant."
    )


def no_replica(endpoint: str, variant: str) -> Response:
    """No healthy replica; SDKs try again on this one."""
    message = f"Variant {variant} of endpoint {endpoint} has no healthy instance to serve this request."
    return fault(503, "ServiceUnavailable", {"Message": message})


def keys_missing() -> Response:
    """This process has just been started, and control, which knows the access keys, is away."""
    return fault(503, "ServiceUnavailable", {"Message": "The access keys have not arrived yet. Please try again."})


def no_memory() -> Response:
    """Too many large bodies at a time."""
    return fault(503, "ServiceUnavailable", {"Message": "Too many large requests are being received. Try again later."})


def not_there_yet(api: str) -> Response:
    """An invocation of a kind that this version does not serve."""
    return validation_error(f"{api} is not available: this version of Mooring does not do it yet.")


def response_too_long(route: Route, container: str, status: int, length: int, limit: int) -> Response:
    """The container answered with more than an invocation may bring, in the words that AWS has for pipelines."""
    text = (
        f"Received response from {container} with status code {status}. However, the response payload is {length}"
        f" bytes, which has exceeded the maximum limit of {limit} bytes. Have the model put larger output into S3"
    )
    if any(variant.serverless is not None for variant in route.variants):
        text += " or use InvokeEndpointWithResponseStream."
    else:
        text += ", use InvokeEndpointWithResponseStream, or set MOORING_GATEWAY_RESPONSE_LIMIT_BYTES."
    return _model_error(route, container, status, text)


def model_error(route: Route, container: str, status: int, body: bytes | None) -> Response:
    """The container answered with an error; `body` is None when it is too large to be told."""
    text = None if body is None else body.decode("utf-8", "replace")
    return _model_error(route, container, status, text)


def no_answer(route: Route, container: str, reason: str) -> Response:
    """The container did not answer: status 0."""
    return _model_error(route, container, 0, reason.format(container=container))


def unexplained(route: Route, whose: str, status: int, text: str) -> Response:
    """An answer cannot be explained, for what a container or the explainer says."""
    return _model_error(route, whose, status, text)


def not_started(route: Route, container: str, reason: str) -> Response:
    """No container could be started for a call."""
    return _model_error(route, container, 0, reason)


def _model_error(route: Route, container: str, status: int, text: str | None) -> Response:
    account, region = route.scope.account, route.scope.region
    group = f"/aws/sagemaker/Endpoints/{route.endpoint}"
    side = "client" if 400 <= status < 500 else "server"
    received = f"Received {side} error ({status}) from {container}"
    see = (
        f" See https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
        f"#logEventViewer:group={group} in account {account} for more information."
    )
    if text is None:
        message = f"{received} and could not load the entire response body.{see}"
    else:
        room = MESSAGE_LIMIT - len(received) - len(see) - len(' with message "".')
        message = f'{received} with message "{text[:room]}".{see}'
    members = {
        "ErrorCode": "CLIENT_ERROR_FROM_MODEL" if side == "client" else "SERVER_ERROR_FROM_MODEL",
        "LogStreamArn": f"arn:{partition(region)}:logs:{region}:{account}:log-group:{group}",
        "Message": message,
        "OriginalMessage": (text or "")[:MESSAGE_LIMIT],
        "OriginalStatusCode": status,
    }
    return fault(424, "ModelError", members)


def access_denied(message: str) -> Response:
    """A request that a browser must not make here, in AWS JSON: whose request it is was not looked at."""
    return _json(403, "AccessDeniedException", message)


def no_such_path(path: bytes) -> Response:
    """A path of Mooring's own, or of the runtime, that leads nowhere."""
    shown = ascii(path[:_SHOWN].decode("latin-1"))
    if path.startswith(ENDPOINTS_PREFIX):
        hint = "an endpoint is invoked by POST to /endpoints/NAME/invocations"
    else:
        hint = f"the admin API is below {ADMIN_PREFIX.decode()}v1/"
    return _json(404, "UnknownOperationException", f"There is nothing at {shown}: {hint}.")


def control_away(form_encoded: bool) -> Response:
    """Control does not answer: a 503 in the protocol of the call (form-encoded calls are answered in XML)."""
    message = "The control plane is not available right now. Try again in a moment."
    if form_encoded:
        request_id = new_request_id()
        body = (
            "<ErrorResponse><Error><Type>Receiver</Type><Code>ServiceUnavailable</Code>"
            f"<Message>{message}</Message></Error><RequestId>{request_id.decode()}</RequestId></ErrorResponse>"
        ).encode()
        return Response(503, ((b"Content-Type", b"text/xml"), (b"x-amzn-RequestId", request_id)), body)
    return _json(503, "ServiceUnavailable", message)


def _json(status: int, code: str, message: str) -> Response:
    headers = (
        (b"Content-Type", b"application/x-amz-json-1.1"),
        (b"x-amzn-RequestId", new_request_id()),
        (b"x-amzn-ErrorType", code.encode()),
    )
    return Response(status, headers, json.dumps({"__type": code, "message": message}).encode())


def s3_error(status: int, code: str, message: str) -> Response:
    """An error as S3 words it."""
    request_id = new_request_id()
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        f"<RequestId>{request_id.decode()}</RequestId></Error>"
    ).encode()
    return Response(status, ((b"Content-Type", b"application/xml"), (b"x-amz-request-id", request_id)), body)
