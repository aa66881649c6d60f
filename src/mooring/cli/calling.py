"""HTTP to one URL, for every client of the command line.

It goes straight there: a proxy of the environment has no business between two processes of one machine. Whatever goes
wrong on the way is one clear sentence, with the URL in it.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from mooring.errors import BadInput, Unavailable

TIMEOUT_S = 30.0
RENEWAL_S = 2.5
"""Gateways look at the files of their certificate each second, each by itself."""
BLOCK_BYTES = 1024 * 1024
"""Of a body that is sent from a file; http.client's own is 8 KiB."""


class Readable(Protocol):
    """A body that is read while it is sent."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Caller:
    """Calls one server. Raises `Unavailable` when it does not answer, `BadInput` for what is no URL."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
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

    def call(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Readable | None = None,
        timeout_s: float | None = None,
    ) -> Answer:
        """The answer to one request. A body that is no bytes needs its Content-Length among the headers."""
        with self.open(method, target, headers, body, timeout_s) as response:
            try:
                text = response.read()
            except TimeoutError:
                raise self._late() from None
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from None
            return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, text)

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Readable | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer as it comes; reading it raises what `http.client` raises."""
        try:
            connection = self._connected(timeout_s or self._timeout_s)
        except TimeoutError:
            raise self._late() from None
        try:
            try:
                response = self._sent(connection, method, target, headers, body)
            except TimeoutError:
                raise self._late() from None
            except http.client.HTTPException as error:
                raise self._unreachable(error) from None
            with response:
                yield response
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s, blocksize=BLOCK_BYTES)
        from mooring.cli.trusting import context_for  # ssl, which plain HTTP has no need of

        return http.client.HTTPSConnection(
            self._host, self._port, timeout=timeout_s, blocksize=BLOCK_BYTES, context=context_for(self.url)
        )

    def _connected(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection that is there. Of a server's gateways one may still show the certificate of before."""
        deadline = time.monotonic() + RENEWAL_S
        while True:
            connection = self._connection(timeout_s)
            try:
                connection.connect()
            except TimeoutError:
                raise
            except OSError as error:
                if self._secure:
                    from mooring.cli.trusting import may_be_renewed, refuse_untrusted

                    if may_be_renewed(self.url, error) and time.monotonic() < deadline:
                        time.sleep(0.1)
                        continue
                    refuse_untrusted(self.url, error)
                raise self._unreachable(error) from None
            return connection

    def _sent(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | Readable | None,
    ) -> http.client.HTTPResponse:
        source = _Source(body) if body is not None and not isinstance(body, bytes) else body
        broken: OSError | None = None
        try:
            connection.request(method, target, source, dict(headers))
        except TimeoutError:
            raise
        except OSError as error:
            if isinstance(source, _Source) and source.failed:
                raise  # the file's, not the connection's
            broken = error  # a server that refuses a body answers before it has read it
        try:
            return connection.getresponse()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(broken or error) from None

    def _late(self) -> Unavailable:
        return Unavailable(f"{self.url} did not answer in time")

    def _unreachable(self, error: Exception) -> Unavailable:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Unavailable(f"no server answers at {self.url}: {reason}")


class _Source:
    """A body, and whether reading it has failed."""

    def __init__(self, body: Readable) -> None:
        self._body = body
        self.failed = False

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._body.read(size)
        except OSError:
            self.failed = True
            raise
