"""The simulation of scaling: that it runs the rules and adds up. No figure is judged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.append(str(BENCH))

from scaling_instances import Autoscaler, Outcome, asynchronous, need, real_time  # noqa: E402
from scaling_loads import RECORDED, Load, flash_crowd, recorded, service_times, steady  # noqa: E402
from scaling_sim import ASYNCHRONOUS, EACH_MINUTE, REAL_TIME, TARGET  # noqa: E402

from mooring.scaling.documents import ScalableTarget  # noqa: E402

HOUR = 3600.0


def scaler(name: str, most: int = 20) -> Autoscaler:
    return Autoscaler(ScalableTarget(TARGET, "id", 1, most, 0.0, "role"), [REAL_TIME[name]()])


def run(load: Load, name: str, most: int = 20) -> Outcome:
    wanted = need(load, EACH_MINUTE, 1, most)
    services = service_times(7, len(load.arrivals), 2.0)
    return real_time(load, services, scaler(name, most), 30.0, wanted, first=1)


def test_a_seed_makes_one_load_and_one_outcome() -> None:
    assert flash_crowd(3) == flash_crowd(3)
    assert flash_crowd(3).arrivals != flash_crowd(4).arrivals
    name = next(iter(REAL_TIME))
    assert run(flash_crowd(3), name) == run(flash_crowd(3), name)


def test_the_recorded_hour_is_there_with_its_source() -> None:
    assert len(recorded().arrivals) == 8819
    assert recorded().arrivals == sorted(recorded().arrivals)
    assert len(recorded(50).arrivals) == 177
    assert "CC BY 4.0" in RECORDED.read_text()
    assert "github.com/Azure/AzurePublicDataset" in RECORDED.read_text()


@pytest.mark.parametrize("name", REAL_TIME)
def test_every_set_of_parameters_runs_and_keeps_its_bounds(name: str) -> None:
    load = flash_crowd(1)
    found = run(load, name, most=4)
    assert len(found.waits) == len(load.arrivals)
    assert HOUR * 2 * 0.9 <= found.paid_s <= HOUR * 2 * 4.5
    assert found.changes > 0


def test_a_crowd_is_met_with_instances_and_these_leave_again() -> None:
    name = next(iter(REAL_TIME))
    scaled, fixed = run(flash_crowd(1), name), run(flash_crowd(1), name, most=1)
    assert scaled.changes >= 2
    assert fixed.changes == 0
    assert scaled.timed_out < fixed.timed_out
    assert fixed.paid_s < scaled.paid_s < 20 * HOUR * 2 / 2


def test_a_load_at_the_target_changes_nothing() -> None:
    calm = Load("calm", "", [1 + 60 / EACH_MINUTE * at for at in range(21 * 57)], 3420.0)
    found = run(calm, next(iter(REAL_TIME)))
    assert (found.changes, found.over_s, found.timed_out) == (0, 0.0, 0)


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_jobs_are_begun_in_order_and_instances_paid(name: str) -> None:
    load = Load("a few", "", [1800.0 + at / 10 for at in range(30)], 2 * HOUR)
    registered = ScalableTarget(TARGET, "id", 0, 5, 0.0, "role")
    found = asynchronous(
        load, [5.0] * 30, Autoscaler(registered, ASYNCHRONOUS[name](), zero_allowed=True), start_s=30.0
    )
    assert len(found.waits) + found.timed_out == 30
    assert found.timed_out == 0
    assert min(found.waits) >= 30.0
    assert found.paid_s >= 150.0
    assert found.changes >= 2


def test_steady_calls_of_few_instances_are_not_lost() -> None:
    load = steady(2)
    found = run(load, next(iter(REAL_TIME)))
    assert found.wait(50) <= found.wait(99)
    assert len(found.waits) == len(load.arrivals)
