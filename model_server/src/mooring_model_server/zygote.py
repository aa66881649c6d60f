"""`python -m mooring_model_server.zygote`: a warm parent that imports a framework once and forks replicas.

It has one thread and never computes (see `preloading`). Its control socket keeps message boundaries: each message is
`{"spawn": ReplicaSpec, "id": n}` with three descriptors (listening socket, log, read end of the "recorded" pipe) and is
answered with `{"spawned": {...}}` or `{"failed": {...}}`. It reaps its children, writes their `exit.json` and tells
`{"exited": {...}}`. When the control socket ends, it exits; its replicas live on. Nothing that arrives may end it.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

from mooring_model_server import records
from mooring_model_server.output import Output, last_line
from mooring_model_server.passing import receive_message
from mooring_model_server.preloading import FRAMEWORK_MODULES, ThreadPools, preload, threads
from mooring_model_server.replica import become, forget_working_directory
from mooring_model_server.spec import ReplicaSpec, SpecError

DESCRIPTORS = 3
MOST_UNSENT = 10_000
"""Answers kept for a control that does not read; beyond it is not there in any useful sense."""


class Zygote:
    """The loop of a warm parent."""

    def __init__(self, control: socket.socket, pools: ThreadPools) -> None:
        self._control = control
        self._pools = pools
        self._children: dict[int, str] = {}
        self._unsent: deque[bytes] = deque()
        self._selector = selectors.DefaultSelector()
        self._signals, self._wakeup = socket.socketpair()
        self._signals.setblocking(False)
        self._wakeup.setblocking(False)
        self._done = False

    def run(self) -> None:
        """Fork on request until the control socket ends."""
        self._control.setblocking(False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the supervisor
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._signals, selectors.EVENT_READ)
        while not self._done:
            for key, events in self._selector.select():
                if key.fileobj is self._signals:
                    self._reap()
                    continue
                if events & selectors.EVENT_WRITE:
                    self._flush()
                if events & selectors.EVENT_READ:
                    self._receive()

    def say(self, message: dict[str, Any]) -> None:
        """Queue a message to control; it is sent when control can take it."""
        self._unsent.append(json.dumps(message).encode("ascii"))
        if len(self._unsent) > MOST_UNSENT:
            self._done = True
        self._flush()

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._control.send(self._unsent[0])
                self._unsent.popleft()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._done = True
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if self._selector.get_map() and self._selector.get_key(self._control).events != wanted:
            self._selector.modify(self._control, wanted)

    def _receive(self) -> None:
        try:
            data, descriptors, whole = receive_message(self._control)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._done = True
            return
        try:
            if not data:
                self._done = True
            else:
                self._handle(data, descriptors, whole)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _handle(self, data: bytes, descriptors: list[int], whole: bool) -> None:
        number: object = None
        try:
            message = json.loads(data) if whole else None
            if not isinstance(message, dict):
                raise SpecError("the message is not an object, or is too long")
            number = message.get("id")
            if not isinstance(number, (int, str)):
                number = None
                raise SpecError("the message has no id")
            if len(descriptors) != DESCRIPTORS:
                raise SpecError(f"{DESCRIPTORS} descriptors are needed, {len(descriptors)} came")
            spec = ReplicaSpec.from_document(message.get("spawn"))
            pid = self._fork(spec, descriptors)
        except (ValueError, RecursionError, OSError) as error:
            self.say({"failed": {"id": number, "error": last_line(error)}})
            return
        self._children[pid] = spec.run_dir
        self.say({"spawned": {"id": number, "pid": pid, "start_time": records.start_time(pid)}})

    def _fork(self, spec: ReplicaSpec, descriptors: list[int]) -> int:
        pid = os.fork()
        if pid == 0:
            become(spec, descriptors[0], descriptors[1], descriptors[2], self._pools)
        return pid

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            self._signals.recv(4096)
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            run_dir = self._children.pop(pid, None)
            if run_dir is not None:
                records.write_exit(run_dir, pid, status, "zygote")
                self.say({"exited": {"pid": pid, "returncode": records.returncode(status)}})


def main() -> None:
    """Preload, say so, serve."""
    parser = argparse.ArgumentParser(prog="python -m mooring_model_server.zygote")
    parser.add_argument("--control-fd", type=int, required=True, help="one end of a SOCK_SEQPACKET pair")
    parser.add_argument("--preload", choices=sorted(FRAMEWORK_MODULES), default="none")
    arguments = parser.parse_args()
    control = socket.socket(fileno=arguments.control_fd)
    os.set_inheritable(arguments.control_fd, False)
    forget_working_directory()
    began = time.perf_counter()
    gc.disable()  # children enable it; the zygote makes no garbage worth collecting
    try:
        versions, pools = preload(arguments.preload)
    except Exception as error:  # noqa: BLE001 (a framework may fail in any way while it is imported)
        Output().trace(error)
        control.sendall(json.dumps({"ready": False, "error": last_line(error)}).encode("ascii"))
        sys.exit(1)
    zygote = Zygote(control, pools)
    seconds = round(time.perf_counter() - began, 3)
    zygote.say({"ready": True, "imported": versions, "seconds": seconds, "threads": threads()})
    zygote.run()


if __name__ == "__main__":
    main()
