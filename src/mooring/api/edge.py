"""From an HTTP request to an operation and back: the one handler behind control's socket.

The order is AWS's: whose call it is, which operation, the body, the shapes, and then what it means. A changing call
that is repeated with its `amz-sdk-invocation-id` gets the first one's answer, which was made durable together with the
change; since changes run one after the other, a repetition that comes while the first still runs finds it too.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import uuid
from collections.abc import Callable

from mooring.access.asking import of_administration
from mooring.access.deciding import Denied
from mooring.access.keys import AccessKey
from mooring.access.refusals import refusal
from mooring.api import sessions
from mooring.api.absent import NOT_INSTALLED, absent, is_siblings
from mooring.api.administration import Administration, parts_of, refused, scope_of
from mooring.api.auditing import Auditing, Progress
from mooring.api.calls import ANYONE, Call, Control
from mooring.api.cloudwatch import MONITORING, CloudWatchApi
from mooring.api.endpoint_logs import LOGS, EndpointLogs
from mooring.api.errors import is_expected, wire_error
from mooring.api.guarding import Guard, asked_of, neighbours_asked
from mooring.api.holding import Holding, is_a_waiters
from mooring.api.operations import INSTEAD, OPERATIONS, Changing, Function
from mooring.api.protocols import Protocol, protocol_of
from mooring.api.scraping import scraped, shown
from mooring.clock import Clock
from mooring.errors import MooringError, NotInstalled, Refused, Unavailable
from mooring.hosting.naming import Scope
from mooring.http1.messages import Request, Response
from mooring.processes.audit_log import AuditLog
from mooring.settings import Settings
from mooring.store import Connection, Store, answers
from mooring.store.answers import Answer
from mooring.wire import recognition
from mooring.wire.dialects import JSON, Spoken, failure, spoken
from mooring.wire.errors import WireError, WireResponse
from mooring.wire.json_protocol import ParsedRequest
from mooring.wire.signatures import Unverified
from mooring.wire.validation import require_valid

CHANGES_BETWEEN_PRUNINGS = 256
LONGEST_INVOCATION_ID = 128
_REQUEST_ID = re.compile(rb"[0-9A-Za-z-]{1,64}")

_log = logging.getLogger("mooring.api")


class Edge:
    """Serves API calls and the admin API. `stop_server` asks the supervisor to stop everything.

    Without a `guard` nobody is asked who calls.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        control: Control,
        stop_server: Callable[[], None],
        guard: Guard | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self._guard = guard
        self._settings = settings
        self._store = store
        self._clock = clock
        self._control = control
        self._endpoint_logs = EndpointLogs(control)
        self._cloudwatch = CloudWatchApi(control, clock)
        self._holding = Holding(settings.api, store, control)

        def stop() -> None:
            self._holding.release()  # the gateways drain before control is told
            stop_server()

        self._administration = Administration(settings, store, clock, control, stop)
        self._auditing = Auditing(settings, audit)
        self._changes = 0

    async def handle(self, request: Request) -> Response:
        """The answer to any request; it never raises."""
        began = self._clock.monotonic()
        progress = Progress()
        who = recognition.recognize(request.method, request.path, request.query, request.headers, request.body)
        if who.service == recognition.MOORING:
            progress.operation = f"{request.method.decode('latin-1')} {request.path.decode('latin-1')}"
            response = await self._administered(request, who, progress)
        else:
            answer = await self._answer(request, who, progress)
            response = Response(answer.status, answer.headers, answer.body)
        took_ms = (self._clock.monotonic() - began) * 1000
        _log.info(
            "%s %r %d %s %.1f ms", progress.operation, progress.resource, response.status, progress.outcome, took_ms
        )
        self._auditing.record(request, who, response, progress, took_ms / 1000)
        return response

    async def _administered(self, request: Request, who: recognition.Recognition, progress: Progress) -> Response:
        if request.path == recognition.SCRAPE_PATH:
            return scraped(request, self._settings, self._control, guarded=self._guard is not None)
        if self._guard is not None:
            try:
                progress.key = self._guard.identify(request, who)
                scope = scope_of(request, self._settings)
                asked = of_administration(request.method.decode("latin-1"), parts_of(request), scope)
                self._guard.require(progress.key, asked, scope)
            except (Unverified, Denied) as error:
                progress.outcome = "denied"
                return refused(error)
        if request.method == b"GET" and parts_of(request) == ["metrics"]:
            return shown(self._control)
        return await self._administration.handle(request)

    def _scope(self, who: recognition.Recognition) -> Scope:
        return Scope(self._settings.account.id, who.region or self._settings.account.region)

    async def _answer(self, request: Request, who: recognition.Recognition, progress: Progress) -> WireResponse:
        request_id = _request_id(request)
        if self._guard is not None:
            try:
                progress.key = self._guard.identify(request, who)
            except Unverified as error:
                return self._refused(error, request, who, request_id, progress)
        protocol = protocol_of(who.service)
        if protocol is None or (who.service == recognition.SAGEMAKER and request.path != b"/"):
            said = spoken(request.path, request.query, request.headers, request.body)
            if who.service in recognition.NEIGHBOURS:
                return await self._neighbours(request, who, said, request_id, progress)
            if protocol is None or await asyncio.to_thread(is_siblings, request, said):
                return await self._absent(request, who, said, request_id, progress)
        try:
            return await self._served(request, who, protocol, request_id, progress)
        except Denied as error:
            return self._refused(error, request, who, request_id, progress)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened, the client gets AWS's form of it
            return protocol.failure(self._failed(error, request_id, progress), request_id)

    def _refused(
        self,
        error: Unverified | Denied,
        request: Request,
        who: recognition.Recognition,
        request_id: str,
        progress: Progress,
    ) -> WireResponse:
        """The answer to a call that is nobody's, or not its key's to make, in the service's words."""
        said = spoken(request.path, request.query, request.headers, request.body)
        told = refusal(error, said.protocol, of_runtime=who.service == recognition.SAGEMAKER_RUNTIME)
        progress.outcome = told.code
        if progress.operation == "-":
            progress.operation = said.operation or "-"
        return failure(said, told, request_id)

    async def _absent(
        self,
        request: Request,
        who: recognition.Recognition,
        said: Spoken,
        request_id: str,
        progress: Progress,
        remedy: str | None = None,
    ) -> WireResponse:
        progress.operation, progress.resource, progress.outcome = said.operation or "-", who.service, "absent"
        _log.warning("a call of %s, which Mooring does not have", who.service)
        return await asyncio.to_thread(absent, request, who, said, request_id, remedy)

    async def _neighbours(
        self, request: Request, who: recognition.Recognition, said: Spoken, request_id: str, progress: Progress
    ) -> WireResponse:
        """A call of what runs beside Mooring, answered there."""
        progress.operation, progress.resource = said.operation or "-", who.service
        if self._guard is not None and progress.key is not None:
            scope = self._scope(who)
            try:
                self._guard.require(progress.key, neighbours_asked(request, who.service, said, scope), scope)
            except Denied as error:
                return self._refused(error, request, who, request_id, progress)
        try:
            if who.service == LOGS and said.protocol == JSON:
                answer = await self._endpoint_logs.answer(request, said.operation, self._scope(who), request_id)
                if answer is not None:
                    return answer
            if who.service == MONITORING:
                answer = await self._cloudwatch.answer(request, self._scope(who), request_id)
                if answer is not None:
                    return answer
            return await self._control.ask_neighbours(request, request_id)
        except NotInstalled:
            return await self._absent(request, who, said, request_id, progress, NOT_INSTALLED)
        except Exception as error:  # noqa: BLE001 - the edge, as above
            return failure(said, self._failed(error, request_id, progress), request_id)

    def _failed(self, error: Exception, request_id: str, progress: Progress) -> WireError:
        """The error as it is told; a defect of ours is logged."""
        if not is_expected(error):
            _log.exception("%s failed, request id %s", progress.operation, request_id)
        failed = wire_error(error)
        progress.outcome = failed.code
        return failed

    async def _served(
        self, request: Request, who: recognition.Recognition, protocol: Protocol, request_id: str, progress: Progress
    ) -> WireResponse:
        parsed = protocol.parse(request)
        progress.operation = parsed.operation.name
        operation = OPERATIONS.get(who.service, {}).get(parsed.operation.name)
        if progress.key is not None and who.service == recognition.STS and parsed.operation.name in sessions.LASTS_S:
            return self._session(parsed, self._scope(who), protocol, progress.key, request_id)
        if operation is None and who.service == recognition.STS:
            said = spoken(request.path, request.query, request.headers, request.body)
            return await self._neighbours(request, who, said, request_id, progress)
        if operation is None:
            _log.warning("%s of %s is not implemented", parsed.operation.name, who.service)
            what = f"the operation {parsed.operation.name} of {who.service}"
            raise protocol.unimplemented(what, INSTEAD.get(parsed.operation.name))
        scope = self._scope(who)
        if self._guard is not None and progress.key is not None:
            self._guard.require(progress.key, asked_of(who.service, parsed, scope), scope)
        require_valid(parsed.operation.input, parsed.params)
        now = round(self._clock.wall(), 3)
        caller = ANYONE if progress.key is None else progress.key.name
        call = Call(
            scope,
            parsed.operation.name,
            parsed.params,
            now,
            self._settings,
            caller,
            progress.key,
            self._control.kms_keys,
        )
        progress.resource, progress.arn = call.resource, call.arn

        def run(conn: Connection, function: Function = operation.run) -> WireResponse:
            return protocol.success(parsed.operation, function(conn, call), request_id)

        if isinstance(operation, Changing):
            refusal = await self._refusal(operation, call)
            return await self._change(request, who.service, protocol, call, run, request_id, refusal)
        if operation.prepare is not None:
            await operation.prepare(call, self._control)
        if operation.held and is_a_waiters(request.header(b"user-agent")):
            await self._holding.hold(scope, call.input["EndpointName"])
        return await self._store.read(run)

    def _session(
        self, parsed: ParsedRequest, scope: Scope, protocol: Protocol, key: AccessKey, request_id: str
    ) -> WireResponse:
        """Temporary credentials that open what `key` opens."""
        assert self._guard is not None
        self._guard.require(key, asked_of(recognition.STS, parsed, scope), scope)
        require_valid(parsed.operation.input, parsed.params)
        name, now = parsed.operation.name, self._clock.wall()
        told = sessions.answer(name, parsed.params, key, self._guard.session_key, now)
        return protocol.success(parsed.operation, told, request_id)

    async def _refusal(self, operation: Changing, call: Call) -> MooringError | None:
        """What the operation's check says against the call. A repeated call gets its first answer nevertheless."""
        if operation.check is None:
            return None
        try:
            await operation.check(call, self._control)
        except (Refused, Unavailable) as error:
            return error
        return None

    async def _change(
        self,
        request: Request,
        service: str,
        protocol: Protocol,
        call: Call,
        run: Callable[[Connection], WireResponse],
        request_id: str,
        refusal: MooringError | None,
    ) -> WireResponse:
        """Run once per invocation id. Not under a timeout: a change that is made must reach control."""
        invocation = (request.header(b"amz-sdk-invocation-id") or b"").decode("latin-1")
        kept = 0 < len(invocation) <= LONGEST_INVOCATION_ID
        digest = _digest(service, call, request.body)
        self._changes += 1
        prune = self._changes % CHANGES_BETWEEN_PRUNINGS == 1

        def change(conn: Connection) -> WireResponse:
            if prune:
                answers.prune(conn, call.now)
            first = answers.get(conn, invocation) if kept else None
            if first is not None and first.digest == digest and call.now - first.answered_at <= answers.KEPT_S:
                return protocol.again(first.status, first.content_type, first.body, request_id)
            if refusal is not None:
                raise refusal
            answer = run(conn)
            if kept:
                content_type = dict(answer.headers).get(b"Content-Type", b"").decode("latin-1")
                answers.put(conn, Answer(invocation, digest, answer.status, content_type, answer.body, call.now))
            return answer

        answer = await self._store.write(change)
        await call.tell(self._control)
        return answer


def _digest(service: str, call: Call, body: bytes) -> str:
    digest = hashlib.sha256(f"{service} {call.operation} {call.scope.account} {call.scope.region}\n".encode())
    digest.update(body)
    return digest.hexdigest()


def _request_id(request: Request) -> str:
    """The gateway's, so that one id is in both logs."""
    given = request.header(b"x-mooring-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return str(uuid.uuid4())
