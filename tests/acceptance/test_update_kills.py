"""Control is killed with -9 at each step of an update, before and after the step is stored: the next one goes on.

Calls come without pause and none is lost; the endpoint ends where it would have, with its replicas and no others. The
whole matrix takes minutes and is marked `soak`; a few of it always run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.running import Deployment, Load, Server, wait_until
from tests.acceptance.updating import HALF, MODES, QUIET, Updating, put_alarm, rolling, routed, running

DEATH_TRAP = """
import os, signal, sys
place = {place!r}
if "mooring.api" in sys.orig_argv:
    from mooring.control.endpoint_worker import EndpointWorker
    replace = EndpointWorker._replace
    def label(record):
        at = record.rollout
        return str(record.status) if at is None else f"{{'back-' if at.turned else ''}}{{at.phase}}-{{at.step}}"
    def trap(moment, wished):
        with open(place + ".seen", "a") as seen:
            seen.write(label(wished) + "\\n")
        try:
            wanted = open(place).read()
        except OSError:
            return
        if wanted == moment + " " + label(wished):
            os.unlink(place)
            os.kill(os.getpid(), signal.SIGKILL)
    async def trapped(self, record, wished):
        if record.rollout is not None:
            trap("before", wished)
        written = await replace(self, record, wished)
        if record.rollout is not None:
            trap("after", wished)
        return written
    EndpointWorker._replace = trapped
"""


class Trap:
    """A server whose control dies at the move that a test names."""

    def __init__(self, make_server: Callable[..., Server], directory: Path, **environment: str) -> None:
        self._place = directory / "die"
        (directory / "sitecustomize.py").write_text(DEATH_TRAP.format(place=str(self._place)))
        self.server = make_server(PYTHONPATH=str(directory), **environment).start()
        self.deployment = Deployment(self.server)

    def set(self, moment: str, move: str) -> None:
        aside = self._place.with_suffix(".new")
        aside.write_text(f"{moment} {move}")
        aside.rename(self._place)

    def moves(self) -> list[str]:
        """Every move so far, each once, in order."""
        return list(dict.fromkeys(self._place.with_suffix(".seen").read_text().split()))

    @property
    def sprung(self) -> bool:
        return not self._place.exists()


def check(trap: Trap, updating: Updating, config: str) -> None:
    """The endpoint is in service on `config`, with two replicas and not one process more."""
    found = updating.settled()
    assert found["EndpointConfigName"] == updating.config(config)
    assert trap.sprung, "control was not killed"

    def alone() -> bool:
        replicas = trap.server.replicas(updating.name)
        known = {each["pid"] for each in replicas if each["state"] == "healthy"}
        return len(replicas) == len(known) == 2 and running(trap.server) == known

    wait_until(alone, what="nothing but the replicas of the endpoint to run")
    assert updating.models() == {updating.config(config)}


def updated_with_a_kill(trap: Trap, updating: Updating, mode: str, moment: str, move: str, config: str) -> None:
    trap.set(moment, move)
    updating.update(config, MODES[mode])
    wait_until(lambda: trap.sprung, what=f"control to die {moment} {move}")
    check(trap, updating, config)


@pytest.mark.parametrize(
    ("mode", "moment", "move"),
    [("canary", "after", "retiring-1"), ("rolling", "before", "launching-1")],
)
def test_control_dies_in_an_update(
    make_server: Callable[..., Server], tmp_path: Path, mode: str, moment: str, move: str
) -> None:
    trap = Trap(make_server, tmp_path)
    updating = Updating(trap.deployment, mode)
    updating.prepare("new")
    with Load(trap.deployment, updating.name) as load:
        updated_with_a_kill(trap, updating, mode, moment, move, "new")
        load.wait_for_more(20)
    assert not load.failures


def test_control_dies_in_a_rollback(make_server: Callable[..., Server], tmp_path: Path) -> None:
    trap = Trap(make_server, tmp_path, MOORING_DEPLOYMENTS_TIMEOUT_S="1.5")
    updating = Updating(trap.deployment, "back")
    updating.prepare("new")
    with Load(trap.deployment, updating.name) as load:
        trap.set("before", "back-shifting-0")
        updating.update("new", routed("CANARY", 600, CanarySize=HALF))
        check(trap, updating, "old")
        load.wait_for_more(20)
    assert not load.failures


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("mode", ["all-at-once", "canary", "linear", "rolling", "alarmed"])
def test_control_dies_at_each_step(make_server: Callable[..., Server], tmp_path: Path, mode: str, moment: str) -> None:
    trap = Trap(make_server, tmp_path)
    put_alarm(trap.deployment, QUIET)
    updating = Updating(trap.deployment, mode)
    updating.prepare("new")
    updating.update("new", MODES[mode])
    updating.settled()
    moves = trap.moves()
    assert len(moves) >= 4
    assert moves[-1] == "InService"
    with Load(trap.deployment, updating.name) as load:
        for number, move in enumerate(moves):
            updated_with_a_kill(trap, updating, mode, moment, move, "old" if number % 2 == 0 else "new")
            load.wait_for_more(20)
            assert not load.failures, move
    assert not load.failures


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("mode", ["canary", "rolling"])
def test_control_dies_at_each_step_back(
    make_server: Callable[..., Server], tmp_path: Path, mode: str, moment: str
) -> None:
    """The time limit turns it back: of a rolling update in its last batch, when half of the old fleet has gone."""
    trap = Trap(make_server, tmp_path, MOORING_DEPLOYMENTS_TIMEOUT_S="4.5")
    updating = Updating(trap.deployment, mode)
    updating.prepare("new")
    policy = rolling(3) if mode == "rolling" else routed("CANARY", 600, CanarySize=HALF)
    with Load(trap.deployment, updating.name) as load:
        moves = (["back-launching-0"] if mode == "rolling" else []) + [
            "back-shifting-0",
            "back-retiring-0",
            "InService",
        ]
        for move in moves:
            trap.set(moment, move)
            updating.update("new", policy)
            check(trap, updating, "old")
            load.wait_for_more(20)
            assert not load.failures, move
    assert not load.failures
