"""The client side of the admin API: status, logs, events, and what AWS has no operation for."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import quote, urlencode

from mooring import __version__
from mooring.cli import waiting
from mooring.cli.calling import TIMEOUT_S, Caller
from mooring.cli.credentials import ADVICE, credentials_for
from mooring.cli.finding import Server
from mooring.errors import BadInput, MooringError, NotFound, Refused, Unavailable
from mooring.processes.identity import ProcessIdentity
from mooring.wire.signing import Credentials, signed_headers

ADMIN = "/-/mooring/v1/"
SERVICE, REGION = "mooring", "us-east-1"
"""What calls of the admin API are signed for."""
DELETE_S = 120.0


class Client:
    """Calls one server. Raises `MooringError` with one clear sentence, whatever goes wrong."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, credentials: Credentials | None = None) -> None:
        self._caller = Caller(url, timeout_s)
        self.url = url
        self.credentials = credentials
        self.date: str | None = None
        """The Date of the last answer: the server's clock."""

    def status(self) -> dict[str, Any]:
        """What runs."""
        return self._admin("GET", "status")

    def image(self, framework: str, region: str, processor: str) -> dict[str, Any]:
        """The prebuilt image of a framework: `{"image", "version", "installed"}`. Raises `NotFound`."""
        query = urlencode({"region": region, "processor": processor})
        return self._admin("GET", f"images/{quote(framework, safe='')}?{query}")

    def logs(self, name: str, region: str, after: str | None) -> dict[str, Any]:
        """Lines of an endpoint's replicas since the token `after`, and the next token."""
        query = {"region": region, **({"after": after} if after else {})}
        return self._admin("GET", f"endpoints/{quote(name, safe='')}/logs?{urlencode(query)}")

    def events(self, name: str, region: str, after: int = 0) -> dict[str, Any]:
        """What happened to an endpoint behind the position `after`."""
        query = urlencode({"region": region, "after": after})
        return self._admin("GET", f"endpoints/{quote(name, safe='')}/events?{query}")

    def shadow_report(self, name: str, region: str) -> dict[str, Any]:
        """How the answers of an endpoint's shadow variant compare."""
        return self._admin("GET", f"endpoints/{quote(name, safe='')}/shadow?{urlencode({'region': region})}")

    def invocations(self, name: str, region: str, status: str | None, after: int, limit: int) -> dict[str, Any]:
        """A page of an endpoint's asynchronous invocations."""
        wanted = {"region": region, "after": after, "limit": limit, **({"status": status} if status else {})}
        return self._admin("GET", f"endpoints/{quote(name, safe='')}/async?{urlencode(wanted)}")

    def invocation(self, name: str, region: str, identifier: str) -> dict[str, Any]:
        """What became of the asynchronous invocations under an id."""
        return self._admin("GET", f"{_invocation(name, identifier)}?{urlencode({'region': region})}")

    def change_invocation(self, name: str, region: str, identifier: str, change: str) -> dict[str, Any]:
        """`retry` or `cancel` an asynchronous invocation."""
        return self._admin("POST", f"{_invocation(name, identifier)}/{change}?{urlencode({'region': region})}")

    def force_delete(self, name: str, region: str) -> None:
        """Delete an endpoint in whatever state it is; returns when it is gone."""
        path = f"endpoints/{quote(name, safe='')}?{urlencode({'region': region})}"
        self._admin("DELETE", path, timeout_s=DELETE_S)

    def keys(self, method: str, page: str, document: dict[str, Any] | None) -> dict[str, Any]:
        """A page of the access keys."""
        body = None if document is None else json.dumps(document).encode()
        return self._admin(method, quote(page), body=body)

    def stop_endpoint(self, name: str, region: str) -> None:
        """Take an endpoint out of service; its replicas finish what they hold."""
        self._admin("POST", f"endpoints/{quote(name, safe='')}/stop?{urlencode({'region': region})}")

    def start_endpoint(self, name: str, region: str) -> None:
        """Begin to bring a stopped endpoint back into service."""
        self._admin("POST", f"endpoints/{quote(name, safe='')}/start?{urlencode({'region': region})}")

    def stop(self) -> ProcessIdentity | None:
        """Ask the server to stop; it does so after it has answered who it is (None from one that does not tell)."""
        try:
            return ProcessIdentity.from_document(self._admin("POST", "stop"))
        except ValueError:
            return None

    def _admin(
        self, method: str, path: str, *, body: bytes | None = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        headers = {"X-Mooring-Client": f"cli/{__version__}"}
        if self.credentials is not None:
            digest = hashlib.sha256(body or b"").hexdigest().encode()
            target = self.url + ADMIN + path
            headers = signed_headers(self.credentials, SERVICE, REGION, method, target, headers, digest)
        with waiting.said(f"waiting for {self.url}"):
            answer = self._caller.call(method, ADMIN + path, headers, body, timeout_s)
        self.date = answer.headers.get("date")
        document = parsed(answer.body, self.url, answer.status)
        if answer.status < 400:
            return document
        message = str(document.get("message") or f"{self.url} answered with status {answer.status}")
        if answer.status == 403 and not message.startswith("User: "):
            message = f"{message.removesuffix('.')}. {ADVICE}"
        raise {404: NotFound, 400: Refused, 503: Unavailable}.get(answer.status, MooringError)(message)


def _invocation(name: str, identifier: str) -> str:
    return f"endpoints/{quote(name, safe='')}/async/{quote(identifier, safe='')}"


def client_of(server: Server, timeout_s: float = TIMEOUT_S) -> Client:
    """A client of a server that was found. Raises `Unavailable` when none runs there."""
    return Client(server.require_url(), timeout_s, credentials_for(server))


def parsed(text: bytes, url: str, status: int) -> dict[str, Any]:
    """A JSON object from a body. Raises `Unavailable` for what Mooring would not have said."""
    try:
        document = json.loads(text or b"{}")
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    raise Unavailable(f"what answers at {url} is not Mooring (status {status})")


def region_of(client: Client, name: str, region: str | None, preferred: str | None) -> str:
    """The region of the endpoint `name`: the one given, else the only one that has it, else the preferred one's."""
    if region:
        return region
    found = {str(each["region"]) for each in client.status().get("endpoints", []) if each.get("name") == name}
    if not found:
        raise NotFound(f'there is no endpoint "{name}" at {client.url}: `mooring status` shows those that are')
    if len(found) == 1:
        return found.pop()
    if preferred in found:
        return str(preferred)
    raise BadInput(f'"{name}" is in several regions ({", ".join(sorted(found))}): name one with --region')
