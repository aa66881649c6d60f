"""One face over AWS's protocols, as far as control's edge needs them; the work is `mooring.wire`'s."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from mooring.http1.messages import Request
from mooring.wire import json_protocol, query_protocol, rest_json
from mooring.wire.errors import WireError, WireResponse, unknown_operation
from mooring.wire.json_protocol import ParsedRequest
from mooring.wire.recognition import KMS, SAGEMAKER, SAGEMAKER_RUNTIME, SCALING, STS
from mooring.wire.service_models import Operation, ServiceModel, service_model


class Protocol(ABC):
    """How requests of one service are read, and how they are answered."""

    unknown = "UnknownOperationException"
    """The code for an operation that is not there."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model

    @abstractmethod
    def parse(self, request: Request) -> ParsedRequest:
        """Operation and parameters. Raises `WireError`."""

    @abstractmethod
    def success(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> WireResponse:
        """The answer to a call that worked."""

    @abstractmethod
    def failure(self, error: WireError, request_id: str) -> WireResponse:
        """The answer to one that did not."""

    def again(self, status: int, content_type: str, body: bytes, request_id: str) -> WireResponse:
        """An earlier answer, under the id of the call that repeats it."""
        headers = (b"x-amzn-RequestId", request_id.encode("ascii")), (b"Content-Type", content_type.encode("latin-1"))
        return WireResponse(status, headers, body)

    def unimplemented(self, what: str, instead: str | None = None) -> WireError:
        """AWS's error for what it does not know, with a message of ours, and what to do instead if that is known."""
        message = f"Mooring does not implement {what}."
        return WireError(self.unknown, f"{message} {instead}" if instead else message, status=400)


class JsonProtocol(Protocol):
    """AWS JSON 1.1."""

    def parse(self, request: Request) -> ParsedRequest:
        if request.method != b"POST" or request.path != b"/":
            raise unknown_operation(404)
        target, content_type = request.header(b"x-amz-target"), request.header(b"content-type")
        return json_protocol.parse_request(self._model, target, request.body, content_type=content_type)

    def success(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> WireResponse:
        return json_protocol.success(operation, result, request_id)

    def failure(self, error: WireError, request_id: str) -> WireResponse:
        return json_protocol.failure(self._model, error, request_id)


class QueryProtocol(Protocol):
    """Forms and XML."""

    unknown = "InvalidAction"

    def parse(self, request: Request) -> ParsedRequest:
        return query_protocol.parse_request(self._model, request.query, request.body)

    def success(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> WireResponse:
        return query_protocol.success(self._model, operation, result, request_id)

    def failure(self, error: WireError, request_id: str) -> WireResponse:
        return query_protocol.failure(self._model, error, request_id)


class RestJsonProtocol(Protocol):
    """Paths, headers and JSON. Invocations are the gateway's: only what it does not serve of the runtime comes here."""

    def parse(self, request: Request) -> ParsedRequest:
        return rest_json.parse_request(
            self._model, request.method, request.path, request.query, request.headers, request.body
        )

    def success(self, operation: Operation, result: Mapping[str, Any], request_id: str) -> WireResponse:
        return rest_json.success(operation, result, request_id)

    def failure(self, error: WireError, request_id: str) -> WireResponse:
        return rest_json.failure(self._model, error, request_id)


def protocol_of(service: str) -> Protocol | None:
    """The protocol of a service that Mooring has, or None."""
    kinds: dict[str, type[Protocol]] = {
        SAGEMAKER: JsonProtocol,
        KMS: JsonProtocol,
        SCALING: JsonProtocol,
        SAGEMAKER_RUNTIME: RestJsonProtocol,
        STS: QueryProtocol,
    }
    kind = kinds.get(service)
    return None if kind is None else kind(service_model(service))
