"""Control as the API sees it: wake an endpoint, say how things are, force a deletion.

`start` adopts the replicas that an earlier control left running before any route goes out, so that gateways never
lose one that still serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from pathlib import Path
from typing import Any

from mooring.clock import Clock
from mooring.control.access import Access
from mooring.control.administration import (
    audit_status,
    capture_status,
    endpoint_status,
    heading,
    log_lines,
    processes,
    prune_logs,
    tls_status,
)
from mooring.control.alarm_actions import AlarmActions
from mooring.control.alarm_book import AlarmBook
from mooring.control.alarm_evaluation import AlarmEvaluation
from mooring.control.alarms import CloudWatch
from mooring.control.capture_keys import CaptureKeys
from mooring.control.capturing import Capturing
from mooring.control.census import Census
from mooring.control.endpoint_worker import EndpointWorker
from mooring.control.instance_metrics import InstanceMetrics
from mooring.control.kms import Kms
from mooring.control.kms_keys import KmsKeys
from mooring.control.log_groups import LogGroup, LogGroups
from mooring.control.metering import Metering
from mooring.control.metric_pushing import MetricPushing
from mooring.control.neighbours import Neighbours
from mooring.control.own_keys import client_key
from mooring.control.publishing import RoutePublisher
from mooring.control.shadow_reports import SAVE_EVERY_S, ShadowReports
from mooring.control.surroundings import Surroundings
from mooring.engines.prebuilt import is_prebuilt
from mooring.engines.process import ProcessEngine, Replica
from mooring.errors import Unavailable
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, VariantState
from mooring.hosting.events import Event, EventKind
from mooring.hosting.naming import Scope
from mooring.hosting.routes import route_key
from mooring.hosting.transitions import deleting
from mooring.http1.messages import Request
from mooring.keys.master import open_master_key
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.store import Connection, Store, endpoints, events
from mooring.wire.errors import WireResponse

log = logging.getLogger("mooring.control")

FIRST_PASS_TIMEOUT_S = 10.0
HOUSEKEEPING_S = 30.0
STOP_TIMEOUT_S = 30.0


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
    ) -> None:
        self._around = around
        self._capturing = capturing
        self.kms = kms
        self.metering = metering
        self.alarms = book
        self._evaluation = AlarmEvaluation(book, metering, around.clock)
        self._actions = AlarmActions(book, neighbours)
        self.keys = access
        self._workers: dict[str, EndpointWorker] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._housekeeping: list[asyncio.Task[None]] = []
        self._neighbours = neighbours
        self._shadow_reports = ShadowReports(around.paths.shadow_counts)
        around.publisher.heeded["shadows"] = lambda link, message: self._shadow_reports.heard(
            link.incarnation, message["shadows"]
        )
        self._log_groups = LogGroups(around.paths.logs, around.clock)
        self._started_at = around.clock.wall()
        census = Census(around.store, self._workers, book)
        census.tell(metering.registry, self._started_at)
        self._instances = InstanceMetrics(census.living, metering.record, around.clock, around.paths.root)

    @property
    def kms_keys(self) -> KmsKeys:
        """What makes and uses keys of KMS."""
        return self.kms.keys

    async def kms_service_key(self, scope: Scope, service: str) -> None:
        """Have a service's own key of KMS, such as S3's."""
        await self.kms.service_key(scope, service)

    def wake(self, uid: str) -> None:
        """The wished state of this endpoint changed, or it is a new one."""
        worker = self._workers.get(uid)
        if worker is None:
            self._begin(uid)
        else:
            worker.wake()

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
        if (worker := self._workers.get(uid)) is not None:
            return worker.changed
        nobody = asyncio.Event()
        nobody.set()
        return nobody

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
        return {
            **heading(url, account.region, account.id, self._started_at, around.clock.wall()),
            **await asyncio.to_thread(tls_status, around.settings.tls, around.paths),
            "audit": await asyncio.to_thread(audit_status, around.settings.audit, around.paths),
            "processes": processes(
                around.publisher.gateways, around.engine.zygotes.listing(), self._neighbours.listing()
            ),
            "endpoints": [
                {
                    **endpoint_status(record, self._workers.get(record.uid)),
                    "capture": capture_status(record, capture.get(route_key(record.scope, record.name))),
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
            return found.uid

        uid = await self._around.store.write(mark)
        self.wake(uid)
        if task := self._tasks.get(uid):
            await asyncio.wait({task})

    async def stop(self) -> None:
        """Stop every replica, zygote and neighbour. What is wished stays: the next start brings it up again."""
        for task in self._housekeeping:
            task.cancel()
        await self._save_shadow_reports()
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await asyncio.gather(*(worker.fleet.stop(at_once=True) for worker in self._workers.values()))
        await self._capturing.close()
        await self._neighbours.close()
        await self.kms.close()
        await self._around.engine.close()
        await self._around.publisher.close()
        await self.metering.close()

    def _begin(self, uid: str) -> EndpointWorker:
        worker = self._workers[uid] = EndpointWorker(uid, self._around)
        task = self._tasks[uid] = asyncio.create_task(worker.run(), name=f"endpoint {uid}")
        task.add_done_callback(lambda done: self._ended(uid, done))
        return worker

    def _ended(self, uid: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._workers.pop(uid, None)
            self._tasks.pop(uid, None)
            self._log_groups.forget(uid)

    async def adopt(self) -> None:
        """Take over what runs, then let every endpoint have its first pass."""
        await asyncio.to_thread(self._shadow_reports.load)
        records = await self._around.store.read(endpoints.all)
        by_uid = {record.uid: record for record in records}
        strays = []
        adopted: dict[str, list[Replica]] = {}
        for replica in await asyncio.to_thread(lambda: list(self._around.engine.recorded())):
            if _owner(by_uid, replica) is None:
                strays.append(replica)
            else:
                adopted.setdefault(replica.owner["endpoint_uid"], []).append(replica)
        await asyncio.gather(*(self._around.engine.stop(replica) for replica in strays))
        await self._around.engine.artifacts.keep_only(lambda uid: uid in by_uid)
        await asyncio.to_thread(prune_logs, self._around.paths.logs, set(by_uid))
        for record in records:
            worker = self._begin(record.uid)
            for replica in adopted.get(record.uid, ()):
                worker.fleet.adopt(replica, _variant(record, replica), record.scope.region)
        if records:
            log.info("%d endpoints, %d replicas adopted", len(records), sum(map(len, adopted.values())))
            await self._first_passes([self._workers[record.uid] for record in records])
        self._around.publisher.settle()
        self._capturing.start()
        for worker in self._workers.values():
            worker.wake()  # now that gateways can be asked what they follow
        self._housekeeping = [
            asyncio.create_task(self._keep_house(), name="housekeeping"),
            asyncio.create_task(self._log_groups.keep(self._written_logs), name="times of logs"),
            asyncio.create_task(
                self._instances.run(self._around.settings.metrics.instances_interval_s), name="instances"
            ),
            asyncio.create_task(self._evaluation.run(), name="alarms"),
            *self._pushing(),
            asyncio.create_task(self._actions.run(), name="actions of alarms"),
            asyncio.create_task(self._keep_shadow_reports(), name="counts of shadows"),
        ]

    def _pushing(self) -> list[asyncio.Task[None]]:
        url = self._around.settings.metrics.cloudwatch_url
        if not url:
            return []
        pushing = MetricPushing(url, self.metering, self._around.clock)
        self.metering.registry.add(
            "cloudwatch_minutes_behind", "gauge", "Minutes that another CloudWatch lacks.", lambda: pushing.behind
        )
        return [asyncio.create_task(pushing.run(), name="metrics to CloudWatch")]

    async def _first_passes(self, workers: list[EndpointWorker]) -> None:
        waits = [asyncio.create_task(worker.looked.wait(), name=f"first look at {worker.uid}") for worker in workers]
        _, late = await asyncio.wait(waits, timeout=FIRST_PASS_TIMEOUT_S)
        for wait in late:
            wait.cancel()

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            self._around.engine.zygotes.evict_idle()
            await self._around.engine.zygotes.reap()

    async def _keep_shadow_reports(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self._save_shadow_reports()

    async def _save_shadow_reports(self) -> None:
        """Those of the endpoints that there are, in the generations that run."""
        try:
            records = await self._around.store.read(endpoints.all)
            others = {record.uid: (record.rollout, record.remnant) for record in records}
            self._shadow_reports.keep_only(
                {
                    each.uid: {each.generation, *(other.generation for other in others[each.uid] if other is not None)}
                    for each in records
                }
            )
            self._shadow_reports.save()
        except (OSError, Unavailable) as error:
            log.warning("the counts of shadows are not kept: %s", error)

    def _written_logs(self) -> dict[str, list[Path]]:
        found = ((uid, worker.fleet.written_logs()) for uid, worker in self._workers.items())
        return {uid: logs for uid, logs in found if logs}


def _owner(records: dict[str, EndpointRecord], replica: Replica) -> EndpointRecord | None:
    """The endpoint that a recorded replica belongs to, unless nothing of that may run."""
    record = records.get(str(replica.owner.get("endpoint_uid")))
    return None if record is None or record.status is EndpointStatus.FAILED else record


def _variant(record: EndpointRecord, replica: Replica) -> VariantState | None:
    """The variant that a replica belongs to; None for one of a generation that is over, which drains and ends."""
    fleets = {record.generation: record.variants}
    for other in (record.rollout, record.remnant):
        if other is not None:
            fleets[other.generation] = other.variants
    variants = fleets.get(int(replica.owner.get("generation", 1)), ())
    return next((each for each in variants if each.name == replica.owner.get("variant")), None)


async def start(settings: Settings, paths: Paths, store: Store, clock: Clock) -> ControlService:
    """Bring control up: keys, listen for gateways, adopt, reconcile. Raises `DataDirectoryError`."""
    master = open_master_key(paths.master_key, settings.access)
    publisher = RoutePublisher(paths, store.epoch, settings.server.workers, 0 if settings.objects.endpoint_url else 1)
    access = Access(settings, paths, store, clock, master, publisher)
    await access.start()
    kms = Kms(settings, paths, store, clock, master, access.keyring if access.needed else None)
    await kms.start()
    engine = ProcessEngine(paths, settings, clock, client_key(access.replicas_key))
    metering = await Metering.open(settings.metrics, paths, publisher, clock)
    await publisher.start()
    neighbours = Neighbours(settings, paths, clock)
    book = await AlarmBook.open(store, clock)
    cloudwatch = CloudWatch(book, settings.deployments.cloudwatch_url, clock)
    capture_keys = CaptureKeys(kms, publisher, clock, s3_is_elsewhere=bool(settings.objects.endpoint_url))
    around = Surroundings(settings, paths, store, clock, engine, publisher, cloudwatch, capture_keys)
    capturing = Capturing(settings, paths, store, clock, publisher, capture_keys)
    service = ControlService(around, neighbours, access, capturing, kms, metering, book)
    await service.adopt()
    return service
