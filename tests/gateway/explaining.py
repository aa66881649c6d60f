"""A gateway with an explained variant, a solver that does as the caller's body says, and scripted replicas."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

from mooring.hosting.explaining import ExplainerRoute
from mooring.hosting.routes import RouteReplica, RouteVariant, Version
from tests.explainer import standing_in
from tests.gateway.running import Client, Response, ScriptedServer, Seen, Stage, answer, invocation, route

EXPLAINER = ExplainerRoute("uid/1/a", {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "1"}}})


def model(seen: Seen, _: socket.socket) -> bytes:
    """Says what it was given in capitals."""
    return answer(seen.body.upper(), Content_Type="text/csv")


def explained(*servers: ScriptedServer, explainer: ExplainerRoute | None = EXPLAINER, **changes: Any) -> RouteVariant:
    """Variant `a` on these replicas."""
    replicas = tuple(RouteReplica(server.path.stem, str(server.path)) for server in servers)
    return RouteVariant(**{"name": "a", "weight": 1.0, "replicas": replicas, "explainer": explainer, **changes})


class Scene:
    """A gateway with endpoint `ep`, whose variant `a` is explained."""

    def __init__(self, stage: Stage, directory: Path) -> None:
        self.stage = stage
        self._generation = 0
        self.forgotten = directory / "forgotten"
        stage.environment.update(standing_in.environment(directory), FORGOTTEN=str(self.forgotten))

    def serve(
        self, script: Any = model, explainer: ExplainerRoute | None = EXPLAINER, **changes: Any
    ) -> ScriptedServer:
        """Start with variant `a` on one scripted replica; returns the replica."""
        server = self.stage.server("replica-1", script)
        self.start()
        self.publish(explained(server, explainer=explainer), **changes)
        return server

    def start(self) -> None:
        _ = self.stage.control  # it must be there before the gateway calls
        self.stage.start()
        self.stage.control.accept()

    def publish(self, *variants: RouteVariant, **changes: Any) -> dict[str, Any]:
        """The next version of the route; returns the gateway's acknowledgement."""
        self._generation += 1
        return self.stage.control.publish(route(variants=variants, version=Version(1, self._generation), **changes))

    def call(self, program: dict[str, Any], **headers: str) -> Response:
        return self.begin(program, **headers).receive()

    def begin(self, program: dict[str, Any], **headers: str) -> Client:
        """A client that waits for its answer."""
        client = self.stage.client()
        client.send(invocation(body=json.dumps(program).encode(), **headers))
        return client


class Slow:
    """A replica that answers all but the body `slow`, for which it waits until nobody wants the answer any more."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self.asked = threading.Event()
        self.times = 0

    def __call__(self, seen: Seen, connection: socket.socket) -> bytes | None:
        if seen.body != b"slow":
            return answer(seen.body)
        self.times += 1
        self.asked.set()
        if not connection.recv(1):
            self.left.set()
        return None


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
