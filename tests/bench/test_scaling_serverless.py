"""The simulation of serverless variants: that it runs the gateway's slots and control's idle rule, and adds up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.append(str(BENCH))

from scaling_loads import Load, herd, recorded, service_times  # noqa: E402
from scaling_serverless import Result, Run  # noqa: E402


def run(load: Load, idle_s: float, *, concurrency: int = 20, hold_s: float = 180.0, start_s: float = 5.0) -> Result:
    return Run(concurrency, idle_s, hold_s, start_s).run(load, service_times(1, len(load.arrivals), 0.5))


@pytest.mark.parametrize("load", [herd(1), recorded(20)], ids=lambda load: load.name)
def test_every_call_comes_to_one_end(load: Load) -> None:
    found = run(load, 300.0, hold_s=15.0, start_s=30.0)
    assert found.calls == len(load.arrivals)
    assert len(found.waits) + found.throttled + found.given_up == found.calls
    assert max(found.waits) <= 15.0 + 1e-6
    assert found.replica_s >= found.busy_s > 0


def test_what_is_kept_longer_is_cold_less_often_and_idles_more() -> None:
    short, long = run(recorded(20), 60.0), run(recorded(20), 600.0)
    assert long.cold < short.cold
    assert long.starts < short.starts
    assert long.replica_s > short.replica_s


def test_more_calls_than_slots_are_throttled() -> None:
    at_once = Load("at once", "", [100.0 + at / 1000 for at in range(30)], 1000.0)
    found = run(at_once, 300.0, concurrency=20)
    assert (found.throttled, found.starts, found.cold) == (10, 20, 20)


def test_an_idle_replica_leaves_after_its_time() -> None:
    found = run(Load("one", "", [100.0], 1000.0), 300.0)
    assert found.waits == [5.0]
    assert 300.0 <= found.replica_s <= 303.0
