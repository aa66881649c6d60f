"""S3 as asynchronous inference reads and writes it: kept connections, and no object is ever whole in memory.

The same endpoint, addresses and words for what fails as `mooring.objects.client`, for a loop that does many calls side
by side. A call that a kept connection lost before its answer began is made once more: reading twice is reading, and
the same object written twice is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from mooring.errors import MooringError
from mooring.http1.client import Interrupted, Lost, NotConnected
from mooring.http1.streaming import StreamConnection, StreamPool
from mooring.objects import xml
from mooring.objects.client import OWN_STORE, OWN_STORE_TO_WRITE, SourceError, credentials_of, failure_of
from mooring.objects.errors import S3Error
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.wire.canonical import EMPTY_SHA256
from mooring.wire.signing import Credentials, signed_headers

SILENCE_S = 30.0
"""How long S3 may say nothing, or take nothing, before a call counts as failed."""
PIECE_BYTES = 256 * 1024
CONTINUE_S = 1.0
"""How long a store may take to say that it wants a large body; then it gets it unasked."""
_ERROR_BYTES = 64 * 1024
_UNSIGNED = b"UNSIGNED-PAYLOAD"
_AWAY_CODES = frozenset(
    {
        "Unreachable", "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "408", "429",
        "Throttling", "ThrottlingException", "TooManyRequests",
        "RequestTimeTooSkewed",  # a clock is wrong, this machine's perhaps, and will be right again
    }
)  # fmt: skip


def is_away(error: SourceError) -> bool:
    """Whether S3 could not answer just now, so that the same call may do later."""
    return error.code in _AWAY_CODES or error.code.startswith("5")


class Download:
    """An object being read: `read` until it returns b"", then or before `close`."""

    def __init__(self, pool: StreamPool, connection: StreamConnection, what: str) -> None:
        self._pool = pool
        self._connection = connection
        self._what = what
        self.length = int(connection.header(b"content-length") or b"0")
        self.content_type = (connection.header(b"content-type") or b"").decode("latin-1")

    async def read(self) -> bytes:
        """The next bytes. Raises `SourceError` when the object ends too early."""
        try:
            async with asyncio.timeout(SILENCE_S):
                return await self._connection.read()
        except (Interrupted, TimeoutError) as error:
            raise SourceError("Unreachable", self._what, str(error) or "it says nothing") from None

    def close(self) -> None:
        """Done with it; what is left unread costs the connection."""
        self._pool.give_back(self._connection)


class AsyncS3:
    """Calls to one endpoint; build with `open_async_s3`."""

    def __init__(self, endpoint: str, socket_path: str, region: str, credentials: Credentials | None) -> None:
        self._endpoint = urlsplit(endpoint or "http://localhost")
        self._own = not endpoint
        self._region = region
        self._credentials = credentials
        self._pool = StreamPool(socket_path) if self._own else self._pool_elsewhere()

    def _pool_elsewhere(self) -> StreamPool:
        is_tls = self._endpoint.scheme == "https"
        address = f"{self._endpoint.hostname}:{self._endpoint.port or (443 if is_tls else 80)}"
        return StreamPool(address, tls=ssl.create_default_context if is_tls else None)

    async def get(self, bucket: str, key: str) -> Download:
        """Open an object for reading. Raises `SourceError`."""
        what = f"s3://{bucket}/{key}"
        connection = await self._begun("GET", bucket, key, {}, what)
        if connection.status != 200:
            raise await self._refusal(connection, what, OWN_STORE)
        if connection.header(b"content-length") is None:
            connection.close()
            raise SourceError("MissingContentLength", what)
        return Download(self._pool, connection, what)

    async def put(self, bucket: str, key: str, body: bytes | Path, headers: Mapping[str, str]) -> None:
        """Write an object, all or nothing. Raises `SourceError`; OSError when the file cannot be read."""
        what = f"s3://{bucket}/{key}"
        for attempt in range(2):
            with contextlib.suppress(Lost):
                connection = await self._put(bucket, key, body, headers, what, fresh=attempt > 0)
                if connection.status != 200:
                    raise await self._refusal(connection, what, OWN_STORE_TO_WRITE)
                await self._finish(connection, what)
                return
        raise SourceError("Unreachable", what, "it closes connections before it answers")

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._pool.close()

    async def _put(
        self, bucket: str, key: str, body: bytes | Path, headers: Mapping[str, str], what: str, *, fresh: bool
    ) -> StreamConnection:
        """Raises `Lost` where the call can be made again at once."""
        length = len(body) if isinstance(body, bytes) else await asyncio.to_thread(_size, body)
        digest = await self._digest(body)
        if isinstance(body, Path) and length <= PIECE_BYTES:
            body = await asyncio.to_thread(body.read_bytes)
        sent = {**headers, "Content-Length": str(length)}
        if isinstance(body, Path):
            sent["Expect"] = "100-continue"  # one who refuses would reset the connection under its own answer
        head = self._head("PUT", bucket, key, sent, digest)
        async with self._told(what):
            connection = await self._pool.take(fresh=fresh)
        try:
            async with self._told(what):
                if isinstance(body, bytes):
                    connection.begin(head + body)
                else:
                    connection.begin(head)
                    if await connection.wanted(CONTINUE_S):
                        await _send_file(connection, body, length)
                async with asyncio.timeout(SILENCE_S):
                    await connection.answered()
        except BaseException:
            connection.close()
            raise
        return connection

    async def _begun(
        self, method: str, bucket: str, key: str, headers: Mapping[str, str], what: str
    ) -> StreamConnection:
        """A connection on which the head of the answer is here."""
        head = self._head(method, bucket, key, headers, EMPTY_SHA256)
        for attempt in range(2):
            async with self._told(what):
                connection = await self._pool.take(fresh=attempt > 0)
            try:
                async with self._told(what), asyncio.timeout(SILENCE_S):
                    connection.begin(head)
                    await connection.answered()
                return connection
            except Lost:
                connection.close()
            except BaseException:
                connection.close()
                raise
        raise SourceError("Unreachable", what, "it closes connections before it answers")

    @contextlib.asynccontextmanager
    async def _told(self, what: str) -> AsyncIterator[None]:
        """What fails in here is `SourceError`; only `Lost` goes on as it is."""
        try:
            yield
        except Lost:
            raise
        except (NotConnected, Interrupted, TimeoutError) as error:
            raise SourceError("Unreachable", what, str(error) or f"no answer within {SILENCE_S:g} s") from None

    async def _finish(self, connection: StreamConnection, what: str) -> None:
        """Read the rest of an answer that nobody needs."""
        try:
            async with self._told(what), asyncio.timeout(SILENCE_S):
                await connection.read_all(_ERROR_BYTES)
        except BaseException:
            connection.close()
            raise
        self._pool.give_back(connection)

    async def _refusal(self, connection: StreamConnection, what: str, own_store: str) -> SourceError:
        document = b""
        try:
            async with asyncio.timeout(SILENCE_S):
                document = await connection.read_all(_ERROR_BYTES)
        except (MooringError, TimeoutError):
            connection.close()
        self._pool.give_back(connection)
        code, message = "", ""
        with contextlib.suppress(S3Error):  # not S3's form: the status says it
            root = xml.parse(document, "Error")
            code, message = root.value("Code") or "", root.value("Message") or ""
        return failure_of(connection.status, code, message, what, own_store if self._own else "")

    async def _digest(self, body: bytes | Path) -> bytes:
        """What signs a body: over TLS nothing does, as with the SDKs."""
        if self._credentials is None or self._endpoint.scheme == "https":
            return _UNSIGNED
        if isinstance(body, bytes):
            return hashlib.sha256(body).hexdigest().encode()
        return await asyncio.to_thread(_digest_of_file, body)

    def _head(self, method: str, bucket: str, key: str, headers: Mapping[str, str], digest: bytes) -> bytes:
        path = f"{self._endpoint.path.rstrip('/')}/{quote(bucket)}/{quote(key, safe='/~')}"
        sent = {"Host": self._endpoint.netloc, **headers}
        if self._credentials is not None:
            url = f"{self._endpoint.scheme}://{self._endpoint.netloc}{path}"
            sent = signed_headers(self._credentials, "s3", self._region, method, url, dict(headers), digest)
        lines = "".join(f"{name}: {_line(value)}\r\n" for name, value in sent.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace")


async def _send_file(connection: StreamConnection, path: Path, length: int) -> None:
    """Send exactly `length` bytes. Raises OSError where the file is shorter, TimeoutError where S3 takes nothing."""
    left = length
    with path.open("rb", buffering=0) as file:
        while left:
            piece = await asyncio.to_thread(file.read, min(PIECE_BYTES, left))
            if not piece:
                raise OSError(f"{path.name} is shorter than it was")
            left -= len(piece)
            async with asyncio.timeout(SILENCE_S):
                if not await connection.send(piece):
                    return


def _size(path: Path) -> int:
    return path.stat().st_size


def _digest_of_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _line(value: str) -> str:
    """A header's value that cannot end its line."""
    return "".join(" " if each < " " or each == "\x7f" else each for each in value)


def open_async_s3(settings: Settings, paths: Paths) -> AsyncS3:
    """The S3 of these settings."""
    found = credentials_of(settings.objects)
    credentials = Credentials(found[0], found[1], found[2] or None) if found is not None else None
    return AsyncS3(settings.objects.endpoint_url, os.fspath(paths.s3_socket), settings.account.region, credentials)
