"""The logs of replicas that went: the newest few stay, each with what was written beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest

from mooring.clock import SystemClock
from mooring.control import fleet as fleets
from mooring.control.fleet import Fleet
from mooring.control.replica_life import Place, ReplicaLife, ReplicaState
from mooring.settings import ReplicaSettings

PLACE = Place(1, "v")


def nothing(*_: object) -> None:
    """Nobody is told."""


def life(replica_id: str, state: ReplicaState) -> ReplicaLife:
    made = ReplicaLife(
        cast(Any, None), ReplicaSettings(), place=PLACE, region="us-east-1", owner={}, log_path=Path, on_change=nothing,
        note=nothing,
    )  # fmt: skip
    made.id, made.state = replica_id, state
    return made


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet("u", cast(Any, None), ReplicaSettings(), SystemClock(), tmp_path, nothing, nothing)


def test_data_logs_go_and_stay_with_those_of_their_replicas(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleets, "LOGS_OF_THE_DEAD", 2)
    directory = tmp_path / "u" / "v"
    directory.mkdir(parents=True)
    times = {"i-1": 1, "i-2": 2, "i-1.data-log": 3, "i-3": 4, "i-3.data-log": 5, "i-4": 0, "i-4.data-log": 0,
             "preparation": 0, "data-log": 0, "explainer": 0}  # fmt: skip
    for name, at in times.items():
        for suffix in (".log", ".times"):
            (directory / f"{name}{suffix}").touch()
            os.utime(directory / f"{name}{suffix}", (at, at))
    fleet.lives += [life("i-3", ReplicaState.GONE), life("i-4", ReplicaState.HEALTHY)]
    fleet.bury()
    kept = {each for each in times if each != "i-2"}, "the last words of i-1 were those of a job"
    assert {path.stem for path in directory.glob("*.log")} == kept[0], kept[1]
    assert {path.stem for path in directory.glob("*.times")} == kept[0]
    assert {directory / "i-3.log", directory / "i-3.data-log.log"} <= set(fleet.written_logs())
    assert not fleet.written_logs(), "once"
