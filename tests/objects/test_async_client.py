"""The client that moves objects in pieces: over the socket, to a signed endpoint, and when S3 is not itself."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.objects.async_client import PIECE_BYTES, AsyncS3, is_away, open_async_s3
from mooring.objects.client import SourceError
from mooring.paths import Paths
from mooring.settings import Settings
from tests.objects.conftest import ObjectsServer

SKEWED = b"<Error><Code>RequestTimeTooSkewed</Code><Message>The clocks differ.</Message></Error>"
Use = Callable[[AsyncS3], Awaitable[Any]]


def at(settings: Settings, url: str) -> Settings:
    objects = dataclasses.replace(settings.objects, endpoint_url=url, access_key_id="me", secret_access_key="secret")
    return dataclasses.replace(settings, objects=objects)


@pytest.fixture(params=["socket", "endpoint"])
def s3(request: pytest.FixtureRequest, server: ObjectsServer) -> Callable[[Use], Any]:
    settings = server.settings if request.param == "socket" else at(server.settings, server.url)

    def run(use: Use) -> Any:
        async def with_client() -> Any:
            client = open_async_s3(settings, server.paths)
            try:
                return await asyncio.wait_for(use(client), 30)
            finally:
                client.close()

        return asyncio.run(with_client())

    return run


async def read(client: AsyncS3, bucket: str, key: str) -> tuple[int, str, bytes]:
    download = await client.get(bucket, key)
    pieces = []
    while piece := await download.read():
        pieces.append(piece)
    download.close()
    return download.length, download.content_type, b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3_000_000])
@pytest.mark.parametrize("from_file", [False, True])
def test_what_is_written_is_read(
    s3: Callable[[Use], Any], server: ObjectsServer, bucket: str, tmp_path: Path, size: int, from_file: bool
) -> None:
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    file = tmp_path / "body"
    file.write_bytes(content)

    async def use(client: AsyncS3) -> list[tuple[int, str, bytes]]:
        key = "p/ä b+c%/m"
        await client.put(bucket, key, file if from_file else content, {"Content-Type": "x/y"})
        return [await read(client, bucket, key) for _ in range(2)]

    assert s3(use) == [(size, "x/y", content)] * 2
    assert server.client().get_object(Bucket=bucket, Key="p/ä b+c%/m")["Body"].read() == content


def test_refusals_are_said_and_cost_nothing_else(
    s3: Callable[[Use], Any], server: ObjectsServer, bucket: str, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    file.write_bytes(bytes(5_000_000))

    async def use(client: AsyncS3) -> tuple[int, str, bytes]:
        for _ in range(3):
            for body in (b"small", file):
                with pytest.raises(SourceError, match="there is no such bucket") as refused:
                    await client.put("no-such-bucket", "k", body, {})
                assert not is_away(refused.value)
            with pytest.raises(SourceError, match=f"s3://{bucket}/none: there is no such object") as refused:
                await client.get(bucket, "none")
            assert not is_away(refused.value)
            await client.put(bucket, "good", file, {})
        return await read(client, bucket, "good")

    assert s3(use)[0] == 5_000_000


def test_many_calls_share_few_connections(s3: Callable[[Use], Any], bucket: str) -> None:
    async def use(client: AsyncS3) -> list[bytes]:
        async def round_trip(number: int) -> bytes:
            await client.put(bucket, f"many/{number}", str(number).encode(), {})
            return (await read(client, bucket, f"many/{number}"))[2]

        return [body for _ in range(5) for body in await asyncio.gather(*map(round_trip, range(10)))]

    assert s3(use) == [str(number).encode() for _ in range(5) for number in range(10)]


def test_an_endpoint_that_is_down_is_away(server: ObjectsServer, tmp_path: Path) -> None:
    async def use() -> None:
        nobody = (open_async_s3(at(server.settings, "http://127.0.0.1:1"), server.paths),
                  open_async_s3(server.settings, Paths(tmp_path)))  # fmt: skip
        for client in nobody:
            for call in (client.get("bucket", "k"), client.put("bucket", "k", b"x", {})):
                with pytest.raises(SourceError, match="S3 cannot be reached") as refused:
                    await call
                assert is_away(refused.value)

    asyncio.run(use())


@pytest.mark.parametrize(
    ("answer", "away", "text"),
    [
        (b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n", True, "S3 answered 503"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 7\r\n\r\n<Error>", True, "S3 answered 500"),
        (b"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n", True, "S3 answered 429"),
        (b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%b" % (len(SKEWED), SKEWED), True, "RequestTimeTooSkewed"),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", False, "access is denied"),
        (b"nonsense\r\n\r\n", True, "S3 cannot be reached"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", True, "S3 cannot be reached"),
        (b"", True, "S3 cannot be reached"),
        (b"HTTP/1.1 200 OK\r\n\r\nof what length?", False, "S3 answered MissingContentLength"),
    ],
)
def test_answers_that_are_none(server: ObjectsServer, answer: bytes, away: bool, text: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def use() -> SourceError:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            client = open_async_s3(at(server.settings, f"http://127.0.0.1:{port}"), server.paths)
            with pytest.raises(SourceError, match=text) as refused:
                await read(client, "bucket", "k")
            return refused.value

    assert is_away(asyncio.run(use())) is away
