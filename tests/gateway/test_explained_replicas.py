"""Synthetic calls over replicas that are slow, die, come and go; and what is counted, written and captured of them."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.explaining import ExplainerRoute
from mooring.hosting.routes import RouteReplica, RouteShadow, RouteVariant
from mooring.hosting.serverless import ServerlessRoute
from tests.gateway.explaining import EXPLAINER, Scene, Slow, explained
from tests.gateway.running import WAIT_S, Seen, Stage, answer, eventually, invocation


@pytest.fixture
def scene(stage: Stage, tmp_path: Path) -> Scene:
    return Scene(stage, tmp_path)


class Counted:
    """A replica that takes its time, and how many calls it ever had at once."""

    def __init__(self, seconds: float = 0.02) -> None:
        self.seconds = seconds
        self.now = self.most = self.synthetic = 0
        self._lock = threading.Lock()

    def __call__(self, seen: Seen, _: socket.socket) -> bytes:
        is_synthetic = not seen.body.startswith(b"{")
        with self._lock:
            self.now += is_synthetic
            self.synthetic += is_synthetic
            self.most = max(self.most, self.now)
        time.sleep(self.seconds if is_synthetic else 0)
        with self._lock:
            self.now -= is_synthetic
        return answer(seen.body)


@pytest.mark.parametrize("at_a_time", [1, 3])
def test_a_replica_has_so_many_synthetic_calls_at_a_time(scene: Scene, at_a_time: int) -> None:
    scene.start()
    counted = [Counted(), Counted()]
    servers = [scene.stage.server(f"r{number}", script) for number, script in enumerate(counted)]
    scene.publish(explained(*servers, explainer=replace(EXPLAINER, calls_per_replica=at_a_time)))
    programs = [{"ask": [f"{number}-{each}" for each in range(12)]} for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for program, got in zip(programs, pool.map(scene.call, programs), strict=True):
            assert [each[2] for each in got.document["predicted"]] == program["ask"]
            assert got.document["width"] == 2 * at_a_time
    assert [each.most for each in counted] == [at_a_time, at_a_time]
    assert sum(each.synthetic for each in counted) == 36
    assert min(each.synthetic for each in counted) > 5


def test_explained_calls_take_turns(scene: Scene) -> None:
    scene.start()
    server = scene.stage.server("r1", Counted(0.01))
    scene.publish(explained(server))
    long, short = scene.begin({"ask": ["long"] * 200}), None
    eventually(lambda: len(server.seen) > 5)
    short = scene.begin({"ask": ["short"] * 5})
    assert short.receive().status == 200
    asked = [each.body for each in server.seen]
    assert asked.count(b"long") < 100, "it waited for one that came before it"
    assert long.receive().status == 200


def test_a_replica_is_preferred_that_has_no_ordinary_call(scene: Scene) -> None:
    scene.start()
    gate = threading.Event()

    def script(seen: Seen, _: socket.socket) -> bytes:
        if b"ordinary" in seen.body:
            gate.wait(WAIT_S)
        return answer(seen.body)

    servers = [scene.stage.server(f"r{number}", script) for number in range(2)]
    scene.publish(explained(*servers))
    ordinary = scene.begin({"ordinary": 1})
    eventually(lambda: any(server.seen for server in servers))
    (busy,) = [server for server in servers if server.seen]
    for _ in range(10):
        assert scene.call({"ask": ["x"]}).status == 200
    assert len(busy.seen) == 1
    gate.set()
    assert ordinary.receive().status == 200


class TestReplicasThatDie:
    def test_what_one_refuses_goes_to_another(self, scene: Scene) -> None:
        scene.start()
        slow = Slow()
        kept, dying = scene.stage.server("r1", Counted(0.0)), scene.stage.server("r2", slow)
        scene.publish(explained(kept, dying))
        dying.close()
        for _ in range(5):
            got = scene.call({"ask": ["x"] * 30})
            assert [each[0] for each in got.document["predicted"]] == [200] * 30
        assert scene.publish()["busy"] == [], "nobody is held"

    def test_one_that_is_killed_amid_a_call_is_told_to_the_solver(self, scene: Scene) -> None:
        scene.start()
        slow = Slow()
        server = scene.stage.server("r1", slow)
        scene.publish(explained(server))
        client = scene.begin({"ask": ["slow", "fast"]})
        assert slow.asked.wait(WAIT_S)
        server.hang_up()
        eventually(lambda: slow.times == 2)  # a kept connection might have been closed before it was used
        server.hang_up()
        got = client.receive()
        (status, _, said), other = got.document["predicted"]
        assert (status, "closed the connection" in said) == (0, True)
        assert other[0] == 200

    def test_one_that_is_gone_for_good(self, scene: Scene) -> None:
        scene.start()
        slow = Slow()
        server = scene.stage.server("r1", slow)
        scene.publish(explained(server))
        client = scene.begin({"ask": ["slow", "fast"]})
        assert slow.asked.wait(WAIT_S)
        server.close()
        said = [each[2] for each in client.receive().document["predicted"]]
        assert "no healthy instance" in said[1]

    def test_its_successor_gets_what_it_did_not(self, scene: Scene) -> None:
        scene.start()
        slow = Slow()
        server = scene.stage.server("r1", slow)
        scene.publish(explained(server))
        client = scene.begin({"ask": ["slow", "fast", "faster"]})
        assert slow.asked.wait(WAIT_S)
        successor = scene.stage.server("r2", Counted(0.0))
        scene.publish(explained(successor))
        server.close()
        got = client.receive()
        assert [each[2] for each in got.document["predicted"]][1:] == ["fast", "faster"]
        assert [each.body for each in successor.seen] == [b"fast", b"faster"]


class TestUpdates:
    def test_a_model_that_leaves_explains_what_it_answered(self, scene: Scene) -> None:
        scene.start()
        gate = threading.Event()

        def script(seen: Seen, _: socket.socket) -> bytes:
            if seen.body == b"slow":
                gate.wait(WAIT_S)
            return answer(b"old " + seen.body)

        old = scene.stage.server("old", script)
        new = scene.stage.server("new", lambda seen, _: answer(b"new " + seen.body))
        scene.publish(explained(old))
        client = scene.begin({"ask": ["slow", *(["x"] * 20)]})
        eventually(lambda: len(old.seen) == 2)
        successor = explained(new, explainer=replace(EXPLAINER, model="uid/2/a"))
        assert scene.publish(successor)["busy"] == ["old"]
        assert scene.call({"ask": ["x"]}).document["predicted"][0][2] == "new x"
        gate.set()
        got = client.receive()
        assert {each[2] for each in got.document["predicted"]} == {"old slow", "old x"}
        assert scene.stage.control.next() == {"idle": {"replica": "old"}}

    def test_between_two_synthetic_calls_it_is_held_too(self, scene: Scene) -> None:
        scene.start()
        old = scene.stage.server("old", lambda seen, _: answer(seen.body))
        scene.publish(explained(old), invocation_timeout_s=2.0)
        client = scene.begin({"ask": ["x"], "never": True})
        eventually(lambda: len(old.seen) == 2)
        time.sleep(0.1)
        assert scene.publish()["busy"] == ["old"]
        assert client.receive().status == 424
        assert scene.stage.control.next() == {"idle": {"replica": "old"}}

    def test_a_deleted_endpoint_ends_what_is_explained(self, scene: Scene) -> None:
        scene.start()
        server = scene.stage.server("r1", Counted(0.02))
        scene.publish(explained(server))
        client = scene.begin({"ask": ["x"] * 20})
        eventually(lambda: len(server.seen) > 2)
        ack = scene.stage.control.say({"drop": {"key": "123456789012/us-east-1/ep", "version": [2, 1]}})["ack"]
        assert ack["busy"] == ["r1"]
        assert client.receive().status == 200


class TestWhatIsLeftBehind:
    def counted(self, scene: Scene, *names: str) -> dict[str, Any]:
        """The sums of these metrics, once all are told."""
        found: dict[str, float] = {}
        deadline = time.monotonic() + WAIT_S
        while set(names) - found.keys():
            assert time.monotonic() < deadline, found
            for series, _, seen in (
                scene.stage.control.reported.get(timeout=WAIT_S).get("counted", {}).get("points", ())
            ):
                found[series[3]] = found.get(series[3], 0) + seen[1]
        return found

    def test_metrics(self, scene: Scene) -> None:
        scene.start()
        servers = [scene.stage.server(f"r{number}", Counted(0.05)) for number in range(2)]
        scene.publish(explained(*servers))
        assert scene.call({"ask": ["x"] * 8, "errors": [0.25, 0.0, 0.5]}).status == 200
        found = self.counted(scene, "ExplanationsPerInstance", "ExplanationRelativeError", "ModelLatency")
        assert found["ExplanationsPerInstance"] == 1.5
        assert found["ExplanationRelativeError"] == 0.75
        assert found["Invocations"] == 1, "synthetic calls are no invocations"
        assert found["ModelLatency"] >= 4 * 50_000, "the whole explanation is in it"

    @pytest.mark.parametrize(
        ("end", "side"),
        [
            ({"end": "container", "status": 413}, "4XX"),
            ({"end": "explainer"}, "4XX"),
            ({"end": "container", "status": 500}, "5XX"),
            ({"end": "mooring"}, "5XX"),
            ({"never": True}, "5XX"),
        ],
    )
    def test_metrics_of_failures(self, scene: Scene, end: dict[str, Any], side: str) -> None:
        scene.serve(invocation_timeout_s=0.5)
        scene.call(end)
        found = self.counted(scene, "Invocations", "InvocationModelErrors")
        assert (found["Invocations"], found["InvocationModelErrors"], found[f"Invocation{side}Errors"]) == (1, 1, 1)
        assert "ExplanationsPerInstance" not in found

    def test_a_line_in_the_endpoints_logs(self, scene: Scene) -> None:
        scene.serve()
        scene.call({"ask": ["x"] * 8, "records": 4, "errors": [0.25, 0.0, 0.5]}, inference_id="17")
        scene.call({"end": "explainer", "message": "record 3\nis no number"})
        path = scene.stage.paths.logs / "uid" / "a" / "explainer.log"
        eventually(lambda: path.exists() and len(path.read_text().splitlines()) == 2)
        first, second = path.read_text().splitlines()
        assert "[17] Explained 3 records with 32 synthetic records in " in first
        assert first.endswith("; relative error about 2.5e-01, at most 5.0e-01")
        assert second.endswith(": record 3 is no number")

    def test_capture_has_the_request_and_the_explained_answer(self, scene: Scene) -> None:
        scene.stage.environment["MOORING_CAPTURE_DISK_LIMIT_PERCENT"] = "100"
        scene.start()
        server = scene.stage.server("r1", Counted(0.0))
        capture = CaptureRoute("bucket", "captured", 100, True, True, ("text/csv",), ("application/json",))
        scene.publish(explained(server, capture=capture))
        got = scene.call({"ask": ["x"] * 3}, content_type="text/csv")
        paths = list(scene.stage.paths.capture.glob("*/*-*"))
        (line,) = b"".join(path.read_bytes() for path in paths).splitlines()
        data = json.loads(line)["captureData"]
        assert data["endpointInput"]["data"] == '{"ask": ["x", "x", "x"]}'
        assert data["endpointOutput"]["observedContentType"] == "application/json"
        assert data["endpointOutput"]["data"].encode() == got.body


def test_a_shadow_is_compared_with_what_the_model_said(scene: Scene) -> None:
    scene.start()
    server, shadow = scene.stage.server("r1", Counted(0.0)), scene.stage.server("s1", Counted(0.0))
    replicas = (RouteReplica("s1", str(shadow.path)),)
    scene.publish(explained(server, shadow=RouteShadow("s", 1.0, "c1", replicas)))
    assert scene.call({"ask": ["x"] * 5}).status == 200
    assert scene.call({"end": "explainer", "message": "no numbers"}).status == 424
    deadline, agreed = time.monotonic() + WAIT_S, dict[str, int]()
    while sum(agreed.values()) < 2:
        assert time.monotonic() < deadline, agreed
        for report in scene.stage.control.next().get("shadows", ()):
            agreed = report["counted"]["agreement"]
    assert agreed["same"] == 2
    assert [seen.body[:1] for seen in shadow.seen] == [b"{", b"{"], "synthetic calls are not copied"


def test_a_serverless_variant_is_explained_on_the_callers_own_slot(scene: Scene) -> None:
    scene.start()
    counted = [Counted(0.01), Counted(0.01)]
    servers = [scene.stage.server(f"r{number}", script) for number, script in enumerate(counted)]
    replicas = tuple(RouteReplica(server.path.stem, str(server.path), slot) for slot, server in enumerate(servers))
    serverless = ServerlessRoute("0123456789ab4cdef0123456789abcde", 2, 0, 30, 1)
    scene.publish(RouteVariant("a", 1.0, replicas, serverless=serverless, explainer=EXPLAINER))
    with ThreadPoolExecutor(2) as pool:
        got = list(pool.map(scene.call, [{"ask": ["x"] * 10}, {"ask": ["y"] * 10}]))
    assert [each.status for each in got] == [200, 200]
    assert [each.document["width"] for each in got] == [1, 1]
    assert [each.synthetic for each in counted] == [10, 10]
    client = scene.begin({"never": True})
    other = scene.begin({"never": True})
    eventually(lambda: sum(len(server.seen) for server in servers) == 24)
    refused = scene.call({})
    assert (refused.status, refused.headers["x-amzn-errortype"]) == (400, "ThrottlingException")
    client.close()
    other.close()
    eventually(lambda: scene.call({}).status == 200)


@pytest.mark.parametrize("is_captured", [False, True])
def test_from_a_serverless_fleet_to_instances_that_explain(scene: Scene, is_captured: bool) -> None:
    scene.stage.environment["MOORING_CAPTURE_DISK_LIMIT_PERCENT"] = "100"
    scene.start()
    servers = [scene.stage.server(f"r{number}", Counted(0.01)) for number in range(3)]
    capture = CaptureRoute("bucket", "captured", 100, True, True, (), ()) if is_captured else None
    slot = RouteReplica("r0", str(servers[0].path), 0)
    serverless = ServerlessRoute("0123456789ab4cdef0123456789abcde", 1, 0, 30, 1)
    old = RouteVariant("a", 0.0, (slot,), serverless=serverless, capture=capture, share=0.0)
    scene.publish(old, explained(*servers[1:], capture=capture))
    got = scene.call({"ask": ["x"] * 10})
    assert (got.document["width"], len(got.document["predicted"])) == (2, 10)
    assert all(len(server.seen) > 2 for server in servers[1:])
    scene.publish(replace(old, weight=1.0, share=1.0), explained(*servers[1:], capture=capture, weight=0.0, share=0.0))
    assert scene.stage.client().call(invocation(body=b"{}")).body == b"{}"
    waiting = scene.begin({"never": True})
    assert waiting.receive().body == b'{"never": true}', "the old fleet explains nothing"


def test_a_captured_serverless_variant_is_explained_and_gives_its_slot_back(scene: Scene) -> None:
    scene.stage.environment["MOORING_CAPTURE_DISK_LIMIT_PERCENT"] = "100"
    scene.start()
    server = scene.stage.server("r0", Counted(0.0))
    serverless = ServerlessRoute("0123456789ab4cdef0123456789abcde", 1, 0, 30, 1)
    capture = CaptureRoute("bucket", "captured", 100, True, True, (), ())
    replica = RouteReplica("r0", str(server.path), 0)
    scene.publish(RouteVariant("a", 1.0, (replica,), serverless=serverless, explainer=EXPLAINER, capture=capture))
    for program, status in (({"ask": ["x"] * 3}, 200), ({"end": "explainer"}, 424), ({}, 200)):
        assert scene.call(program).status == status
    records = b"".join(path.read_bytes() for path in scene.stage.paths.capture.glob("*/*-*")).splitlines()
    assert len(records) == 2


def test_a_variant_that_explains_beside_one_that_does_not(scene: Scene) -> None:
    scene.start()
    server, other = scene.stage.server("r1", Counted(0.0)), scene.stage.server("r2", Counted(0.0))
    scene.publish(explained(server), explained(other, explainer=None, name="b"))
    client = scene.stage.client()
    assert client.call(invocation(body=b"{}", target_variant="a")).headers["content-type"] == "application/json"
    assert client.call(invocation(body=b"{}", target_variant="b")).body == b"{}"
    got = client.call(invocation(body=b"{}", target_variant="b", enable_explanations="`true`"))
    assert (got.status, "has no ExplainerConfig" in got.document["Message"]) == (400, True)


def test_what_is_held_of_calls_is_bounded(scene: Scene) -> None:
    scene.stage.environment["MOORING_EXPLAINER_QUEUE_BYTES"] = "100000"
    slow = Slow()
    scene.serve(slow)
    client = scene.begin({"ask": ["slow"], "filler": "x" * 60_000})
    assert slow.asked.wait(WAIT_S)
    got = scene.call({})
    assert (got.status, got.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
    assert "Too many calls are being explained" in got.document["Message"]
    client.close()
    eventually(lambda: scene.call({}).status == 200)


def test_an_explainer_that_is_given_another_config_has_its_own_text(scene: Scene) -> None:
    server = scene.serve()
    other = ExplainerRoute("uid/2/a", {"ShapConfig": {"NumberOfSamples": 3}}, "/somewhere/baseline", 2)
    scene.publish(explained(server, explainer=other))
    got = scene.call({}).document
    assert (got["explainer"], got["width"]) == (other.to_text(), 2)
