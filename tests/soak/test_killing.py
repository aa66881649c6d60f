"""Processes that are killed again and again while calls go on."""

from __future__ import annotations

import os
import random
import signal

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.acceptance.running import Deployment, Load, Server, wait_until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

RECOVERED_WITHIN_S = 60
ROUNDS = 40


def whole(server: Server, endpoint: str, replicas: int) -> bool:
    """Whether every process is there, and every replica is healthy."""
    found = server.command("status", "--json")
    if found.returncode != 0 or any(each["pid"] is None for each in server.status()["processes"]):
        return False
    here = server.replicas(endpoint)
    return len(here) == replicas and all(each["state"] == "healthy" for each in here)


def test_all_kinds_of_processes_at_random(own: Deployment) -> None:
    """40 kills -9 of control, objects, a gateway or a replica, in random order under load."""
    server, name, dice = own.server, own.simple("steady", InitialInstanceCount=3), random.Random(4)
    forgiven = {
        "control": (),  # its death costs no call
        "objects": (),
        "gateway 0": (HTTPClientError,),  # resets what it has in hand
        "replica": (ClientError,),
    }
    for _ in range(ROUNDS):
        victim = dice.choice(sorted(forgiven))
        pid = server.replicas(name)[0]["pid"] if victim == "replica" else server.process(victim)
        with Load(own, name) as load:
            server.note_processes()
            os.kill(pid, signal.SIGKILL)
            load.wait_for_more(50, timeout=RECOVERED_WITHIN_S)
            wait_until(lambda: whole(server, name, 3), RECOVERED_WITHIN_S, f"recovery from the death of {victim}")
            load.wait_for_more(50, timeout=RECOVERED_WITHIN_S)
        unforgiven = [error for error in load.failures if not isinstance(error, forgiven[victim])]
        assert not unforgiven, (victim, unforgiven)
        assert len(load.failures) <= 2, (victim, load.failures)  # one in the hand of each thread
        codes = {error.response["Error"]["Code"] for error in load.failures if isinstance(error, ClientError)}
        assert codes <= {"ModelError"}, victim
    own.sagemaker.delete_endpoint(EndpointName=name)
    assert server.stop() == 0
    wait_until(lambda: not server.survivors(), what="everything to be gone")
