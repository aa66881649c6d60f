"""Real gateway processes without the rest of Mooring: sockets and surroundings as the supervisor makes them.

What control would tell them over the route channel is told by a stand-in: access keys, routes, and that there is
nothing more.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from candidates import ACCOUNT, ENDPOINT, GATEWAY_CORE, REGION, START_WITHIN_S, Candidate, on_core, running

from mooring.access.keys import AccessKey, document_of
from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, RouteReplica, RouteVariant, Version
from mooring.paths import Paths
from mooring.processes.sockets import listen_tcp
from mooring.supervisor.children import GATEWAY_MALLOC

BODY_LIMIT_BYTES = 6_291_456


def variant(*addresses: str, name: str = "AllTraffic", **more: Any) -> RouteVariant:
    """A variant whose replicas are at these addresses."""
    replicas = tuple(RouteReplica(f"{name}-{number}", address) for number, address in enumerate(addresses))
    return RouteVariant(name, 1.0, replicas, **more)


def route(*variants: RouteVariant, **more: Any) -> Route:
    """The benchmarks' endpoint."""
    scope = Scope(ACCOUNT, REGION)
    return Route(scope, ENDPOINT, Version(1, 1), variants, "InService", BODY_LIMIT_BYTES, 60.0, **more)


class Control(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The stand-in: greets each gateway with keys and a route, and knows who has taken them."""

    daemon_threads = True

    def __init__(self, socket_path: Path, told: Route, keys: Sequence[AccessKey]) -> None:
        self.messages: list[dict[str, Any]] = [{"keys": document_of(keys, os.urandom(32), 1)}] if keys else []
        self.messages += [{"route": told.to_document()}, {"synced": {"epoch": 1}}]
        self.taken = threading.Semaphore(0)
        super().__init__(str(socket_path), _Channel)


class _Channel(socketserver.StreamRequestHandler):
    server: Control

    def handle(self) -> None:
        self.rfile.readline()  # who it is
        for message in self.server.messages:
            self.wfile.write(json.dumps(message).encode() + b"\n")
        for line in self.rfile:
            if b'"ack"' in line:
                self.server.taken.release()


@contextlib.contextmanager
def gateway(
    data_dir: Path,
    name: str,
    told: Route,
    *,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    keys: Sequence[AccessKey] = (),
    core: int | None = GATEWAY_CORE,
) -> Iterator[Candidate]:
    """Gateways on one port that serve a route; with `keys` they verify every call."""
    data_dir.mkdir()
    paths = Paths(data_dir)
    paths.make_private_directories()
    surroundings = {
        **os.environ,
        **GATEWAY_MALLOC,
        "MOORING_DATA_DIR": str(data_dir),
        "MOORING_ACCOUNT_ID": ACCOUNT,
        "MOORING_ACCESS_MODE": "keys" if keys else "any",
        **(environment or {}),
    }
    with contextlib.ExitStack() as stack:
        control = stack.enter_context(Control(paths.routes_socket, told, keys))
        threading.Thread(target=control.serve_forever, args=(0.05,), daemon=True).start()
        stack.callback(control.shutdown)
        listeners = [stack.enter_context(listener) for listener in listen_tcp("127.0.0.1", 0, workers)]
        lifeline, held = os.pipe()
        for end in (lifeline, held):
            stack.callback(os.close, end)
        pids = []
        for index, listener in enumerate(listeners):
            ready, ready_end = os.pipe()
            descriptors = (listener.fileno(), lifeline, ready_end)
            flags = zip(("--listen-fd", "--lifeline-fd", "--ready-fd"), map(str, descriptors), strict=True)
            command = [*on_core(core), sys.executable, "-P", "-m", "mooring.gateway", "--index", str(index)]
            started = running([*command, *(x for f in flags for x in f)], listener,
                              pass_fds=descriptors, env=surroundings)  # fmt: skip
            pids.append(stack.enter_context(started).pid)
            os.close(ready_end)
            said = os.read(ready, 1)
            os.close(ready)
            if said != b"1" or not control.taken.acquire(timeout=START_WITHIN_S):
                raise SystemExit(f"{name}: the gateway did not come up")
        yield Candidate(name, listeners[0].getsockname()[1], tuple(pids))
