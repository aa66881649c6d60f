"""The client side of the server's API: the admin API's calls, and AWS's DeleteEndpoint.

It goes straight to the URL: a proxy of the environment has no business between two processes of one machine.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from mooring import __version__
from mooring.cli import waiting
from mooring.errors import BadInput, InProgress, MooringError, NotFound, Refused, Unavailable
from mooring.processes.identity import ProcessIdentity

ADMIN = "/-/mooring/v1/"
CONNECT_AND_READ_S = 30.0
DELETE_S = 120.0
_AWS_ERRORS = {"ResourceInUse": InProgress, "ValidationException": Refused}


class Client:
    """Calls one server. Raises `MooringError` with one clear sentence, whatever goes wrong."""

    def __init__(self, url: str, timeout_s: float = CONNECT_AND_READ_S) -> None:
        self.url = url
        self._timeout_s = timeout_s
        parts = urlsplit(url)
        try:
            self._port = parts.port
        except ValueError:
            raise BadInput(f"{url!r} has no valid port") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInput(f"{url!r} is not a URL such as http://127.0.0.1:8080")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname

    def status(self) -> dict[str, Any]:
        """What runs."""
        return self._admin("GET", "status")

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

    def delete_endpoint(self, name: str, region: str) -> None:
        """AWS's own DeleteEndpoint."""
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        scope = f"{now[:8]}/{region}/sagemaker/aws4_request"
        headers = {
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "SageMaker.DeleteEndpoint",
            "X-Amz-Date": now,
            # The credential scope is where a server reads the region from; there is nobody's key to sign with.
            "Authorization": f"AWS4-HMAC-SHA256 Credential=mooring/{scope}, SignedHeaders=host, Signature={'0' * 64}",
        }
        status, body = self._request("POST", "/", headers, json.dumps({"EndpointName": name}).encode())
        if status >= 400:
            kind = str(body.get("__type", "")).rpartition("#")[2]
            message = str(body.get("message") or body.get("Message") or kind or f"status {status}")
            raise _AWS_ERRORS.get(kind, MooringError)(message)

    def _admin(self, method: str, path: str, *, timeout_s: float | None = None) -> dict[str, Any]:
        status, body = self._request(method, ADMIN + path, {"X-Mooring-Client": f"cli/{__version__}"}, None, timeout_s)
        if status < 400:
            return body
        message = str(body.get("message") or f"{self.url} answered with status {status}")
        raise {404: NotFound, 400: Refused, 503: Unavailable}.get(status, MooringError)(message)

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float | None = None
    ) -> tuple[int, dict[str, Any]]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout_s or self._timeout_s)
        try:
            with waiting.said(f"waiting for {self.url}"):
                connection.request(method, path, body, dict(headers))
                answer = connection.getresponse()
                text = answer.read()
        except TimeoutError:
            raise Unavailable(f"{self.url} did not answer in time") from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unavailable(f"no server answers at {self.url}: {reason}") from None
        finally:
            connection.close()
        return answer.status, self._parsed(text, answer.status)

    def _parsed(self, text: bytes, status: int) -> dict[str, Any]:
        try:
            document = json.loads(text or b"{}")
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
        raise Unavailable(f"what answers at {self.url} is not Mooring (status {status})")


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
