"""Processes that are killed again and again while calls are explained."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.acceptance.running import Deployment, wait_until
from tests.acceptance.test_explanations import HOUSE_A, PHI, Explained, attributions
from tests.soak.test_killing import RECOVERED_WITHIN_S, whole

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

ROUNDS = 24
FORGIVEN: dict[str, dict[type[Exception], str]] = {
    "control": {},  # its death costs no call
    "gateway 0": {HTTPClientError: ""},  # resets what it has in hand
    "replica": {ClientError: "ModelError"},  # the callers' own requests, not the synthetic ones
    "solver 0": {ClientError: "InternalFailure"},
}


class Explaining:
    """Threads that have houses explained without pause, each with its own client and no retries."""

    def __init__(self, explained: Explained, threads: int = 2) -> None:
        self.answers: list[list[float]] = []
        self.failures: list[Exception] = []
        self._explained = explained
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._explain) for _ in range(threads)]

    def _explain(self) -> None:
        client = self._explained.own.server.client("sagemaker-runtime", connect_timeout=5, read_timeout=60)
        while not self._stop.is_set():
            try:
                document = self._explained.explain(f"{HOUSE_A}\n{HOUSE_A}", client=client)
                self.answers += map(attributions, document["explanations"]["kernel_shap"])
            except Exception as error:  # noqa: BLE001 - what fails is what the test looks at
                self.failures.append(error)

    def __enter__(self) -> Explaining:
        for thread in self._threads:
            thread.start()
        self.wait_for_more(4)
        return self

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.answers) + count
        wait_until(lambda: len(self.answers) >= wanted, RECOVERED_WITHIN_S, f"progress; {self.failures[-3:]}")

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=90)
            assert not thread.is_alive(), "a call hangs"


def test_all_kinds_of_processes_at_random(own: Deployment, tmp_path: Path) -> None:
    """24 kills -9 of control, a gateway, its solver or a replica, in random order while calls are explained."""
    explained = Explained(own, tmp_path)
    explained.model(then="time.sleep(0.005 * len(rows))")
    explained.create(count=2, InferenceConfig={"MaxRecordCount": 8})
    server, dice = own.server, random.Random(7)
    for _ in range(ROUNDS):
        victim = dice.choice(sorted(FORGIVEN))
        with Explaining(explained) as load:
            pid = server.replicas("e")[0]["pid"] if victim == "replica" else server.process(victim)
            server.note_processes()
            os.kill(pid, signal.SIGKILL)
            load.wait_for_more(4)
            wait_until(lambda: whole(server, "e", 2), RECOVERED_WITHIN_S, f"recovery from the death of {victim}")
            load.wait_for_more(4)
        assert all(found == pytest.approx(PHI, rel=1e-9) for found in load.answers), victim
        assert len(load.failures) <= 2, (victim, load.failures)  # one in the hand of each thread
        for error in load.failures:
            code = next((code for kind, code in FORGIVEN[victim].items() if isinstance(error, kind)), None)
            assert code is not None, (victim, error)
            assert not isinstance(error, ClientError) or error.response["Error"]["Code"] == code, (victim, error)
    own.sagemaker.delete_endpoint(EndpointName="e")
    assert server.stop() == 0
    wait_until(lambda: not server.survivors(), what="everything to be gone")
