"""The client side of the admin API: status, logs, events, and what AWS has no operation for."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from mooring import __version__
from mooring.cli import waiting
from mooring.cli.calling import TIMEOUT_S, Caller
from mooring.errors import BadInput, MooringError, NotFound, Refused, Unavailable
from mooring.processes.identity import ProcessIdentity

ADMIN = "/-/mooring/v1/"
DELETE_S = 120.0


class Client:
    """Calls one server. Raises `MooringError` with one clear sentence, whatever goes wrong."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._caller = Caller(url, timeout_s)
        self.url = url
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

    def force_delete(self, name: str, region: str) -> None:
        """Delete an endpoint in whatever state it is; returns when it is gone."""
        path = f"endpoints/{quote(name, safe='')}?{urlencode({'region': region})}"
        self._admin("DELETE", path, timeout_s=DELETE_S)

    def stop(self) -> ProcessIdentity | None:
        """Ask the server to stop; it does so after it has answered who it is (None from one that does not tell)."""
        try:
            return ProcessIdentity.from_document(self._admin("POST", "stop"))
        except ValueError:
            return None

    def _admin(self, method: str, path: str, *, timeout_s: float | None = None) -> dict[str, Any]:
        headers = {"X-Mooring-Client": f"cli/{__version__}"}
        with waiting.said(f"waiting for {self.url}"):
            answer = self._caller.call(method, ADMIN + path, headers, timeout_s=timeout_s)
        self.date = answer.headers.get("date")
        document = parsed(answer.body, self.url, answer.status)
        if answer.status < 400:
            return document
        message = str(document.get("message") or f"{self.url} answered with status {answer.status}")
        raise {404: NotFound, 400: Refused, 503: Unavailable}.get(answer.status, MooringError)(message)


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
        raise NotFound(f'there is no endpoint "{name}" at {client.url}')
    if len(found) == 1:
        return found.pop()
    if preferred in found:
        return str(preferred)
    raise BadInput(f'"{name}" is in several regions ({", ".join(sorted(found))}): name one with --region')
