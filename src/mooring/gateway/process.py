"""One gateway process, put together: start, serve, drain.

The listening socket belongs to the supervisor. Stopping closes this process's copy only, so what queues meanwhile is
served by the successor.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mooring import settings as settings_module
from mooring.access.keys import Keyring
from mooring.access.modes import keys_are_needed
from mooring.async_inference.handing import AcceptedJobs
from mooring.clock import SystemClock
from mooring.data_capture.observing import Capture
from mooring.explainer.edge.explanation import Explainers
from mooring.gateway import headers
from mooring.gateway.asynchronous import Asynchronous
from mooring.gateway.counting import Counting
from mooring.gateway.forwarding import API_BODY_LIMIT_BYTES, Forwarder
from mooring.gateway.front import Front, FrontConnection
from mooring.gateway.guarding import Guard, GuardedConnection
from mooring.gateway.handover import Handover
from mooring.gateway.instruments import Instruments
from mooring.gateway.outstanding import Outstanding
from mooring.gateway.reporting import Reporter
from mooring.gateway.route_channel import RouteChannel
from mooring.gateway.routes import RouteTable
from mooring.gateway.session_store import SessionStore
from mooring.gateway.sessions import Sessions
from mooring.hosting.routes import RouteReplica
from mooring.http1.listening import Limits
from mooring.http1.ticking import Ticker
from mooring.paths import Paths
from mooring.processes import lifeline
from mooring.processes.sockets import listen_unix
from mooring.serverless.admission import Admission
from mooring.serverless.locking import SlotLocks
from mooring.settings import Settings
from mooring.shadow.mirroring import Mirroring
from mooring.traces.tracing import Tracing
from mooring.upstream.replica import Replica

if TYPE_CHECKING:
    from mooring.gateway.tls import Tls

log = logging.getLogger("mooring.gateway")

BACKLOG = 4096
FIRST_GENERATION_THRESHOLD = 50_000
"""Allocations between two collections of the youngest generation: requests make no cycles."""
DRAIN_POLL_S = 0.02
LAST_WORDS_S = 0.5
"""How long the clients of streams that a stopping gateway ends may take to hear of it."""
SESSION_SWEEP_S = 60.0
KEYS_WAIT_S = 10.0
"""How long a gateway that starts while control is away lets calls queue, before it answers that it has no keys."""
GOODBYE_S = 1.0
"""How long a client over TLS may take to answer that the connection closes. One that only keeps it never does."""
TELL_EVERY_S = 1.0
FRESH_ROUTES_WAIT_S = 0.5
"""How long a gateway that found routes on disk lets control correct them, before it serves them as they are."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """What the supervisor hands down."""

    index: int
    listen_fd: int
    lifeline_fd: int
    ready_fd: int


class Gateway:
    """Made and run once per process."""

    def __init__(self, settings: Settings, inherited: Inherited) -> None:
        self._settings = settings
        self._inherited = inherited
        self._ticker = Ticker()
        self._paths = paths = Paths(settings_module.data_directory(settings))
        keyring = Keyring()
        self._guard = Guard(settings, keyring, time.time) if keys_are_needed(settings) else None
        self._tls: Tls | None = None
        self._plain: asyncio.Server | None = None
        if settings.tls.certificate:
            from mooring.gateway.tls import Tls  # ssl, which plain HTTP has no need of

            self._tls = Tls(settings.tls, paths)
        self._channel = RouteChannel(str(paths.routes_socket), inherited.index, keyring)
        self._capture = Capture(paths.capture, settings.capture, self._channel.tell)
        self._channel.greeted.append(self._capture.greet)
        self._channel.heeded["data_keys"] = self._take_data_keys
        self._accepted = AcceptedJobs(paths.async_jobs, self._channel.tell)
        self._channel.greeted.append(self._accepted.greet)
        self._channel.heeded["jobs_taken"] = self._accepted.taken
        counting = Counting()
        self._mirroring = Mirroring(settings.shadow, self._ticker, counting.of, self._capture.take)
        self._channel.greeted.append(lambda: self._tell_of_shadows(all_of_them=True))
        self._tracing = Tracing(settings.traces, self._ticker) if settings.traces.endpoint else None
        features = [each for each in (self._capture, self._mirroring, self._tracing) if each is not None]
        self._admission = Admission(SlotLocks(paths.serverless_slots), self._channel.tell)
        self._channel.greeted.append(self._admission.greet)
        self._channel.heeded["unstarted"] = self._admission.unstarted
        self._explainers = Explainers(settings.explainer, self._ticker, paths.logs, settings.replicas.log_limit_bytes)
        self._instruments = Instruments(counting, tuple(features), self._admission, self._explainers)
        self._routes = RouteTable(
            paths.gateway_routes(inherited.index),
            settings.account.id,
            self._replica,
            self._channel.replica_idle,
            self._instruments,
        )
        self._outstanding = Outstanding(self._routes.outstanding, self._channel.tell)
        self._reporter = Reporter(self._instruments.registry, self._channel.tell, [self._instruments.counting.drain])
        self._channel.greeted.append(self._reporter.greet)
        self._channel.heeded["counted"] = lambda message: self._reporter.ledger.acknowledged(int(message["counted"]))
        self._tell_of_itself()
        limits = settings.gateway
        self._sessions = SessionStore(paths.sessions, limits.sessions_per_endpoint)
        self._front = Front(
            Limits(
                limits.header_limit_bytes,
                body_bytes=API_BODY_LIMIT_BYTES,
                idle_s=limits.idle_timeout_s,
                body_grace_s=limits.body_grace_s,
                body_rate=limits.body_rate_bytes,
                room_wait_s=limits.buffered_wait_s,
            ),
            self._ticker,
            self._routes,
            Sessions(self._sessions),
            Forwarder(str(paths.control_socket), limits.control_wait_s),
            Handover(str(paths.handover_socket), limits.control_wait_s, settings.objects.endpoint_url),
            Asynchronous(self._accepted, SystemClock()),
            account=settings.account.id,
            region=settings.account.region,
            buffered_limit=limits.buffered_limit_bytes,
            host=settings.server.host,
            allowed_hosts=f"{settings.server.allowed_hosts},{settings.tls.name}",
            tracing=self._tracing,
        )

    def _take_data_keys(self, message: dict[str, Any]) -> None:
        """What captured records are sealed with, for whoever writes some."""
        self._capture.take_keys(message["data_keys"])
        self._mirroring.take_keys(message["data_keys"])

    def _tell_of_itself(self) -> None:
        """What `/metrics` says of this process."""
        registry, ledger = self._instruments.registry, self._reporter.ledger
        registry.add("connections", "gauge", "Clients' connections.", lambda: len(self._front.connections))
        registry.add(
            "reserved_body_bytes", "gauge", "Memory reserved for request bodies.", lambda: self._front.budget.held
        )
        registry.add(
            "dropped_points_total", "counter", "Points of metrics that control never got.", lambda: ledger.dropped
        )

    def _replica(self, replica: RouteReplica) -> Replica:
        limits = self._settings.gateway
        return Replica(
            replica.id,
            replica.address,
            self._ticker,
            connect_timeout_s=limits.connect_timeout_s,
            idle_s=limits.upstream_idle_timeout_s,
            may_retry=limits.retry_stale_connection,
            stream_within_s=limits.stream_timeout_s,
        )

    async def run(self) -> None:
        """Serve until SIGTERM, then let what is in flight finish."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        lifeline.exit_on_death(self._inherited.lifeline_fd)
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the supervisor's to act on
        self._ticker.start()
        self._routes.load()
        if self._tls is not None:
            self._tls.begin()
        headers.prepare()
        channel = asyncio.create_task(self._channel.run(self._routes), name="route channel")
        if self._guard is not None:
            await self._wait_for_keys(stopping)
        if self._routes.versions():
            await self._freshen()
        listener = socket.socket(fileno=self._inherited.listen_fd)
        server = await self._listen(listener)
        kept = [asyncio.create_task(self._reporter.run(), name="reports")]
        kept.append(asyncio.create_task(self._keep_telling(), name="counts of shadows and of calls, and slots in use"))
        if self._inherited.index == 0:
            kept.append(asyncio.create_task(self._sweep_sessions(), name="sweep of sessions"))
        if self._tls is not None:
            kept.append(asyncio.create_task(self._tls.keep(), name="certificate"))
        _settle_memory()
        os.write(self._inherited.ready_fd, b"1")
        os.close(self._inherited.ready_fd)
        await self._until(stopping, channel)
        server.close()
        await self._drain()
        self._capture.close()
        self._accepted.close()
        finishing = (self._mirroring, self._tracing, self._explainers)
        await asyncio.gather(*(each.finish() for each in finishing if each is not None))
        self._tell_of_shadows(all_of_them=False)
        self._reporter.report()
        for task in (channel, *kept):
            task.cancel()
        await asyncio.wait((channel, *kept))
        self._routes.close()
        self._ticker.stop()

    def _connection_maker(self) -> Callable[[], FrontConnection]:
        """What a connection is, decided once: what is not wanted is not there."""
        front, guard = self._front, self._guard
        if self._settings.audit.level == "all":
            from mooring.gateway.auditing import audited
            from mooring.processes.audit_log import AuditLog

            audit = AuditLog(self._paths, self._settings.audit, f"gateway-{self._inherited.index}")
            return audited(front, guard, audit)
        if guard is None:
            return lambda: FrontConnection(front)
        return lambda: GuardedConnection(front, guard)

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            self._tell_of_shadows(all_of_them=False)
            self._admission.report()
            self._outstanding.report()

    def _tell_of_shadows(self, *, all_of_them: bool) -> None:
        """What was counted of them; all of it to a control that has only just come."""
        if reports := self._mirroring.reports(all_of_them=all_of_them):
            self._channel.tell({"shadows": reports})

    async def _wait_for_keys(self, stopping: asyncio.Event) -> None:
        """What queues meanwhile is served later; without keys it could only be refused."""
        events = (self._channel.keys_known, stopping)
        waits = [asyncio.create_task(event.wait(), name="wait for keys") for event in events]
        await asyncio.wait(waits, timeout=KEYS_WAIT_S, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        """Serve the port, and a private socket for what the objects front passes back."""
        loop = asyncio.get_running_loop()
        connection = self._connection_maker()
        plain = listen_unix(self._paths.gateway_socket(self._inherited.index))
        plain.setblocking(False)
        # Kept, or it would be collected.
        self._plain = await loop.create_unix_server(connection, sock=plain, backlog=BACKLOG)
        if self._tls is None:
            return await loop.create_server(connection, sock=listener, backlog=BACKLOG)
        context, within_s = self._tls.context, self._tls.handshake_s
        return await loop.create_server(
            connection, sock=listener, backlog=BACKLOG, ssl=context, ssl_handshake_timeout=within_s
        )

    async def _freshen(self) -> None:
        """Routes on disk may name replicas that control took away while no gateway was here to be told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FRESH_ROUTES_WAIT_S):
                await self._channel.synced.wait()

    async def _sweep_sessions(self) -> None:
        """One gateway does it for all; before it knows the routes, every replica would be unknown to it."""
        await self._channel.synced.wait()
        while True:
            if self._paths.sessions.exists():
                await asyncio.to_thread(self._sessions.sweep, self._routes.replica_ids())
            await asyncio.sleep(SESSION_SWEEP_S)

    async def _until(self, stopping: asyncio.Event, channel: asyncio.Task[None]) -> None:
        """Wait for the order to stop; a channel that dies takes the process with it, because routes would go stale."""
        waiter = asyncio.create_task(stopping.wait(), name="wait for SIGTERM")
        await asyncio.wait((waiter, channel), return_when=asyncio.FIRST_COMPLETED)
        if channel.done():
            channel.result()

    async def _drain(self) -> None:
        """What is in flight stays counted, and busy replicas stay reported, until it is done or the time is over."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.gateway.drain_s
        self._front.drain()
        goodbye = loop.time() + GOODBYE_S
        while left := self._busy(goodbye_said=loop.time() > goodbye):
            if loop.time() > deadline:
                if self._end_streams() + self._admission.give_up() + self._explainers.give_up():
                    deadline = loop.time() + LAST_WORDS_S
                    continue
                log.warning("%d connections were still busy at the end of the drain", left)
                break
            await asyncio.sleep(DRAIN_POLL_S)

    def _end_streams(self) -> int:
        """How many streams were ended: they may last for minutes, and their clients are told rather than cut off."""
        return sum(isinstance(each, FrontConnection) and each.end_stream() for each in tuple(self._front.connections))

    def _busy(self, *, goodbye_said: bool) -> int:
        """How many connections are worth waiting for. Of TLS, those that we closed wait for the client's word only."""
        connections = self._front.connections
        if self._tls is not None and goodbye_said:
            return sum(not each.closing for each in connections) + self._front.handover.busy()
        return len(connections) + self._front.handover.busy()


def _settle_memory() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(FIRST_GENERATION_THRESHOLD, 20, 50)
