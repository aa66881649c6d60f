"""Control's edge while access keys are needed: whose call it is, and whether that key may make it.

Everything that reaches the edge is asked, whatever it is for: services, neighbours, the admin API, and what is not
there at all. What a call asks for is read from it in the same way as it will be served.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mooring.access import asking
from mooring.access.asking import Asked
from mooring.access.deciding import Decisions
from mooring.access.keys import AccessKey, Keyring
from mooring.access.verifying import Verifier
from mooring.hosting.naming import Scope
from mooring.http1.messages import Request
from mooring.settings import Settings
from mooring.wire import query_protocol, rpc_v2_cbor
from mooring.wire.dialects import CBOR, JSON, QUERY, Spoken
from mooring.wire.errors import WireError
from mooring.wire.json_protocol import ParsedRequest
from mooring.wire.recognition import KMS, SAGEMAKER, SAGEMAKER_RUNTIME, SCALING, SQS, RawHead, Recognition, targeted


class Guard:
    """Judges calls; made only where keys are needed."""

    def __init__(self, settings: Settings, keyring: Keyring, wall: Callable[[], float]) -> None:
        self._settings = settings
        self._keyring = keyring
        self._verifier = Verifier(keyring, wall)
        self._decisions = Decisions(settings.account.id, settings.account.role)

    def identify(self, request: Request, who: Recognition) -> AccessKey:
        """The key that a whole request is signed with. Raises `Unverified`."""
        meant = targeted(request.headers) or who.service
        service = SAGEMAKER if meant == SAGEMAKER_RUNTIME else meant
        head = RawHead(request.method, request.path, request.query, request.headers)
        return self._verifier.verify(head, lambda: hashlib.sha256(request.body).hexdigest().encode(), [service])

    def require(self, key: AccessKey, asked: Iterable[Asked], scope: Scope) -> None:
        """Raises `Denied` unless the key may do all of it."""
        self._decisions.require(key, asked, scope.region)

    @property
    def session_key(self) -> bytes:
        """What temporary credentials are made with."""
        return self._keyring.session_key


def asked_of(service: str, parsed: ParsedRequest, scope: Scope) -> list[Asked]:
    """What a call of an operation that is served here asks for."""
    if service in (SAGEMAKER, SAGEMAKER_RUNTIME):
        return asking.of_sagemaker(parsed.operation, parsed.params, scope)
    if service == KMS:
        return asking.of_kms(parsed.operation.name, parsed.params, scope)
    if service == SCALING:
        return asking.of_scaling(parsed.operation.name, parsed.params, scope)
    return asking.of_neighbour(service, parsed.operation.name, parsed.params, scope)


def neighbours_asked(request: Request, service: str, said: Spoken, scope: Scope) -> list[Asked]:
    """What a call of a neighbour asks for."""
    if said.operation is None:
        return [Asked(f"{service}:*", None)]
    return asking.of_neighbour(service, said.operation, _params(request, service, said), scope)


def _params(request: Request, service: str, said: Spoken) -> Mapping[str, Any] | None:
    """The members that a call gives, by no shape; None where two readers could read two things."""
    found: dict[str, Any] | None = None
    try:
        if said.protocol == JSON:
            found = json.loads(request.body or b"{}")
        elif said.protocol == CBOR:
            found = rpc_v2_cbor.parameters(request.body)
        elif said.protocol == QUERY:
            found = _form(request)
    except (ValueError, RecursionError, WireError):
        return None
    if not isinstance(found, dict):
        return None
    if service == SQS and request.path != b"/":  # the queue's own address, beside what the call says
        named = found.get("QueueUrl")
        found["QueueUrl"] = [*([named] if isinstance(named, str) else []), request.path.decode("latin-1")]
    return found


def _form(request: Request) -> dict[str, Any] | None:
    pairs = [*query_protocol.fields(request.query), *query_protocol.fields(request.body)]
    found: dict[str, Any] = dict(pairs)
    if len(found) != len(pairs):
        return None
    for name, value in pairs:
        whole, member, rest = name.partition(".member.")
        if member and rest.isdigit():
            listed = found.setdefault(whole, [])
            if not isinstance(listed, list):
                return None
            listed.append(value)
    return found
