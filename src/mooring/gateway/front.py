"""The client's side of a gateway: what each request is, and where it goes.

S3 is told apart on the raw head, before the parser has eaten any of it, because such a connection leaves this process
with its bytes. For an invocation that costs one comparison of the first bytes. Everything that is neither is an API
call for control.

What a foreign web page sends is refused first, whatever it is (`mooring.wire.browsers`). An invocation whose headers
are those of the last one on its connection has passed already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import perf_counter

from mooring.gateway import faults
from mooring.gateway.asynchronous import Asynchronous
from mooring.gateway.forwarding import API_BODY_LIMIT_BYTES, Forwarder
from mooring.gateway.handover import Handover
from mooring.gateway.headers import (
    ASYNC,
    AUTHORIZATION,
    ENABLE_EXPLANATIONS,
    INVOKE,
    SESSION_ID,
    STREAM,
    TARGET_VARIANT,
    Api,
    unfit,
)
from mooring.gateway.invocation import Client, Invocation
from mooring.gateway.kinds import kind_of
from mooring.gateway.pipeline import Pipeline
from mooring.gateway.routes import RouteTable
from mooring.gateway.sessions import InSession, Sessions
from mooring.gateway.streaming import EventStream
from mooring.gateway.targets import NOT_YET, SERVED, begins_invocation, endpoint_and_api
from mooring.http1.budget import Budget
from mooring.http1.connection import ServerConnection
from mooring.http1.listening import Limits, Listening, plain_text
from mooring.http1.messages import Request, Response
from mooring.http1.ticking import Ticker
from mooring.traces import context
from mooring.traces.tracing import Tracing
from mooring.wire import browsers
from mooring.wire.recognition import ADMIN_PREFIX, ENDPOINTS_PREFIX, OWN_PREFIX, is_for_s3, read_head
from mooring.wire.sigv4 import claimed_credential

log = logging.getLogger("mooring.gateway")

LONGEST_REGION = 64
"""Of a region that a message repeats."""
_KNOWN = INVOKE.known


class Front(Listening):
    """What a gateway's connections share."""

    __slots__ = (
        "_allowed_hosts",
        "_loopback",
        "account",
        "asynchronous",
        "forwarder",
        "handover",
        "region",
        "routes",
        "sessions",
        "tracing",
    )

    def __init__(
        self,
        limits: Limits,
        ticker: Ticker,
        routes: RouteTable,
        sessions: Sessions,
        forwarder: Forwarder,
        handover: Handover,
        asynchronous: Asynchronous,
        *,
        account: str,
        region: str,
        buffered_limit: float,
        host: str,
        allowed_hosts: str,
        tracing: Tracing | None = None,
    ) -> None:
        super().__init__(limits, ticker, Budget(buffered_limit))
        self.routes = routes
        self.sessions = sessions
        self.forwarder = forwarder
        self.handover = handover
        self.asynchronous = asynchronous
        self.account = account
        self.region = region.encode()
        self.tracing = tracing
        self._loopback = browsers.is_loopback(host)
        self._allowed_hosts = browsers.allowed_names(allowed_hosts)

    def refusal(self, headers: Iterable[tuple[bytes, bytes]]) -> Response | None:
        """The answer to a request that a foreign web page made."""
        why = browsers.refusal(headers, loopback=self._loopback, allowed_hosts=self._allowed_hosts)
        return None if why is None else faults.access_denied(why)

    def region_of(self, authorization: bytes | None, query: bytes = b"") -> bytes:
        """The region that a call's credential names; the account's own for an unsigned one."""
        if authorization is not None and not query:
            parts = authorization.split(b"/", 3)  # …Credential=KEY/date/region/service/…
            if len(parts) == 4:
                return parts[2]
        credential = claimed_credential(authorization, query)
        return self.region if credential is None or credential.region is None else credential.region.encode()


def _known(request: Request, api: Api) -> dict[bytes, bytes]:
    """What an operation looks at in a request."""
    return {name: value for name, value in request.headers if name in api.known and name != AUTHORIZATION}


class FrontConnection(ServerConnection):
    """One client."""

    __slots__ = (
        "_api",
        "_arrived",
        "_events",
        "_front",
        "_head",
        "_held",
        "_invocation",
        "_known",
        "_leaving",
        "_line",
        "_special",
    )

    relayed = INVOKE.relayed

    def __init__(self, front: Front) -> None:
        super().__init__(front)
        self._front = front
        self._held = bytearray()  # the beginning of a message whose head is not complete
        self._invocation: Invocation | None = None
        self._known: dict[bytes, bytes] = {}  # of the last invocation: clients repeat their headers
        self._api = INVOKE  # of the last invocation
        self._special = False  # it was a stream, in a session, or says what is to be explained
        self._events: EventStream | None = None  # the last stream
        self._head = INVOKE.container_head({})
        self._leaving = False  # being handed over
        self._arrived = 0.0  # when the last bytes came
        self._line = b"\n"  # the request line of the last invocation: clients repeat it

    def data_received(self, data: bytes) -> None:
        self._arrived = perf_counter()
        if self._request is None and (self._held or not data.startswith(self._line)):
            if self._held or not begins_invocation(data):
                self._unusual(data)
                return
            self._line = data[: data.index(b"\n") + 1]
        self._is_1_1 = self._request is None  # the line says so
        ServerConnection.data_received(self, data)

    def request_received(self, request: Request) -> None:
        known = {name: value for name, value in request.headers if name in _KNOWN}
        region = self._front.region_of(known.pop(AUTHORIZATION, None))
        pipeline = self._front.routes.by_target.get((region, request.target))
        if pipeline is None or request.method != b"POST":
            self._rare(request, known)
        else:
            self._invoke(request, known, pipeline)

    def client_lost(self) -> None:
        invocation, self._invocation = self._invocation, None
        if invocation is not None:
            invocation.cancel()

    def writing_paused(self) -> None:
        if self._invocation is not None:
            self._invocation.pause()

    def writing_resumed(self) -> None:
        if self._invocation is not None:
            self._invocation.resume()

    def head_received(self, request: Request, length: int | None) -> Response | int:
        """Refuse before the body comes, where that is possible; else its limit."""
        refusal = self._front.refusal(request.headers)
        if refusal is not None:
            return refusal
        limit = API_BODY_LIMIT_BYTES
        if request.method == b"POST" and (named := endpoint_and_api(request.target)) is not None:
            found = self._limit_of(request, named[0], SERVED.get(named[1], INVOKE))
            if isinstance(found, Response):
                return found
            limit = found
            if length is not None and length > limit:
                return self.too_long(request, limit)
        return limit

    def too_long(self, request: Request, limit: int) -> Response:
        named = endpoint_and_api(request.target)
        pipeline = None if named is None else self._find(request, named[0])
        return faults.body_too_long(limit) if pipeline is None else faults.oversize(pipeline)

    def no_room(self) -> Response:
        return faults.no_memory()

    def _limit_of(self, request: Request, name: bytes, api: Api) -> Response | int:
        """How large the body of an invocation may be; the answer when there is no such endpoint."""
        pipeline = self._find(request, name)
        return self._unknown(request, name, api) if pipeline is None else pipeline.body_limit

    def close_if_idle(self) -> None:
        if not self._held and not self._leaving:
            super().close_if_idle()

    def sweep(self, now: float) -> None:
        if not self._leaving:
            super().sweep(now)

    def _is_amid_head(self) -> bool:
        return bool(self._held) or super()._is_amid_head()

    # Invocations

    def end_stream(self) -> bool:
        """End a stream that is under way, though its model would go on; False when there is none."""
        if self._events is None or not self._events.streaming or self._invocation is None:
            return False
        self._invocation.cancel()
        self._events.give_up()
        return True

    def end_with(self, error: str) -> None:
        """The answer that began is whole, and tells of this error."""
        self.end()

    def _invoke(self, request: Request, known: dict[bytes, bytes], pipeline: Pipeline, api: Api = INVOKE) -> None:
        body = request.body
        if len(body) > pipeline.body_limit:
            self.respond_with(faults.oversize(pipeline))
            return
        said = known
        if known != self._known and not context.HEADERS.isdisjoint(known):
            # A trace is another in each call: the rest of the headers may well be as before.
            known = {name: value for name, value in known.items() if name not in context.HEADERS}
        if known != self._known or api is not self._api:
            endpoint = pipeline.route.endpoint
            refusal = (
                self._front.refusal(known.items()) or api.violation(endpoint.encode(), known) or unfit(endpoint, known)
            )
            if refusal is not None:
                self.respond_with(refusal)
                return
            self._known, self._api = known, api
            self._special = api is STREAM or SESSION_ID in known or ENABLE_EXPLANATIONS in known
            self._head = api.container_head(known)
        kind = Invocation if pipeline.plain else kind_of(pipeline)
        trace = b"" if said is known and self._front.tracing is None else self._trace(said, said is not known)
        head = b"%b%d\r\n%b\r\n" % (self._head, len(body), trace)
        if self._special:
            self._invoke_specially(kind, pipeline, head, body, said)
            return
        invocation = kind(self, pipeline, head, body, said, self._arrived)
        self._invocation = invocation
        invocation.invoke(known.get(TARGET_VARIANT))

    def _invoke_specially(
        self, kind: type[Invocation], pipeline: Pipeline, head: bytes, body: bytes, said: dict[bytes, bytes]
    ) -> None:
        """A call whose answer is a stream, that is in a session, or that says what of it is to be explained."""
        known, api = self._known, self._api
        if ENABLE_EXPLANATIONS in known and not pipeline.explained:
            self.respond_with(faults.no_explainer(pipeline.route.endpoint))
            return
        client: Client = self
        if api is STREAM:
            client = self._events = EventStream(self)
        target, session = known.get(TARGET_VARIANT), known.get(SESSION_ID)
        entered: InSession | None = None
        if session is not None:
            found = self._front.sessions.enter(client, pipeline, session, target)
            if isinstance(found, Response):
                self.respond_with(found)
                return
            client = entered = found
        invocation = kind(client, pipeline, head, body, said, self._arrived, api.operation)
        if entered is not None:
            entered.cancel = invocation.cancel
        invocation.as_it_comes = api is STREAM
        self._invocation = invocation
        invocation.invoke(target, None if entered is None else entered.variant)

    def _trace(self, said: dict[bytes, bytes], is_traced: bool) -> bytes:
        """The lines of the trace for the replica; `is_traced` when the caller says something of one."""
        tracing = self._front.tracing
        if tracing is None:
            return context.lines(said)
        return tracing.lines(said if is_traced else None)

    def _rare(self, request: Request, known: dict[bytes, bytes]) -> None:
        """Not an invocation of an endpoint in service under its plain name."""
        refusal = self._front.refusal(request.headers)
        if refusal is not None:
            self.respond_with(refusal)
            return
        named = endpoint_and_api(request.target) if request.method == b"POST" else None
        if named is None:
            self._not_named(request)
            return
        name, last = named
        api = SERVED.get(last)
        if last in NOT_YET:
            log.info("%s was asked for and is not there yet", NOT_YET[last])
            self.respond_with(faults.not_there_yet(NOT_YET[last]))
        elif api is None:
            self._front.forwarder.forward(request, self)
        elif (pipeline := self._find(request, name)) is None:
            self.respond_with(self._unknown(request, name, api))
        elif (pipeline.route.async_inference is not None) is not (api is ASYNC):
            wrong = faults.not_asynchronous if api is ASYNC else faults.only_asynchronous
            self.respond_with(wrong(pipeline.route.endpoint))
        elif api is ASYNC:
            self._accept(request, _known(request, api), pipeline)
        else:
            self._invoke(request, _known(request, api), pipeline, api)

    def _accept(self, request: Request, known: dict[bytes, bytes], pipeline: Pipeline) -> None:
        """An asynchronous call: answered once its job is on disk."""
        begun = self._front.asynchronous.begin(pipeline.route, known, request.body, self.respond_with)
        if begun is not None:
            self.respond_with(begun)

    def _not_named(self, request: Request) -> None:
        path = request.path
        if path.startswith(ENDPOINTS_PREFIX) or (path.startswith(OWN_PREFIX) and not path.startswith(ADMIN_PREFIX)):
            self.respond_with(faults.no_such_path(path))
        else:
            self._front.forwarder.forward(request, self)

    def _find(self, request: Request, name: bytes) -> Pipeline | None:
        return self._front.routes.find(self._region(request), name)

    def _region(self, request: Request) -> bytes:
        return self._front.region_of(request.header(AUTHORIZATION), request.query)

    def _unknown(self, request: Request, name: bytes, api: Api) -> Response:
        """The answer to a name that is nobody's: a name that no endpoint can have is told to be that."""
        impossible = api.violation(name, _known(request, api))
        if impossible is not None:
            return impossible
        elsewhere = self._front.routes.regions_of(name)
        region = ascii(self._region(request)[:LONGEST_REGION].decode("latin-1"))[1:-1]
        return faults.no_such_endpoint(name.decode("utf-8", "replace"), self._front.account, region, elsewhere)

    def respond_with(self, response: Response) -> None:
        """Answer the current request."""
        self.respond(response.status, response.headers, response.body)

    # Messages that do not begin like an invocation

    def _unusual(self, data: bytes) -> None:
        if self._lingering:
            return
        held = self._held
        if not held:
            self._since = self._front.ticker.now
        searched = max(0, len(held) - 3)
        held += data
        end = held.find(b"\r\n\r\n", searched)
        limit = self._front.limits.header_bytes
        if end < 0 and len(held) <= limit:
            return
        if self.busy or self._queue:
            self._pause_reading()  # goes on in `reading_resumed`
            return
        message = bytes(held)
        held.clear()
        if end < 0 or end > limit:
            self.refuse(plain_text(431, f"The head of a request may have {limit} bytes."))
        elif (head := read_head(message[:end])) is None or not is_for_s3(head):
            ServerConnection.data_received(self, message)
        elif (refusal := self._front.refusal(head.headers)) is not None:
            self.refuse(refusal)
        else:
            self._leaving = True
            self._pause_reading()
            self._front.handover.begin(self, message)

    def not_taken(self, refusal: Response) -> None:
        """The objects front did not take this connection: it stays, and is answered here."""
        self._leaving = False
        self.refuse(refusal)

    def reading_resumed(self) -> None:
        if self._held:
            self._unusual(b"")
