"""Notifications of SNS to URLs: sent to programs on this machine, and to nobody else.

A subscriber of a topic can be any URL that somebody named. So that Mooring can neither be made to call the world nor,
from outside, what listens beside it, a notification goes to plain HTTP on loopback only, only while Mooring itself
listens there, past no proxy and after no redirect. Whoever publishes does not wait for it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any
from urllib.parse import urlsplit

from mooring.errors import Unavailable
from mooring.http1.client import fetch
from mooring.wire.browsers import is_loopback

log = logging.getLogger("mooring.neighbours")

MOST_AT_A_TIME = 100
PAUSES_S = (1.0, 5.0, 20.0)
"""Before another attempt."""
ANSWER_WITHIN_S = 15.0
"""AWS's own limit."""


class Deliveries:
    """Sends notifications, a task each. `allowed`: whether Mooring listens on loopback."""

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def deliver(self, url: str, notification: dict[str, Any], headers: dict[str, str]) -> None:
        """Send soon. May be called from any thread."""
        told = {
            **headers,
            "x-amz-sns-message-type": str(notification.get("Type")),
            "x-amz-sns-message-id": str(notification.get("MessageId")),
            "x-amz-sns-topic-arn": str(notification.get("TopicArn")),
        }
        encoded = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in told.items()]
        self._loop.call_soon_threadsafe(self._begin, url, json.dumps(notification).encode(), encoded)

    def _begin(self, url: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        place = _place(url) if self._allowed else None
        if place is None:
            log.warning("no notification to %.200r: only http:// on loopback gets one, while Mooring is there too", url)
        elif len(self._tasks) >= MOST_AT_A_TIME:
            log.warning("no notification to %.200r: %d others wait to be taken", url, len(self._tasks))
        else:
            task = asyncio.create_task(self._send(url, place, body, headers), name="notification")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, url: str, place: tuple[str, str], body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        address, target = place
        headers = [(b"Host", address.encode()), *headers]
        outcome = ""
        for pause in (*PAUSES_S, None):
            try:
                answer = await fetch(address, "POST", target, headers, body, ANSWER_WITHIN_S, body_limit=1024 * 1024)
                if answer.status < 300:
                    return
                outcome = f"it answers {answer.status}"
            except Unavailable as error:
                outcome = str(error)
            if pause is not None:
                await asyncio.sleep(pause)
        log.warning("a notification did not reach %.200r: %s", url, outcome)


def _place(url: str) -> tuple[str, str] | None:
    """Address and target of a URL on loopback; None for any other."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or not is_loopback(host):
        return None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.isascii() or not target.isprintable() or " " in target:
        return None
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}", target


def stay_on_this_machine() -> None:
    """From now on nothing in this process connects to anything but Unix sockets and loopback; not to be undone."""
    sys.addaudithook(_refuse_the_world)


def _refuse_the_world(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
    elif event == "socket.getaddrinfo":
        address = arguments[:1]
    else:
        return
    if isinstance(address, tuple) and address[0] and not is_loopback(str(address[0])):
        raise PermissionError(f"Mooring's neighbours do not reach {address[0]!r}")
