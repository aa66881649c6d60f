"""Metrics sent to another CloudWatch: every minute once, however often it does not answer, and how they are told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.control.metering import Metering
from mooring.control.metric_pushing import MOST_VALUES, MetricPushing, calls_of
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series
from mooring.store.metric_data import Retention
from mooring.store.metric_store import MetricStore

NOW = 1_800_000_000
A = Series("1", "eu-west-1", "AWS/SageMaker", "Invocations", (("EndpointName", "e"),), "None")
RETENTION = Retention({1: 10_800, 60: 1e6, 300: 1e6, 3600: 1e6}, 100)


class SetClock:
    now = float(NOW + 6)

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Client:
    def __init__(self) -> None:
        self.down = False
        self.told: list[tuple[str, dict[str, Any]]] = []

    def put_metric_data(self, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        if self.down:
            raise ConnectionError("it is down")
        self.told += [(Namespace, datum) for datum in MetricData]

    def sums(self) -> dict[int, float]:
        return {
            each["Timestamp"] - NOW: sum(map(lambda v, c: v * c, each["Values"], each["Counts"]))
            for _, each in self.told
        }


def test_every_minute_is_sent_once(tmp_path: Path) -> None:
    async def run() -> None:
        clock, client = SetClock(), Client()
        store = await MetricStore.open(tmp_path / "m.db", RETENTION, clock.wall)

        def begun() -> MetricPushing:
            made = MetricPushing("http://there", cast(Metering, store), clock)  # `read` is all that it uses
            made._clients["eu-west-1"] = client
            return made

        pushing = begun()
        store.record([Point(A, NOW - 60 + second, Distribution.repeated(1.0, 2)) for second in range(60)])
        await pushing.push()
        await pushing.push()
        assert client.sums() == {-60: 120}
        assert client.told[0][0] == "Mooring/SageMaker"
        client.down = True
        for minute in range(3):
            clock.now += 60
            store.record([Point(A, NOW + 60 * minute, Distribution.repeated(1.0, minute + 1))])
            with pytest.raises(ConnectionError):
                await pushing.push()
        assert pushing.behind == 3
        client.down = False
        await store.read(lambda data: data.flush())
        pushing = begun()  # another control
        await pushing.push()
        assert client.sums() == {-60: 120, 0: 1, 60: 2, 120: 3}
        assert len(client.told) == 4
        assert pushing.behind == 0
        await store.close()

    asyncio.run(run())


@given(st.lists(st.floats(0.001, 1e9), min_size=1, max_size=400))
def test_what_is_told_has_the_sum_and_few_values(values: list[float]) -> None:
    ((_, _, [datum]),) = calls_of([(A, Distribution.of(values))], NOW)
    assert len(datum["Values"]) == len(datum["Counts"]) <= MOST_VALUES
    assert sum(datum["Counts"]) == len(values)
    assert sum(map(lambda v, c: v * c, datum["Values"], datum["Counts"])) == pytest.approx(sum(values))


def test_summaries_and_large_minutes() -> None:
    summary = Distribution.summarized(3, 6, 1, 4)
    ((region, _, [datum]),) = calls_of([(A, summary)], NOW)
    assert region == "eu-west-1"
    assert datum["StatisticValues"] == {"SampleCount": 3, "Sum": 6, "Minimum": 1, "Maximum": 4}
    calls = list(calls_of([(A._replace(name=str(n)), summary) for n in range(450)], NOW))
    assert [len(data) for _, _, data in calls] == [200, 200, 50]
