"""Invocations while access keys are needed: signature, body and permission, all before a replica hears of the call.

The class of a connection is chosen when the gateway starts, so that where no keys are needed nothing of this is there.
Every request is judged for itself, also one whose headers are those of the last on its connection. Of a large body the
head is judged before any of it is taken, and its digest is made while it comes. API calls go to control, which judges
them; only the head of a large one is judged here, since strangers' bodies would take the place of others'. S3's
connections leave for the objects front, which judges its own.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from mooring.access import asking
from mooring.access.deciding import Decisions, Denied
from mooring.access.keys import Keyring
from mooring.access.refusals import refusal
from mooring.access.verifying import Verifier
from mooring.gateway import faults
from mooring.gateway.front import Front, FrontConnection
from mooring.gateway.headers import ASYNC, AUTHORIZATION, INVOKE, Api
from mooring.gateway.request_ids import new_request_id
from mooring.gateway.targets import endpoint_and_api, operation_of
from mooring.hosting.naming import Scope
from mooring.http1.messages import Request, Response
from mooring.settings import Settings
from mooring.wire.dialects import REST_JSON, failure, spoken
from mooring.wire.recognition import ENDPOINTS_PREFIX, SAGEMAKER
from mooring.wire.signatures import Unverified
from mooring.wire.sigv4 import claimed_credential
from mooring.wire.verification import check_signature

if TYPE_CHECKING:
    from hashlib import _Hash

    from mooring.gateway.pipeline import Pipeline

_SERVICES = (SAGEMAKER,)


class Good(NamedTuple):
    """What a request that was judged good may reach."""

    region: str
    endpoint: str | None
    operation: str | None


class Guard:
    """Judges the invocations of one gateway."""

    __slots__ = ("_account", "_decisions", "_keyring", "_verifier", "body_limit")

    def __init__(self, settings: Settings, keyring: Keyring, wall: Callable[[], float]) -> None:
        account = settings.account
        self.body_limit = settings.gateway.body_limit_bytes
        self._account = account.id
        self._keyring = keyring
        self._verifier = Verifier(keyring, wall)
        self._decisions = Decisions(account.id, account.role)

    def begin(self, request: Request) -> Response | None:
        """The answer to a head that no body could make good; None when the body may come."""
        if not self._keyring.known:
            return faults.keys_missing()
        try:
            self._verifier.begin(request.headers, request.query, _SERVICES)
        except Unverified as error:
            return _refused(error)
        return None

    def begin_api_call(self, request: Request) -> Response | None:
        """As `begin`, of a call that control will judge: what is kept of it meanwhile must not be a stranger's."""
        if not self._keyring.known:
            return faults.keys_missing()
        credential = claimed_credential(request.header(AUTHORIZATION), request.query)
        try:
            self._verifier.begin(request.headers, request.query, (credential.service if credential else "",))
        except Unverified as error:
            said = spoken(request.path, request.query, request.headers, b"")
            told = failure(said, refusal(error, said.protocol), new_request_id().decode())
            return Response(told.status, told.headers, told.body)
        return None

    def judge(self, request: Request, payload: bytes) -> Response | Good:
        """The answer to a whole request that is nobody's, or not its key's to make; `payload` is its body's SHA-256."""
        if not self._keyring.known:
            return faults.keys_missing()
        path, _, query = request.target.partition(b"?")
        headers = request.headers
        endpoint, operation = _asked(path)
        try:
            signature, key = self._verifier.begin(headers, query, _SERVICES)
            check_signature(signature, key.signing, request.method, path, query, headers, payload)
            region = signature.claim.region
            if operation is not None and endpoint is not None and key.policy is not None:
                asked = asking.invocation(operation, Scope(self._account, region), endpoint)
                self._decisions.require(key, (asked,), region)
        except (Unverified, Denied) as error:
            return _refused(error)
        return Good(region, endpoint, operation)


@functools.lru_cache(maxsize=256)
def _asked(path: bytes) -> tuple[str | None, str | None]:
    """The endpoint and the operation that a path names."""
    named = endpoint_and_api(path)
    return (None, None) if named is None else (named[0].decode("utf-8", "replace"), operation_of(named[1]))


def _refused(error: Unverified | Denied) -> Response:
    told = refusal(error, REST_JSON, of_runtime=True)
    return faults.fault(told.status or 403, told.code, {"Message": told.message})


class GuardedConnection(FrontConnection):
    """One client of a gateway that needs keys."""

    __slots__ = ("_digest", "_digests", "_good", "_guard")

    def __init__(self, front: Front, guard: Guard) -> None:
        super().__init__(front)
        self._guard = guard
        self._digest: _Hash | None = None  # of the body that is being read
        self._digests: dict[Request, _Hash] = {}
        self._good: tuple[Request, Good] | None = None  # the last that was judged and found good

    def on_body(self, data: bytes) -> None:
        super().on_body(data)
        if self._digest is not None:
            self._digest.update(data)

    def on_message_complete(self) -> None:
        if self._digest is not None:
            assert self._request is not None
            self._digests[self._request] = self._digest
            self._digest = None
        super().on_message_complete()

    def head_received(self, request: Request, length: int | None) -> Response | int:
        refused = None
        if request.target.startswith(ENDPOINTS_PREFIX):
            refused = self._guard.begin(request)
            if refused is None:
                # Of a body that is not here whole the digest is made as it comes, instead of all at its end.
                self._digest = hashlib.sha256(b"".join(self._pieces))
        elif length is None or length > self.listening.limits.uncounted_bytes:
            refused = self._guard.begin_api_call(request)
        return refused or super().head_received(request, length)

    def _limit_of(self, request: Request, name: bytes, api: Api) -> Response | int:
        """The same whether the endpoint is there or not: who asks is not known before the body has come."""
        pipeline = self._find(request, name)
        return self._guard.body_limit if pipeline is None else pipeline.body_limit

    def request_received(self, request: Request) -> None:
        if request.target.startswith(ENDPOINTS_PREFIX):
            digest = self._digests.pop(request, None) if self._digests else None
            payload = (hashlib.sha256(request.body) if digest is None else digest).hexdigest()
            verdict = self._guard.judge(request, payload.encode())
            if isinstance(verdict, Response):
                self.respond_with(verdict)
                return
            self._good = request, verdict
        super().request_received(request)

    def _invoke(self, request: Request, known: dict[bytes, bytes], pipeline: Pipeline, api: Api = INVOKE) -> None:
        if self._is_judged(request, pipeline, api):
            super()._invoke(request, known, pipeline, api)

    def _accept(self, request: Request, known: dict[bytes, bytes], pipeline: Pipeline) -> None:
        if self._is_judged(request, pipeline, ASYNC):
            super()._accept(request, known, pipeline)

    def _is_judged(self, request: Request, pipeline: Pipeline, api: Api) -> bool:
        """Whatever way led here: what is invoked is what was judged, of this very request. Else it is refused here."""
        good, self._good = self._good, None
        route = pipeline.route
        if good is None or good[0] is not request or good[1] != (route.scope.region, route.endpoint, api.operation):
            self.respond_with(faults.access_denied("The request was not verified."))
            return False
        return True
