"""Serverless variants while processes die: calls that wait are answered, and the limit holds at the model."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from botocore.exceptions import ClientError

from mooring.paths import Paths
from tests.acceptance.calling import Told, call_at_once
from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.sleeping import Sleeper, code


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_control_dies_while_a_call_is_held(sleeper: Callable[..., Sleeper]) -> None:
    """Before the replica is there, and while it loads: the next control adopts it with its slot."""
    endpoint = sleeper(load_s=2)
    endpoint.wait_for(0)
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(endpoint.invoke, b"0.5") for _ in range(2)]
        wait_until(lambda: len(endpoint.pids()) == 2, what="two replicas that load")
        loading = endpoint.pids()
        kill(endpoint.server.process("control"))
        assert {each.result()["pid"] for each in held} == loading
    endpoint.wait_for(0)
    kill(endpoint.server.process("control"))
    assert endpoint.invoke()["pid"] not in loading
    assert endpoint.most_at_a_time <= 2


def test_an_adopted_replica_keeps_its_slot(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(idle_s=60, MaxConcurrency=3)
    call_at_once(endpoint.server.url, endpoint.name, [b"0.5"] * 3)
    replicas = endpoint.pids()
    assert len(replicas) == 3
    control = endpoint.server.process("control")
    kill(control)
    wait_until(lambda: endpoint.server.process("control") != control, what="the next control")
    told = call_at_once(endpoint.server.url, endpoint.name, [b"0.5"] * 4)
    assert Counter(each.status if each else None for each in told) == {200: 3, 400: 1}
    assert endpoint.pids() == replicas


def test_a_gateway_dies_with_calls(sleeper: Callable[..., Sleeper]) -> None:
    """Its calls still run in their replicas, whose slots are free: the model has one at a time all the same."""
    endpoint = sleeper("--workers", "2", idle_s=60, MaxConcurrency=4)
    call_at_once(endpoint.server.url, endpoint.name, [b"0.2"] * 4)
    gateways = [endpoint.server.process(f"gateway {index}") for index in range(2)]
    cut: list[Told | None] = []

    def call() -> None:
        cut.extend(call_at_once(endpoint.server.url, endpoint.name, [b"2"] * 16))

    thread = threading.Thread(target=call)
    thread.start()
    wait_until(lambda: len(list((endpoint.seen / "calls").iterdir())) == 4, what="the model to have four calls")
    for gateway in gateways:
        kill(gateway)
    thread.join()
    assert sum(each is None for each in cut) == 4
    told: list[Told | None] = []
    wait_until(lambda: _all_answered(endpoint, told), what="the slots of the dead to be free")
    assert endpoint.most_at_a_time == 4


def _all_answered(endpoint: Sleeper, told: list[Told | None]) -> bool:
    """Whether as many calls as there are slots are answered at once."""
    try:
        told[:] = call_at_once(endpoint.server.url, endpoint.name, [b"0.1"] * 4)
    except OSError:
        return False
    return all(each is not None and each.status == 200 for each in told)


def test_a_gateway_dies_with_calls_that_it_holds(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(load_s=4, MaxConcurrency=1)
    endpoint.wait_for(0)
    gateway = endpoint.server.process("gateway 0")
    told: list[Told | None] = []
    thread = threading.Thread(target=lambda: told.extend(call_at_once(endpoint.server.url, endpoint.name, [b"0"])))
    thread.start()
    wait_until(lambda: len(endpoint.pids()) == 1, what="a replica that loads")
    kill(gateway)
    thread.join()
    assert told == [None]
    patient = endpoint.server.client("sagemaker-runtime", retries=8)
    assert endpoint.invoke(client=patient)["pid"]


def test_replicas_die_with_calls(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(idle_s=60)
    call_at_once(endpoint.server.url, endpoint.name, [b"0.3"] * 4)
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(_outcome, endpoint) for _ in range(4)]
        wait_until(lambda: len(list((endpoint.seen / "calls").iterdir())) == 4, what="the model to have four calls")
        dead = endpoint.pids()
        for pid in dead:
            kill(pid)
        assert {each.result() for each in calls} == {"ModelError"}
    told = call_at_once(endpoint.server.url, endpoint.name, [b"0.3"] * 4)
    assert [each.status if each else None for each in told] == [200] * 4
    assert not dead & {each.document["pid"] for each in told if each}
    assert endpoint.most_at_a_time <= 4


def _outcome(endpoint: Sleeper) -> str:
    try:
        endpoint.invoke(b"5")
    except ClientError as error:
        return code(error)
    return "answered"


def test_a_call_for_a_replica_that_died_unseen_is_held_for_the_next(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(idle_s=60)
    endpoint.invoke()
    (pid,) = endpoint.pids()
    with ThreadPoolExecutor(1) as pool:
        with endpoint.server.frozen("control"):
            kill(pid)
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="the replica to be gone")
            time.sleep(0.5)  # until its gateway has heard of that too: what was sent before is ModelError, and rightly
            held = pool.submit(endpoint.invoke)
            time.sleep(0.5)
            assert not held.done()
        assert held.result()["pid"] != pid


def test_provisioned_replicas_stay_and_are_replaced(sleeper: Callable[..., Sleeper]) -> None:
    endpoint = sleeper(MaxConcurrency=4, ProvisionedConcurrency=2)
    first = endpoint.pids()
    assert len(first) == 2
    told = call_at_once(endpoint.server.url, endpoint.name, [b"3"] * 4)
    assert [each.status if each else None for each in told] == [200] * 4
    assert len({each.document["pid"] for each in told if each}) == 4
    endpoint.wait_for(2)
    assert endpoint.pids() == first
    kill(min(first))
    wait_until(lambda: len(endpoint.pids() - {min(first)}) == 2, what="a replica in its place")


def test_provisioned_replicas_that_die_again_and_again_are_given_a_rest_but_calls_are_not(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    """They come up each time, so nothing else would keep them from being started without end."""
    server = make_server(MOORING_REPLICAS_RESTART_BACKOFF_S="600", MOORING_REPLICAS_RESTART_BACKOFF_MAX_S="600")
    endpoint = Sleeper(Deployment(server.start()), tmp_path / "seen").make(MaxConcurrency=2, ProvisionedConcurrency=1)
    (first,) = endpoint.pids()
    kill(first)
    wait_until(lambda: bool(endpoint.pids() - {first}), what="a replica in its place")
    (second,) = endpoint.pids() - {first}
    kill(second)
    wait_until(lambda: not endpoint.pids(), what="that to be gone too")
    time.sleep(1)
    assert not endpoint.pids()
    assert endpoint.invoke()["pid"] not in (first, second)


def test_a_call_while_a_gateway_is_frozen_gets_back_the_replica_that_cannot_leave(
    sleeper: Callable[..., Sleeper],
) -> None:
    endpoint = sleeper("--workers", "2")
    pid = endpoint.invoke()["pid"]
    run = endpoint.server.data / "run"

    def routed() -> bool:
        (route,) = (run / "gateways" / "0" / "routes").glob("*.json")
        return bool(json.loads(route.read_text())["variants"][0]["replicas"])

    with endpoint.server.frozen("gateway 1"):
        wait_until(lambda: not routed(), what="the idle replica to be out of the route of the gateway that works")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(Paths(endpoint.server.data).gateway_socket(0)))
            head = (
                f"POST /endpoints/{endpoint.name}/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
            )
            client.sendall(head.encode())
            answer = client.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 200")
    assert f'"pid": {pid}' in answer
