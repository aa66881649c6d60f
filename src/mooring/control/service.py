"""Control as the API sees it: wake an endpoint, say how things are, force a deletion."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from typing import Any

from mooring.control.access import Access
from mooring.control.administration import (
    audit_status,
    backlog_status,
    capture_status,
    endpoint_status,
    explanations_status,
    heading,
    limits_status,
    log_lines,
    processes,
    tls_status,
)
from mooring.control.alarm_book import AlarmBook
from mooring.control.async_invocations import AsyncInvocations
from mooring.control.async_queue import AsyncQueue
from mooring.control.async_work import AsyncWork
from mooring.control.capturing import Capturing
from mooring.control.endpoint_workers import EndpointWorkers
from mooring.control.kms import Kms
from mooring.control.kms_keys import KmsKeys
from mooring.control.log_groups import LogGroup, LogGroups
from mooring.control.metering import Metering
from mooring.control.neighbours import Neighbours
from mooring.control.scaling import Scaling
from mooring.control.shadow_keeping import ShadowKeeping
from mooring.control.shadow_reports import ShadowReports
from mooring.control.surroundings import Surroundings
from mooring.control.watching import Watching
from mooring.engines.prebuilt import is_prebuilt
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.events import Event, EventKind
from mooring.hosting.naming import Scope
from mooring.hosting.routes import route_key
from mooring.hosting.transitions import deleting
from mooring.http1.messages import Request
from mooring.store import Connection, endpoints, events, scaling
from mooring.wire.errors import WireResponse

log = logging.getLogger("mooring.control")

HOUSEKEEPING_S = 30.0
COLD = frozenset({EndpointStatus.DELETING, EndpointStatus.FAILED, EndpointStatus.OUT_OF_SERVICE})
"""Statuses of endpoints whose replicas nobody waits for."""


class ControlService:
    """All endpoint workers."""

    def __init__(
        self,
        around: Surroundings,
        neighbours: Neighbours,
        access: Access,
        capturing: Capturing,
        kms: Kms,
        metering: Metering,
        book: AlarmBook,
        asynchronous: AsyncQueue,
        jobs: AsyncWork,
    ) -> None:
        self._around = around
        self._capturing = capturing
        self._neighbours = neighbours
        self._jobs = jobs
        self._asynchronous = asynchronous
        self.kms = kms
        self.metering = metering
        self.alarms = book
        self.keys = access
        self._started_at = around.clock.wall()
        self._log_groups = LogGroups(around.paths.logs, around.clock)
        self._shadow_reports = ShadowReports(around.paths.shadow_counts)
        self._shadow_keeping = ShadowKeeping(self._shadow_reports, around.store, around.publisher)
        self._workers = EndpointWorkers(around, self._log_groups.forget)
        capturing.tell(metering.registry)
        self.scaling = Scaling(around.settings, around.store, around.clock, metering, book, self.wake)
        self._watching = Watching(around, self._workers, metering, book, around.topics, self.scaling, self._started_at)
        self._housekeeping: list[asyncio.Task[None]] = []

    @property
    def invocations(self) -> AsyncInvocations:
        """All asynchronous invocations."""
        return self._asynchronous.invocations

    @property
    def kms_keys(self) -> KmsKeys:
        """What makes and uses keys of KMS."""
        return self.kms.keys

    async def kms_service_key(self, scope: Scope, service: str) -> None:
        """Have a service's own key of KMS, such as S3's."""
        await self.kms.service_key(scope, service)

    def wake(self, uid: str) -> None:
        """The wished state of this endpoint changed, or it is a new one."""
        self._workers.wake(uid)

    def prewarm(self, model: dict[str, Any]) -> None:
        """A model was created: import its framework while the caller goes on to its config."""
        self._around.engine.prewarm(model)

    async def require_model_data(self, model: dict[str, Any], region: str) -> None:
        """Raises `Refused` when a model's data is not there for `region`, `Unavailable` when that cannot be told."""
        await self._around.engine.model_data.require(model, region)

    def is_prebuilt(self, image: str) -> bool:
        """Whether an image is one of AWS's own."""
        return is_prebuilt(image)

    def change_of(self, uid: str) -> asyncio.Event:
        """Set at the next change of this endpoint's stored record; set already when nobody works on it."""
        return self._workers.change_of(uid)

    async def ask_neighbours(self, request: Request, request_id: str) -> WireResponse:
        """What IAM, SNS, SQS, Logs, CloudWatch or STS answer. Raises `NotInstalled` or `Unavailable`."""
        return await self._neighbours.ask(request, request_id)

    async def status(self) -> dict[str, Any]:
        """For `mooring status`: this server, its processes, every endpoint with its replicas."""
        around = self._around
        records = await around.store.read(endpoints.all)
        idle = await around.store.read(lambda connection: events.of_kind(connection, EventKind.NO_EFFECT))
        account, url = around.settings.account, around.settings.url
        capture = self._capturing.states()
        backlog = await self._asynchronous.queue.backlog()
        return {
            **heading(url, account.region, account.id, self._started_at, around.clock.wall()),
            **await asyncio.to_thread(tls_status, around.settings.tls, around.paths),
            "limits": await asyncio.to_thread(limits_status, around.engine.limits),
            "audit": await asyncio.to_thread(audit_status, around.settings.audit, around.paths),
            "processes": processes(
                around.publisher.gateways, around.engine.zygotes.listing(), self._neighbours.listing()
            ),
            "endpoints": [
                {
                    **endpoint_status(record, self._workers.by_uid.get(record.uid)),
                    "capture": capture_status(record, capture.get(route_key(record.scope, record.name))),
                    "asynchronous": backlog_status(record, backlog.get(record.uid)),
                    "explanations": explanations_status(record),
                    "no_effect": idle.get(record.uid, []),
                }
                for record in records
            ],
        }

    async def logs(self, scope: Scope, name: str, after: str | None) -> dict[str, Any]:
        """Log lines of an endpoint's replicas since `after`. Raises `NotFound`."""
        record = await self._around.store.read(lambda connection: endpoints.require(connection, scope, name))
        return await asyncio.to_thread(log_lines, self._around.paths.logs / record.uid, after)

    async def log_group(self, scope: Scope, name: str) -> LogGroup:
        """What an endpoint's replicas wrote, as CloudWatch Logs would have it. Raises `NotFound`."""
        record = await self._around.store.read(lambda connection: endpoints.require(connection, scope, name))
        return self._log_groups.of(record.uid)

    async def log_groups(self, scope: Scope) -> list[tuple[EndpointRecord, LogGroup]]:
        """Every endpoint that has a log group, by name."""
        records = await self._around.store.read(endpoints.all)
        mine = sorted((record for record in records if record.scope == scope), key=lambda record: record.name)
        return [(record, self._log_groups.of(record.uid)) for record in mine]

    async def events(self, scope: Scope, name: str, after: int) -> dict[str, Any]:
        """`{"events": [{"position", "at", "kind", "text"}]}` of an endpoint behind `after`. Raises `NotFound`."""

        def read(connection: Connection) -> list[tuple[int, Event]]:
            return events.after(connection, endpoints.require(connection, scope, name).uid, after)

        found = await self._around.store.read(read)
        return {"events": [{"position": position, **dataclasses.asdict(each)} for position, each in found]}

    async def shadow_report(self, scope: Scope, name: str) -> dict[str, Any]:
        """What was counted of an endpoint's shadow variants, by endpoint config. Raises `NotFound`."""
        record = await self._around.store.read(lambda connection: endpoints.require(connection, scope, name))
        configs = {record.generation: record.config_name}
        if record.rollout is not None:
            configs[record.rollout.generation] = record.rollout.config_name
        found = ((config, self._shadow_reports.of(record.uid, number)) for number, config in configs.items())
        return {
            "endpoint": name,
            "region": scope.region,
            "has_shadow": any(each.shadow for each in record.variants),
            "comparisons": [{"config": config, **report} for config, report in found if report is not None],
        }

    async def force_delete(self, scope: Scope, name: str) -> None:
        """Delete an endpoint in whatever state it is, without draining. Raises `NotFound`. Returns when it is gone."""

        now = round(self._around.clock.wall(), 3)

        def mark(connection: Connection) -> str:
            found = endpoints.require(connection, scope, name)
            endpoints.save(connection, deleting(found, now, forced=True))
            for held in scaling.targets.of_endpoint(connection, scope, name):
                scaling.deregister(connection, held)
            return found.uid

        uid = await self._around.store.write(mark)
        self.wake(uid)
        await self.scaling.follow()
        await self._workers.wait_ended(uid)

    async def stop(self) -> None:
        """Stop every replica, zygote and neighbour. What is wished stays: the next start brings it up again."""
        for task in self._housekeeping:
            task.cancel()
        await self._shadow_keeping.save()
        await self._asynchronous.close()
        await self._jobs.close()
        await self._workers.stop()
        self._around.topics.close()
        await self._capturing.close()
        await self._neighbours.close()
        await self.kms.close()
        await self._around.engine.close()
        await self._around.publisher.close()
        await self.metering.close()

    async def adopt(self) -> None:
        """Take over what runs, then let every endpoint have its first pass."""
        await asyncio.to_thread(self._shadow_reports.load)
        await self._workers.adopt(await self._around.store.read(endpoints.all))
        self._around.publisher.settle()
        self._capturing.start()
        await self._jobs.start()
        self._asynchronous.start(self._jobs)
        self._workers.wake_all()  # now that gateways can be asked what they follow
        self._housekeeping = [
            asyncio.create_task(self._keep_house(), name="housekeeping"),
            asyncio.create_task(self._log_groups.keep(self._workers.written_logs), name="times of logs"),
            asyncio.create_task(self._shadow_keeping.run(), name="counts of shadows"),
            *self._watching.begin(),
        ]

    async def _keep_house(self) -> None:
        while True:
            try:
                await self._keep_warm()
                self._around.engine.zygotes.evict_idle()
                await self._around.engine.zygotes.reap()
            except Exception:  # such as a full disk
                log.exception("what is kept warm cannot be looked at")
            await asyncio.sleep(HOUSEKEEPING_S)

    async def _keep_warm(self) -> None:
        """Endpoints without a replica wait for a call, and a call does not wait for an import."""
        records = await self._around.store.read(endpoints.all)
        variants = [variant for record in records if record.status not in COLD for variant in record.variants]
        self._around.engine.keep_warm(each.model for each in variants if "ServerlessConfig" in each.config)
