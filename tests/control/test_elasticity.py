"""When the replicas of serverless variants are looked at again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from mooring.control.elasticity import Elasticity
from mooring.control.replica_life import Place, ReplicaState
from mooring.settings import Settings

PLACE = Place(1, "all")


class SetClock:
    now = 100.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def test_one_that_became_idle_during_a_pass_is_looked_at_again() -> None:
    clock, settings = SetClock(), Settings()
    life = SimpleNamespace(id="i-1", slot=0, state=ReplicaState.HEALTHY)
    fleet = SimpleNamespace(in_slots=lambda place: {0: life}, came_up=lambda place: None)
    elasticity = Elasticity("uid", cast("Any", fleet), settings, clock, cast("Any", None))
    variant = SimpleNamespace(name="all", config={"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}})
    record = SimpleNamespace(scope=SimpleNamespace(account="1", region="r"), name="e")
    target = SimpleNamespace(variant=variant, count=0)
    elasticity.look(cast("Any", record), 1, cast("Any", target))
    clock.now += settings.serverless.idle_s - 0.001
    assert elasticity.kept(PLACE) == [life]
    clock.now += 0.002
    assert elasticity.next_look_s(PLACE) is not None, "else nobody would look again, and it would never go"
    assert elasticity.kept(PLACE) == []
    life.state = ReplicaState.LEAVING
    assert elasticity.next_look_s(PLACE) is None
