"""Calls of a serverless variant at the gateway: what control is told, and what becomes of those that wait."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from mooring.hosting.routes import Route, RouteReplica, RouteVariant, Version
from mooring.hosting.serverless import ServerlessRoute
from tests.gateway.running import WAIT_S, Response, Seen, Stage, answer, eventually, invocation, route

UID = "0123456789ab4cdef0123456789abcde"


def serverless(*replicas: RouteReplica, generation: int = 1, most: int = 2, hold_s: float = 30) -> RouteVariant:
    return RouteVariant("v", 1.0, replicas, serverless=ServerlessRoute(UID, most, 0, hold_s, generation))


class Scene:
    """A gateway with one serverless endpoint, and calls that are under way."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.control = stage.control
        self.pool = ThreadPoolExecutor(8)
        self._generation = 0
        stage.start()
        self.control.accept()

    def publish(self, *variants: RouteVariant, **changes: Any) -> Route:
        self._generation += 1
        made = route(variants=variants, version=Version(1, self._generation), **changes)
        self.control.publish(made)
        return made

    def call(self) -> Future[Response]:
        return self.pool.submit(lambda: self.stage.client().call(invocation()))

    def told(self, kind: str) -> Any:
        """The next message of a kind."""
        while kind not in (message := self.control.reported.get(timeout=WAIT_S)):
            pass
        return message[kind]

    def demanded(self, *slots: int, generation: int = 1) -> None:
        """Wait until exactly these slots are asked for."""
        while self.told("demand") != [[UID, generation, "v", list(slots)]]:
            pass


@pytest.fixture
def scene(stage: Stage) -> Any:
    made = Scene(stage)
    yield made
    made.pool.shutdown(wait=False)


def replica(stage: Stage, name: str, slot: int, *, gate: threading.Event | None = None) -> RouteReplica:
    """One that answers with its name; with a `gate`, when that is open."""

    def script(_: Seen, __: socket.socket) -> bytes:
        if gate is not None:
            gate.wait(WAIT_S)
        return answer(name.encode())

    return RouteReplica(name, str(stage.server(name, script).path), slot)


def test_a_call_without_a_replica_is_held_and_asked_for_until_it_goes(scene: Scene) -> None:
    scene.publish(serverless())
    calls = [scene.call(), scene.call()]
    scene.demanded(0, 1)
    scene.demanded(0, 1)  # again
    scene.control.accept()  # another control, which knows nothing of it
    scene.demanded(0, 1)
    assert scene.call().result().headers["x-amzn-errortype"] == "ThrottlingException"
    scene.publish(serverless(replica(scene.stage, "r1", 1)))
    assert [each.result().body for each in calls] == [b"r1", b"r1"], "who came first goes first, then the other"
    assert scene.told("used") == [[UID, 1, "v", [0, 1]]]


def test_a_free_replica_is_taken_before_another_is_asked_for(scene: Scene) -> None:
    gate = threading.Event()
    scene.publish(serverless(replica(scene.stage, "r1", 1, gate=gate)))
    first = scene.call()
    second = scene.call()
    scene.demanded(0)
    gate.set()
    assert {first.result().body, second.result().body} == {b"r1"}


def test_a_replica_that_refuses_has_not_seen_the_call(scene: Scene) -> None:
    gone = replica(scene.stage, "gone", 0)
    server = scene.stage.server("other", lambda *_: answer(b"other"))
    scene.publish(serverless(replace(gone, address=gone.address + "-none")))
    call = scene.call()
    scene.demanded(0)
    scene.publish(serverless(RouteReplica("other", str(server.path), 0)))
    assert call.result().body == b"other"


def test_who_waits_for_what_cannot_be_started_is_told_why(scene: Scene) -> None:
    scene.publish(serverless())
    calls = [scene.call(), scene.call()]
    scene.demanded(0, 1)
    scene.control.tell({"unstarted": [UID, 1, "v", [1]], "reason": 'model_fn failed: "no {weights}"'})
    eventually(lambda: any(each.done() for each in calls))
    (failed,) = (each.result() for each in calls if each.done())
    assert (failed.status, failed.document["OriginalMessage"]) == (424, 'model_fn failed: "no {weights}"')
    scene.demanded(0)


def test_who_waits_for_too_long_is_told_to_come_again(scene: Scene) -> None:
    scene.publish(serverless(hold_s=0.3))
    told = scene.call().result()
    assert (told.status, told.headers["x-amzn-errortype"]) == (429, "ModelNotReadyException")
    assert scene.call().result().status == 429, "its slot was free again"


def test_who_waits_for_an_old_fleet_goes_to_the_new_one(scene: Scene) -> None:
    scene.publish(serverless())
    held = scene.call()
    scene.demanded(0)
    scene.publish(serverless(generation=2))
    scene.demanded(0, generation=2)
    scene.publish(serverless(replica(scene.stage, "new", 0), generation=2))
    assert held.result().body == b"new"


def test_two_fleets_share_the_slots_of_their_endpoint(scene: Scene) -> None:
    gate = threading.Event()
    fleets = []
    for generation in (1, 2):
        replicas = [replica(scene.stage, f"r{generation}{slot}", slot, gate=gate) for slot in range(2)]
        fleets.append(serverless(*replicas, generation=generation))
    scene.publish(*(replace(fleet, weight=0.5, share=0.5) for fleet in fleets))
    calls = [scene.call() for _ in range(6)]
    eventually(lambda: sum(each.done() for each in calls) == 4)
    gate.set()
    assert sorted(each.result().status for each in calls) == [200, 200, 400, 400, 400, 400]


def test_who_waits_goes_to_instances_or_ends_with_the_endpoint(scene: Scene) -> None:
    scene.publish(serverless())
    held = scene.call()
    scene.demanded(0)
    scene.publish(RouteVariant("v", 1.0, (replica(scene.stage, "instance", 0),)))
    assert held.result().body == b"instance"
    made = scene.publish(serverless(generation=3))
    held = scene.call()
    scene.demanded(0, generation=3)
    scene.control.say({"drop": {"key": made.key, "version": [1, 99]}})
    assert "not found" in held.result().document["Message"]


def test_a_smaller_limit_is_kept_by_those_who_wait(scene: Scene) -> None:
    scene.publish(serverless(most=4))
    calls = [scene.call() for _ in range(4)]
    scene.demanded(0, 1, 2, 3)
    scene.publish(serverless(most=2))
    eventually(lambda: sum(each.done() for each in calls) == 2)
    assert {each.result().status for each in calls if each.done()} == {400}
    scene.demanded(0, 1)


def test_a_gateway_that_ends_tells_those_who_wait(stage: Stage) -> None:
    stage.environment["MOORING_GATEWAY_DRAIN_S"] = "0.3"
    scene = Scene(stage)
    scene.publish(serverless())
    held = scene.call()
    scene.demanded(0)
    stage.terminate()
    assert held.result().status == 429
    assert stage.wait() == 0
    scene.pool.shutdown()


def test_a_traced_call_is_held_and_goes_like_any_other(stage: Stage) -> None:
    """Whose calls are of another kind, as they are watched."""
    stage.environment["MOORING_TRACES_ENDPOINT"] = "http://127.0.0.1:9"
    scene = Scene(stage)
    scene.publish(serverless())
    leaving = stage.client()
    leaving.send(invocation())
    scene.demanded(0)
    leaving.close()
    held = scene.call()
    scene.demanded(0)
    scene.publish(serverless(replica(stage, "r", 0)))
    assert held.result().body == b"r"
    scene.pool.shutdown()
