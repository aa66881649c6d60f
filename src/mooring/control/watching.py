"""What control does by the clock beside the work on endpoints: alarms, scaling, and metrics of instances, pushed on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mooring.control.alarm_actions import AlarmActions
from mooring.control.alarm_book import AlarmBook
from mooring.control.alarm_evaluation import AlarmEvaluation
from mooring.control.census import Census
from mooring.control.concurrent_requests import ConcurrentRequests
from mooring.control.endpoint_workers import EndpointWorkers
from mooring.control.instance_metrics import InstanceMetrics
from mooring.control.metering import Metering
from mooring.control.metric_pushing import MetricPushing
from mooring.control.scaling import Scaling
from mooring.control.surroundings import Surroundings
from mooring.control.topics import Topics
from mooring.scaling.naming import POLICY_ARN_PART

EXECUTIONS_S = 1.0
"""As often as gateways tell which slots are in use."""


class Watching:
    """One for all endpoints."""

    def __init__(
        self,
        around: Surroundings,
        workers: EndpointWorkers,
        metering: Metering,
        book: AlarmBook,
        topics: Topics,
        scaling: Scaling,
        started_at: float,
    ) -> None:
        self._around = around
        self._metering = metering
        self._evaluation = AlarmEvaluation(book, metering, around.clock)
        self._actions = AlarmActions(book, topics)
        self._actions.handle(POLICY_ARN_PART, scaling.triggered)
        self._scaling = scaling
        census = Census(around.store, workers.by_uid, book)
        census.tell(metering.registry, started_at)
        self._workers = workers
        self._concurrent = ConcurrentRequests(around.store, around.publisher, metering.record, around.clock)
        used = around.engine.limits.used
        self._instances = InstanceMetrics(census.living, metering.record, around.clock, around.paths.root, used)

    def begin(self) -> Iterator[asyncio.Task[None]]:
        """Tasks that go on until they are cancelled."""
        settings = self._around.settings.metrics
        yield asyncio.create_task(self._instances.run(settings.instances_interval_s), name="instances")
        yield asyncio.create_task(self._keep_recording_executions(), name="executions of serverless variants")
        yield asyncio.create_task(self._concurrent.run(), name="calls at a time")
        yield asyncio.create_task(self._evaluation.run(), name="alarms")
        yield asyncio.create_task(self._actions.run(), name="actions of alarms")
        yield asyncio.create_task(self._scaling.run(), name="scaling")
        if settings.cloudwatch_url:
            pushing = MetricPushing(settings.cloudwatch_url, self._metering, self._around.clock)
            self._metering.registry.add(
                "cloudwatch_minutes_behind", "gauge", "Minutes that another CloudWatch lacks.", lambda: pushing.behind
            )
            yield asyncio.create_task(pushing.run(), name="metrics to CloudWatch")

    async def _keep_recording_executions(self) -> None:
        while True:
            await asyncio.sleep(EXECUTIONS_S)
            at = int(self._around.clock.wall())
            workers = self._workers.by_uid.values()
            points = [point for worker in workers for point in worker.elasticity.executions(at)]
            if points:
                self._metering.record(points)
