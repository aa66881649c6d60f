"""Metrics on their way to another CloudWatch, a minute after the other, beside everything else.

A minute is sent when it is over and settled. What CloudWatch does not take is sent again with the next minute, back to
`MOST_MINUTES`; how far it got is on disk. A minute that broke off in the middle is sent whole again. Namespaces that
begin with `AWS/` are AWS's own, so Mooring's go below `Mooring/`.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Iterator
from typing import Any

from mooring.clock import Clock
from mooring.control.elsewhere import client_of
from mooring.control.metering import Metering
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Series
from mooring.store.metric_blocks import level_for
from mooring.store.metric_data import MetricData

log = logging.getLogger("mooring.control")

MINUTE_S = 60
SETTLED_S = 5.0
LOOK_S = 5.0
MOST_MINUTES = 180
MOST_VALUES = 150
"""Different values of one metric in one minute."""
DATA_A_CALL = 200
READ_S, ATTEMPTS = 20, 3
MARK = "pushed to CloudWatch"
_NAMESPACES = {"AWS/SageMaker": "Mooring/SageMaker", "/aws/sagemaker/Endpoints": "Mooring/SageMaker/Endpoints"}

Minute = list[tuple[Series, Distribution]]


class MetricPushing:
    """`run` is the one task."""

    def __init__(self, url: str, metering: Metering, clock: Clock) -> None:
        self.behind = 0
        """Minutes that are over and were not sent."""
        self._url = url
        self._metering = metering
        self._clock = clock
        self._clients: dict[str, Any] = {}
        self._failing = False

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            try:
                await self.push()
                self._failing = False
            except Exception as error:  # noqa: BLE001 - whatever a foreign service says, the next minute tries again
                if not self._failing:
                    log.warning("metrics cannot be sent to %s, which is tried again: %s", self._url, error)
                self._failing = True
            await asyncio.sleep(LOOK_S)

    async def push(self) -> None:
        """Send every minute that is over. Raises what the client raises."""
        now = int(self._clock.wall() - SETTLED_S)
        last = now - now % MINUTE_S - MINUTE_S
        marks = await self._metering.read(MetricData.sources)
        first = max(marks.get(MARK, last - MINUTE_S) + MINUTE_S, last - MOST_MINUTES * MINUTE_S)
        for minute in range(first, last + MINUTE_S, MINUTE_S):
            self.behind = (last - minute) // MINUTE_S + 1
            seen = await self._metering.read(functools.partial(minute_of, minute=minute))
            if seen:
                await asyncio.to_thread(self._send, seen, minute)
            await self._metering.read(functools.partial(_mark, minute=minute))
        self.behind = 0

    def _send(self, seen: Minute, minute: int) -> None:
        for region, namespace, data in calls_of(seen, minute):
            self._client(region).put_metric_data(Namespace=namespace, MetricData=data)

    def _client(self, region: str) -> Any:
        if region not in self._clients:
            made = client_of("cloudwatch", region, self._url, read_s=READ_S, attempts=ATTEMPTS)
            self._clients[region] = made
        return self._clients[region]


def minute_of(data: MetricData, minute: int) -> Minute:
    """Everything that was seen in one minute."""
    found: Minute = []
    for series, known in data.series().items():
        if known.last_at >= minute:
            points = data.points(series, level_for(MINUTE_S), minute, minute + MINUTE_S)
            found += [(series, seen) for seen in points.values()]
    return found


def _mark(data: MetricData, minute: int) -> None:
    data.receive(MARK, minute, ())


def calls_of(seen: Minute, minute: int) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """(region, namespace, data) of each call that tells of a minute."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for series, distribution in seen:
        namespace = _NAMESPACES.get(series.namespace, series.namespace)
        grouped.setdefault((series.region, namespace), []).append(_datum(series, distribution, minute))
    for (region, namespace), data in grouped.items():
        for start in range(0, len(data), DATA_A_CALL):
            yield region, namespace, data[start : start + DATA_A_CALL]


def _datum(series: Series, seen: Distribution, minute: int) -> dict[str, Any]:
    datum: dict[str, Any] = {
        "MetricName": series.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
        "Timestamp": minute,
        "Unit": series.unit,
    }
    pairs = _few(seen.values_of_sum())
    if pairs:
        return {**datum, "Values": [value for value, _ in pairs], "Counts": [times for _, times in pairs]}
    summary = {"SampleCount": seen.count, "Sum": seen.total, "Minimum": seen.least, "Maximum": seen.most}
    return {**datum, "StatisticValues": summary}


def _few(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Neighbours as one, until there are few enough; the sum stays."""
    while len(pairs) > MOST_VALUES:
        halved = []
        for position in range(0, len(pairs), 2):
            both = pairs[position : position + 2]
            times = sum(each for _, each in both)
            halved.append((sum(value * each for value, each in both) / times, times))
        pairs = halved
    return pairs
