"""The admin API, `/-/mooring/v1/...`: what the command line asks for, in plain JSON.

Every request must carry `X-Mooring-Client`: a web page cannot send that header to another site without being asked
first, and nobody answers such a question here.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from mooring.access.deciding import Denied
from mooring.api import endpoint_operations
from mooring.api.calls import Call, Control
from mooring.api.operations import Function
from mooring.clock import Clock
from mooring.engines import framework_images
from mooring.errors import BadInput, MooringError, NotFound, Unavailable
from mooring.hosting.naming import Scope
from mooring.http1.messages import Request, Response
from mooring.processes import identity
from mooring.settings import Settings
from mooring.store import Store
from mooring.wire.signatures import Unverified

PREFIX = "/-/mooring/v1/"
CLIENT_HEADER = b"x-mooring-client"
NO_PAGE = "There is no such page in the admin API."
INVOCATIONS_SHOWN = 50
_REGIONAL = frozenset(("endpoints", "images"))
"""Pages of which each region has its own. The others have one name only, or a policy could be led around by another."""

_log = logging.getLogger("mooring.api")


class Administration:
    """Answers the admin API."""

    def __init__(
        self, settings: Settings, store: Store, clock: Clock, control: Control, stop_server: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._control = control
        self._stop_server = stop_server

    async def handle(self, request: Request) -> Response:
        """The answer to a request below `/-/mooring/`; it never raises."""
        if request.header(CLIENT_HEADER) is None:
            return _failed(HTTPStatus.FORBIDDEN, "The header X-Mooring-Client is needed.")
        try:
            return await self._routed(request)
        except NotFound as error:
            return _failed(HTTPStatus.NOT_FOUND, str(error))
        except Unavailable as error:
            return _failed(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except MooringError as error:
            return _failed(HTTPStatus.BAD_REQUEST, str(error))
        except Exception:  # noqa: BLE001 - the edge: no trace goes to a client
            _log.exception("%s failed", request.path)
            return _failed(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error; the log of the server says more.")

    async def _routed(self, request: Request) -> Response:
        query, scope = query_of(request), scope_of(request, self._settings)
        match request.method.decode("latin-1"), parts_of(request):
            case "GET", ["keys"]:
                return _json(HTTPStatus.OK, await self._control.keys.listed())
            case "POST", ["keys"]:
                return _json(HTTPStatus.OK, await self._control.keys.create(*wanted_key(request.body)))
            case "DELETE", ["keys", key]:
                return _json(HTTPStatus.OK, await self._control.keys.revoke(key))
            case "GET", ["status"]:
                return _json(HTTPStatus.OK, await self._control.status())
            case "GET", ["images", framework]:
                image = framework_images.image_of(framework, scope.region, query.get("processor", "cpu"))
                return _json(HTTPStatus.OK, dataclasses.asdict(image))
            case method, ["endpoints", name, "async", *rest]:
                return await self._invocations(method, scope, name, rest, query)
            case "GET", ["endpoints", name, page]:
                return await self._shown(page, scope, name, query.get("after"))
            case "DELETE", ["endpoints", name]:
                await self._control.force_delete(scope, name)
                return _json(HTTPStatus.OK, {})
            case "POST", ["endpoints", name, "stop"]:
                return await self._changed(endpoint_operations.stop_endpoint, scope, name)
            case "POST", ["endpoints", name, "start"]:
                return await self._changed(endpoint_operations.start_endpoint, scope, name)
            case "POST", ["stop"]:
                # Asked before the signal: the caller watches this very process, since its port says little of its end.
                supervisor = identity.of(os.getppid())
                self._stop_server()
                return _json(HTTPStatus.ACCEPTED, {} if supervisor is None else supervisor.to_document())
        return _failed(HTTPStatus.NOT_FOUND, NO_PAGE)

    async def _shown(self, page: str, scope: Scope, name: str, after: str | None) -> Response:
        """What can be read of one endpoint."""
        match page:
            case "logs":
                return _json(HTTPStatus.OK, await self._control.logs(scope, name, after))
            case "events":
                return _json(HTTPStatus.OK, await self._control.events(scope, name, _position(after)))
            case "shadow":
                return _json(HTTPStatus.OK, await self._control.shadow_report(scope, name))
        return _failed(HTTPStatus.NOT_FOUND, NO_PAGE)

    async def _invocations(
        self, method: str, scope: Scope, name: str, rest: list[str], query: Mapping[str, str]
    ) -> Response:
        """The asynchronous invocations of one endpoint."""
        invocations = self._control.invocations
        match method, rest:
            case "GET", []:
                after, limit = _position(query.get("after")), _position(query.get("limit")) or INVOCATIONS_SHOWN
                found = await invocations.listed(scope, name, query.get("status"), after, limit)
            case "GET", [wanted]:
                found = await invocations.shown(scope, name, wanted)
            case "POST", [wanted, "retry"]:
                found = await invocations.retry(scope, name, wanted)
            case "POST", [wanted, "cancel"]:
                found = await invocations.cancel(scope, name, wanted)
            case _:
                return _failed(HTTPStatus.NOT_FOUND, NO_PAGE)
        return _json(HTTPStatus.OK, found)

    async def _changed(self, function: Function, scope: Scope, name: str) -> Response:
        """One durable change of an endpoint, which AWS has no operation for."""
        now = round(self._clock.wall(), 3)
        call = Call(scope, function.__name__, {"EndpointName": name}, now, self._settings)
        await self._store.write(lambda conn: function(conn, call))
        await call.tell(self._control)
        return _json(HTTPStatus.OK, {})


def parts_of(request: Request) -> list[str]:
    """The page that a request is for, cut at the slashes."""
    return [unquote(part) for part in request.path.decode("latin-1").removeprefix(PREFIX).split("/")]


def query_of(request: Request) -> dict[str, str]:
    """What stands behind the page's name."""
    return dict(parse_qsl(request.query.decode("latin-1")))


def scope_of(request: Request, settings: Settings) -> Scope:
    """Whose endpoints or images a page is about, whatever region it is signed for; all else is of no region."""
    home = settings.account.region
    regional = parts_of(request)[0] in _REGIONAL
    return Scope(settings.account.id, query_of(request).get("region", home) if regional else home)


def refused(error: Unverified | Denied) -> Response:
    """The answer to a call that is nobody's, or not its key's to make."""
    return _failed(HTTPStatus.FORBIDDEN, str(error))


def wanted_key(body: bytes) -> tuple[str | None, Mapping[str, Any] | None]:
    """Name and policy of a key to make. Raises `BadInput`."""
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not document.keys() <= {"name", "policy"}:
        raise BadInput('A key is a JSON object with "name" and "policy", or without either.')
    name, policy = document.get("name"), document.get("policy")
    if not isinstance(name, str | None) or not isinstance(policy, dict | None):
        raise BadInput("The name of a key is a string, and its policy a JSON object.")
    return name, policy


def _position(text: str | None) -> int:
    """A place in a history; from the beginning where none is named, or none that can be."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 19 else 0


def _json(status: int, document: dict[str, Any]) -> Response:
    body = json.dumps(document, separators=(",", ":")).encode()
    return Response(int(status), ((b"Content-Type", b"application/json"),), body)


def _failed(status: int, message: str) -> Response:
    return _json(status, {"message": message})
