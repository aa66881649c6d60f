"""The objects front: takes connections, from gateways and from Mooring itself, and gives each a thread.

A gateway hands a connection over on the handover socket: one message with the descriptor (SCM_RIGHTS), the client's
address, and the bytes which it had read already, in the form that `mooring.gateway.handover` describes. The S3 socket
takes plain HTTP from Mooring's own processes. At `MOST_CONNECTIONS` nothing is accepted, and the one that idles longest
is closed for the next that waits; with none idle, new ones wait in the kernel's queue. What the system refuses (a
descriptor, a thread) costs one connection and a pause, never the process.
"""

from __future__ import annotations

import array
import contextlib
import logging
import os
import selectors
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable

from mooring.objects.connections import Connection, Limits
from mooring.objects.service import Service
from mooring.processes.lifeline import ORPHANED

_log = logging.getLogger("mooring.objects")

MOST_CONNECTIONS = 256
STOP_S = 5.0
"""How long a stopping front lets requests finish."""
HANDOVER_S = 5.0
MOST_HANDED_BYTES = 8 * 1024 * 1024
_STACK_BYTES = 1024 * 1024
_FULL_WAIT_S = 0.05
"""How often a full front looks for a connection that has become idle."""
_STRAINED_WAIT_S = 0.1
"""How long the front pauses when the system gives it no descriptor or no thread."""
_LENGTHS = struct.Struct(">IB")


class BadHandover(Exception):
    """A handover that does not keep to its form."""


class Front:
    """Accepts until `stop` is called, from a signal handler or another thread."""

    def __init__(
        self, handover: socket.socket, s3: socket.socket, lifeline: int | None, service: Service, limits: Limits
    ) -> None:
        self._listeners: dict[int, tuple[socket.socket, Callable[[socket.socket], None]]] = {
            handover.fileno(): (handover, self._serve_handed_over),
            s3.fileno(): (s3, self._serve_own),
        }
        self._lifeline = lifeline
        self._service = service
        self._limits = limits
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, Connection | None] = {}
        self._stopping = False
        self._listening = False
        self._strained = False
        self._waiting = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)

    def stop(self) -> None:
        """Take no more connections; `run` returns when what is served is finished, or after `STOP_S`."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b"w")

    def run(self) -> None:
        """Serve until stopped. When the supervisor dies the process ends at once."""
        threading.stack_size(_STACK_BYTES)
        with selectors.DefaultSelector() as selector, self._waiting:
            for listener, _ in self._listeners.values():
                listener.setblocking(False)
                self._waiting.register(listener, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            if self._lifeline is not None:
                selector.register(self._lifeline, selectors.EVENT_READ)
            while not self._stopping:
                self._turn(selector)
        self._finish()

    def _turn(self, selector: selectors.BaseSelector) -> None:
        self._listen(selector, has_room := self._has_room())
        if not has_room and self._waiting.select(0):
            self._make_room()
        for key, _ in selector.select(None if has_room else _FULL_WAIT_S):
            if key.fd == self._wake_read:
                os.read(self._wake_read, 4096)
            elif key.fd == self._lifeline:
                if not os.read(self._lifeline, 4096):
                    os._exit(ORPHANED)
            elif self._has_room():
                self._take(*self._listeners[key.fd])

    def _listen(self, selector: selectors.BaseSelector, wanted: bool) -> None:
        if wanted == self._listening:
            return
        self._listening = wanted
        for listener, _ in self._listeners.values():
            if wanted:
                selector.register(listener, selectors.EVENT_READ)
            else:
                selector.unregister(listener)

    def _has_room(self) -> bool:
        with self._lock:
            return len(self._connections) < MOST_CONNECTIONS

    def _make_room(self) -> None:
        with self._lock:
            idle = [
                (since, number, each)
                for number, each in enumerate(self._connections.values())
                if each is not None and (since := each.idle_since) is not None
            ]
        if idle:
            min(idle)[2].evict()

    def _take(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        try:
            sock = listener.accept()[0]
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            self._bear(error)
            return
        try:
            self._start(sock, serve)
        except (RuntimeError, MemoryError) as error:
            sock.close()
            self._bear(error)
        else:
            self._strained = False

    def _bear(self, error: Exception) -> None:
        """Make room and wait, since what is missing comes back only when something else ends."""
        if not self._strained:
            _log.warning("a connection could not be taken, for now there is no room: %r", error)
        self._strained = True
        self._make_room()
        time.sleep(_STRAINED_WAIT_S)

    def _start(self, sock: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        thread = threading.Thread(target=self._guarded, args=(sock, serve), name="s3-connection", daemon=True)
        with self._lock:
            self._connections[thread] = None
        try:
            thread.start()
        except BaseException:
            with self._lock:
                del self._connections[thread]
            raise

    def _guarded(self, sock: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        try:
            serve(sock)
        except (BadHandover, OSError) as error:
            _log.warning("a connection could not be taken: %s", error)
        except Exception:  # noqa: BLE001  # the thread's end, where nobody else would say it
            _log.exception("a connection's thread failed")
        finally:
            sock.close()
            with self._lock:
                was_full = len(self._connections) >= MOST_CONNECTIONS
                del self._connections[threading.current_thread()]
            if was_full:
                self._wake()

    def _serve_own(self, sock: socket.socket) -> None:
        self._serve(Connection(sock, b"", self._service, self._limits, handed_over=False))

    def _serve_handed_over(self, channel: socket.socket) -> None:
        sock, source, held = receive_handover(channel)
        channel.close()
        with sock:
            self._serve(Connection(sock, held, self._service, self._limits, handed_over=True, source=source))

    def _serve(self, connection: Connection) -> None:
        with self._lock:
            self._connections[threading.current_thread()] = connection
        connection.serve()

    def _finish(self) -> None:
        for listener, _ in self._listeners.values():
            listener.close()
        with self._lock:
            remaining = dict(self._connections)
        for connection in remaining.values():
            if connection is not None:
                connection.stop()
        deadline = time.monotonic() + STOP_S
        for thread in remaining:
            thread.join(max(0.0, deadline - time.monotonic()))
        if left := sum(thread.is_alive() for thread in remaining):
            _log.warning("stopped with %d connections still busy", left)


def receive_handover(channel: socket.socket) -> tuple[socket.socket, str, bytes]:
    """A client's connection, its address and what was read from it; `BadHandover` for any other message."""
    channel.settimeout(HANDOVER_S)
    first, ancillary, _, _ = channel.recvmsg(64 * 1024, socket.CMSG_SPACE(4 * 4))
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if len(descriptors) != 1:
        for descriptor in descriptors:
            os.close(descriptor)
        raise BadHandover(f"{len(descriptors)} descriptors were handed over instead of one")
    os.set_inheritable(descriptors[0], False)
    sock = socket.socket(fileno=descriptors[0])
    try:
        return sock, *_receive_bytes(channel, first)
    except BaseException:
        sock.close()
        raise


def _receive_bytes(channel: socket.socket, data: bytes) -> tuple[str, bytes]:
    received = bytearray(data)
    while len(received) < _LENGTHS.size or len(received) < _announced(received):
        if len(received) > _LENGTHS.size + MOST_HANDED_BYTES:
            raise BadHandover("too many bytes were handed over")
        piece = channel.recv(256 * 1024)
        if not piece:
            raise BadHandover("a handover ended early")
        received += piece
    if len(received) != _announced(received):
        raise BadHandover("more bytes were handed over than announced")
    begin = _LENGTHS.size + _LENGTHS.unpack_from(received)[1]
    return received[_LENGTHS.size : begin].decode("ascii", "replace"), bytes(received[begin:])


def _announced(received: bytearray) -> int:
    held, source = _LENGTHS.unpack_from(received)
    return _LENGTHS.size + int(held) + int(source)


def stop_on_signals(front: Front) -> None:
    """SIGTERM and SIGINT stop the front in order; the second one ends it at once."""

    def stop(_: int, __: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        front.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
