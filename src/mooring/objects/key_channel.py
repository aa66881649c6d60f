"""The objects front's end of control's channel: access keys, in memory only, acknowledged when they are in force.

A thread of its own that connects again for as long as the process lives. While control is away the keys stay as they
are.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from typing import IO

from mooring.access.keys import Keyring
from mooring.errors import MooringError

_log = logging.getLogger("mooring.objects")

RECONNECT_AFTER_S = 0.02
RECONNECT_AFTER_MAX_S = 0.5


class KeyChannel:
    """Keeps a keyring in step with control."""

    def __init__(self, socket_path: str, keyring: Keyring) -> None:
        self._socket_path = socket_path
        self._keyring = keyring
        self._known = threading.Event()

    def start(self) -> None:
        """Follow control on a thread that ends with the process."""
        threading.Thread(target=self._run, name="keys", daemon=True).start()

    def wait(self, timeout_s: float) -> bool:
        """Whether there are keys to verify with, within `timeout_s`."""
        return self._known.wait(timeout_s)

    def _run(self) -> None:
        delay = RECONNECT_AFTER_S
        while True:
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
                    channel.connect(self._socket_path)
                    channel.sendall(_line({"objects": {"pid": os.getpid()}}))
                    with channel.makefile("rb") as lines:
                        if self._follow(channel, lines):
                            delay = RECONNECT_AFTER_S
            except FileNotFoundError:
                pass  # control is not there yet, or not any more
            except (OSError, ValueError, KeyError, TypeError, MooringError) as error:
                _log.debug("the channel of the keys broke: %s", error)
            time.sleep(delay)
            delay = min(delay * 2, RECONNECT_AFTER_MAX_S)

    def _follow(self, channel: socket.socket, lines: IO[bytes]) -> bool:
        """Take what control says until it leaves; whether it said anything."""
        heard = False
        for line in lines:
            message = json.loads(line).get("keys")
            if message is not None:
                version = self._keyring.take(message)
                self._known.set()
                channel.sendall(_line({"keys_ack": version}))
                heard = True
        return heard


def _line(message: dict[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
