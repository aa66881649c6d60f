"""Notifications to URLs stay on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Awaitable, Callable

import pytest

from mooring.http1.application import serve
from mooring.http1.messages import Request, Response
from mooring.neighbours import deliveries as module
from mooring.neighbours.deliveries import Deliveries
from mooring.processes.sockets import listen_tcp

NOTIFICATION = {"Type": "Notification", "MessageId": "m", "TopicArn": "arn:t", "Message": "hello"}
Scene = Callable[[Deliveries, str, list[Request]], Awaitable[None]]


def play(scene: Scene, *, allowed: bool = True, statuses: tuple[int, ...] = (), host: str = "127.0.0.1") -> None:
    """Run a scene with a subscriber on loopback, which answers with these statuses and then with 200."""

    async def run() -> None:
        seen: list[Request] = []

        async def take(request: Request) -> Response:
            seen.append(request)
            status = statuses[len(seen) - 1] if len(seen) <= len(statuses) else 200
            return Response(status, ((b"Location", b"http://192.0.2.1/"),) if status == 302 else ())

        [listener] = listen_tcp("127.0.0.1", 0, 1)
        listener.setblocking(False)
        server = await serve(listener, take, body_limit=100_000)
        try:
            url = f"http://{host}:{listener.getsockname()[1]}/hook?a=b"
            await scene(Deliveries(allowed=allowed), url, seen)
        finally:
            await server.close()

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_notification_arrives(host: str) -> None:
    async def scene(deliveries: Deliveries, url: str, seen: list[Request]) -> None:
        threading.Thread(target=deliveries.deliver, args=(url, NOTIFICATION, {"Content-Type": "text/plain"})).start()
        await until(lambda: bool(seen))
        assert (seen[0].method, seen[0].target) == (b"POST", b"/hook?a=b")
        assert json.loads(seen[0].body) == NOTIFICATION
        assert seen[0].header(b"x-amz-sns-message-type") == b"Notification"
        assert seen[0].header(b"host") == url.split("/")[2].encode()

    play(scene, host=host)


def test_it_is_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "PAUSES_S", (0.0, 0.0, 0.0))

    async def scene(deliveries: Deliveries, url: str, seen: list[Request]) -> None:
        deliveries.deliver(url, NOTIFICATION, {})
        await until(lambda: len(seen) == 3)
        await until(lambda: not deliveries._tasks)
        assert len(seen) == 3

    play(scene, statuses=(500, 302))
    assert caplog.messages == []


def test_it_is_given_up_and_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "PAUSES_S", (0.0,))

    async def scene(deliveries: Deliveries, url: str, seen: list[Request]) -> None:
        deliveries.deliver(url, NOTIFICATION, {})
        await until(lambda: len(seen) == 2 and not deliveries._tasks)

    play(scene, statuses=(500, 503))
    assert "did not reach" in caplog.text
    assert "it answers 503" in caplog.text


def test_nothing_goes_out_while_mooring_is_open_to_the_network(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(deliveries: Deliveries, url: str, seen: list[Request]) -> None:
        deliveries.deliver(url, NOTIFICATION, {})
        await until(lambda: "no notification to" in caplog.text)
        assert not deliveries._tasks
        assert seen == []

    play(scene, allowed=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "http://example.com/",
        "http://192.0.2.1/",
        "http://127.0.0.1.example.com/",
        "http://127.0.0.1@192.0.2.1/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b\r\nX: y",
        "http://[::1",
        "ftp://127.0.0.1/",
        "/etc/passwd",
        "",
    ],
)
def test_what_is_no_place_here(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(deliveries: Deliveries, _: str, seen: list[Request]) -> None:
        with caplog.at_level(logging.WARNING):
            deliveries.deliver(url, NOTIFICATION, {})
            await until(lambda: "no notification to" in caplog.text)
        assert not deliveries._tasks

    play(scene)


def test_only_so_many_wait(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(module, "MOST_AT_A_TIME", 1)

    async def scene(deliveries: Deliveries, url: str, seen: list[Request]) -> None:
        for _ in range(2):
            deliveries.deliver(url, NOTIFICATION, {})
        await until(lambda: "1 others wait" in caplog.text)
        await until(lambda: not deliveries._tasks)
        assert len(seen) == 1

    play(scene)


def test_the_process_reaches_nothing_beyond_this_machine() -> None:
    program = """
        import socket
        from mooring.neighbours.deliveries import stay_on_this_machine
        listener = socket.create_server(("127.0.0.1", 0))
        stay_on_this_machine()
        socket.create_connection(listener.getsockname()).close()
        socket.getaddrinfo("localhost", 80)
        a, b = socket.socketpair()
        for reach in (
            lambda: socket.create_connection(("192.0.2.1", 80)),
            lambda: socket.socket().connect(("192.0.2.1", 80)),
            lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 80)),
            lambda: socket.getaddrinfo("aws.example", 443),
        ):
            try:
                reach()
            except PermissionError as error:
                print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.splitlines() == [
        "Mooring's neighbours do not reach '192.0.2.1'",
        "Mooring's neighbours do not reach '192.0.2.1'",
        "Mooring's neighbours do not reach '192.0.2.1'",
        "Mooring's neighbours do not reach 'aws.example'",
    ]
