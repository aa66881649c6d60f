"""Invocations of explained variants, with a solver that does as the caller's body says and a scripted replica."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from mooring.hosting.explaining import ExplainerRoute
from mooring.hosting.routes import RouteReplica, RouteVariant
from tests.explainer import standing_in
from tests.gateway.running import Response, ScriptedServer, Seen, Stage, answer, invocation, route

EXPLAINER = ExplainerRoute("uid/1/a", {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "1"}}})


def model(seen: Seen, _: socket.socket) -> bytes:
    """Says what it was given in capitals."""
    return answer(seen.body.upper(), Content_Type="text/csv")


class Scene:
    """A gateway with endpoint `ep`, whose variant `a` is explained."""

    def __init__(self, stage: Stage, directory: Path) -> None:
        self.stage = stage
        self.forgotten = directory / "forgotten"
        stage.environment.update(standing_in.environment(directory), FORGOTTEN=str(self.forgotten))

    def serve(
        self, script: Any = model, explainer: ExplainerRoute | None = EXPLAINER, **changes: Any
    ) -> ScriptedServer:
        server = self.stage.server("replica-1", script)
        control = self.stage.control
        self.stage.start()
        control.accept()
        variant = RouteVariant("a", 1.0, (RouteReplica("replica-1", str(server.path)),), explainer=explainer)
        control.publish(route(variants=(variant,), **changes))
        return server

    def call(self, program: dict[str, Any], **headers: str) -> Response:
        return self.stage.client().call(invocation(body=json.dumps(program).encode(), **headers))


@pytest.fixture
def scene(stage: Stage, tmp_path: Path) -> Scene:
    return Scene(stage, tmp_path)


def test_an_answer_is_explained_by_what_the_model_says_to_more(scene: Scene) -> None:
    server = scene.serve()
    got = scene.call({"ask": ["one", "two"], "errors": [0.5]}, content_type="text/csv", accept="text/csv")
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    assert got.headers["x-amzn-invoked-production-variant"] == "a"
    assert got.document["predicted"] == [[200, "text/csv", "ONE"], [200, "text/csv", "TWO"]]
    assert got.document["answer"] == '{"ASK": ["ONE", "TWO"], "ERRORS": [0.5]}'
    assert (got.document["content_type"], got.document["answered_type"]) == ("text/csv", "text/csv")
    assert got.document["explainer"] == EXPLAINER.to_text()
    assert got.document["threads"] == "1"
    first, *others = server.seen
    for each in others:
        assert {**each.headers, "content-length": ""} == {**first.headers, "content-length": ""}
        assert each.line == first.line
    assert sorted(each.body for each in others) == [b"one", b"two"]
