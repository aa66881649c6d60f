"""Messages that carry descriptors, over Unix sockets that keep message boundaries."""

from __future__ import annotations

import array
import socket
from typing import Sequence

LARGEST_MESSAGE = 1024 * 1024
MOST_DESCRIPTORS = 16
CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
KIND = getattr(socket, "SOCK_SEQPACKET", socket.SOCK_DGRAM)
"""The kind of socket on which message boundaries are kept; macOS has no SOCK_SEQPACKET for Unix sockets."""


def send_message(control: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one message with its descriptors."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([data], rights)


def receive_message(control: socket.socket) -> tuple[bytes, list[int], bool]:
    """One message, its descriptors, and whether it came whole; no data at the end."""
    room = socket.CMSG_SPACE(MOST_DESCRIPTORS * array.array("i").itemsize)
    data, ancillary, flags, _ = control.recvmsg(LARGEST_MESSAGE, room, CLOSE_ON_EXEC)
    descriptors: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers = array.array("i")
            numbers.frombytes(payload[: len(payload) - len(payload) % numbers.itemsize])
            descriptors.extend(numbers)
    return data, descriptors, not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
