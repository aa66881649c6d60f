"""The answer to a call of a service that is not here: an error in the service's own protocol, which says what to do.

What SDKs need for it is in the index of all services, which is read at the first such call, on a thread.
"""

from __future__ import annotations

from mooring.http1.messages import Request
from mooring.wire.dialects import EC2, QUERY, REST_JSON, REST_XML, Spoken, failure
from mooring.wire.errors import WireError, WireResponse
from mooring.wire.recognition import SAGEMAKER, SAGEMAKER_RUNTIME, UNKNOWN, Recognition
from mooring.wire.service_index import Listed, asked_for, endpoint_variables, signed_as

_MOST_NAMED = 3
_OWN = frozenset((SAGEMAKER, SAGEMAKER_RUNTIME))
NOT_INSTALLED = "It is an extra of Mooring's that is not installed: pip install 'mooring[neighbours]'."


def absent(
    request: Request, who: Recognition, said: Spoken, request_id: str, remedy: str | None = None
) -> WireResponse:
    """The error for a service that Mooring does not have; `remedy` says how it could have it."""
    services = _services(request, who, said)
    names = " or ".join(service.service_id for service in services) or who.service
    message = f"Mooring does not have the service {names}"
    message += f" ({said.operation} was called)." if said.operation else "."
    if remedy is not None:
        message += f" {remedy}"
    variables = endpoint_variables(services) or "AWS_ENDPOINT_URL_<SERVICE>"
    message += f" Set {variables} to the URL of a server that has it."
    return failure(_in_full(said, services), WireError(said.unknown, message, status=400), request_id)


def is_siblings(request: Request, said: Spoken) -> bool:
    """Whether a request that is signed for SageMaker is another service's that is signed alike, such as its metrics."""
    return any(service.name not in _OWN for service in asked_for(SAGEMAKER, said, request.method, request.path))


def _services(request: Request, who: Recognition, said: Spoken) -> list[Listed]:
    signing_name = None if who.service == UNKNOWN else who.service
    found = asked_for(signing_name, said, request.method, request.path)
    if not found and signing_name is not None:
        found = signed_as(signing_name)
    return [service for service in found if service.name not in _OWN][:_MOST_NAMED]


def _in_full(said: Spoken, services: list[Listed]) -> Spoken:
    """With the protocol told apart that only the service's model tells."""
    spoken_by = services[0].protocols if services else frozenset[str]()
    for protocol, alike in ((QUERY, EC2), (REST_JSON, REST_XML)):
        if said.protocol == protocol and alike in spoken_by:
            return Spoken(alike, said.operation, said.marker)
    return said
