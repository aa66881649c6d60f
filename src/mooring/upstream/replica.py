"""The pool of connections to one replica, and what is known of the replica from calling it.

Connections are reused last in, first out, so that a quiet time lets the surplus expire. A replica that does not accept
connections is *ejected* for a while that doubles with every failure; routing passes it over unless nothing else is
left. When a replica is retired (it left its route), its owner is told once nothing is outstanding on it and nobody
holds it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mooring.http1.client import NotConnected, connect
from mooring.http1.ticking import Ticker
from mooring.upstream.call import Call, Failure
from mooring.upstream.connection import ReplicaConnection

log = logging.getLogger("mooring.upstream")

EJECTION_S = 0.5
EJECTION_MAX_S = 10.0
LATE_TURNS = 8
"""Of the loop, after a connect's time is over: one that is late itself runs its timers before it hears of sockets."""
STREAM_WITHIN_S = 480.0
"""AWS's 8 minutes."""


class Replica:
    """One replica as a gateway calls it."""

    __slots__ = (
        "_connections",
        "_ejection_s",
        "_idle",
        "_on_idle",
        "_opening",
        "_until",
        "address",
        "connect_timeout_s",
        "ejected",
        "failed_at",
        "held",
        "id",
        "idle_s",
        "may_retry",
        "outstanding",
        "stream_within_s",
        "ticker",
    )

    def __init__(
        self,
        replica_id: str,
        address: str,
        ticker: Ticker,
        *,
        connect_timeout_s: float,
        idle_s: float,
        may_retry: bool,
        stream_within_s: float = STREAM_WITHIN_S,
    ) -> None:
        """`stream_within_s` is when a reply that streams has ended, counted from its request, however steadily it
        comes.
        """
        self.id = replica_id
        self.address = address
        self.ticker = ticker
        self.connect_timeout_s = connect_timeout_s
        self.idle_s = idle_s
        self.may_retry = may_retry
        self.stream_within_s = stream_within_s
        self.outstanding = 0
        self.held = 0
        """By those who are still to call, though nothing of theirs is outstanding now."""
        self.ejected = False
        self.failed_at = 0.0
        self._until = 0.0
        self._ejection_s = EJECTION_S
        self._idle: list[ReplicaConnection] = []
        self._connections: set[ReplicaConnection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._on_idle: Callable[[Replica], None] | None = None
        ticker.add(self)

    @property
    def kept(self) -> int:
        """Connections that are free for a call."""
        return len(self._idle)

    @property
    def opening(self) -> int:
        """Connections that are being made."""
        return len(self._opening)

    def begin(self, call: Call) -> None:
        """Send `call` on a kept connection or a new one; its callbacks tell the rest."""
        self.outstanding += 1
        call.replica = self
        idle = self._idle
        while idle:
            connection = idle.pop()
            transport = connection.transport
            if transport is not None and not transport.is_closing():
                connection.start(call)
                return
        self.begin_fresh(call)

    def begin_fresh(self, call: Call) -> None:
        """Send a call that is already counted on a new connection."""
        task = asyncio.create_task(self._open(call), name=f"connect to replica {self.id}")
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def release(self, call: Call) -> None:
        """The call is no longer outstanding here; doing it twice does nothing."""
        if call.replica is self:
            call.replica = None
            self.outstanding -= 1
            if self._on_idle is not None and not self.outstanding:
                self._retire_if_let_go()

    def free(self, connection: ReplicaConnection, call: Call) -> None:
        """`connection` has done `call` and can be used again."""
        call.replica = None
        self.outstanding -= 1
        connection.rest(self.ticker.now + self.idle_s)
        self._idle.append(connection)
        if self._on_idle is not None and not self.outstanding:
            self._retire_if_let_go()

    def hold(self) -> None:
        """Stay, though it may leave its route: whoever called here will call again. `let_go` follows."""
        self.held += 1

    def let_go(self) -> None:
        """The inverse of `hold`."""
        self.held -= 1
        if self._on_idle is not None and not self.outstanding:
            self._retire_if_let_go()

    def lost(self, connection: ReplicaConnection) -> None:
        """`connection` is closed."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def retire(self, on_idle: Callable[[Replica], None]) -> bool:
        """No call will begin here any more, but of those who hold it. True where calls are outstanding, or it is held:
        `on_idle` follows the last.
        """
        if self.outstanding or self.held:
            self._on_idle = on_idle
            return True
        self._retired()
        return False

    def reinstate(self) -> None:
        """It is back in a route before it was idle."""
        self._on_idle = None
        self.ticker.add(self)

    def sweep(self, now: float) -> None:
        if self.ejected and now >= self._until:
            self.ejected = False
        for connection in tuple(self._connections):
            connection.sweep(now)

    def close(self) -> None:
        """Close what is idle, at the end of the process."""
        for connection in self._idle:
            connection.abort()

    def _retire_if_let_go(self) -> None:
        if not self.held:
            self._retired()

    def _retired(self) -> None:
        on_idle, self._on_idle = self._on_idle, None
        self.close()
        self.ticker.discard(self)
        if on_idle is not None:
            on_idle(self)

    async def _open(self, call: Call) -> None:
        connection = ReplicaConnection(self)
        try:
            await self._connect(connection)
        except (NotConnected, TimeoutError) as error:
            self._eject(error)
            # A call that was sent once may have been seen: it must not move on to another replica.
            self._drop(call, Failure.BROKEN if call.retried else Failure.UNREACHABLE)
            return
        self._ejection_s = EJECTION_S
        self.ejected = False
        if connection.transport is None:
            self._drop(call, Failure.BROKEN)
            return
        self._connections.add(connection)
        if call.replica is self:
            connection.start(call)
        else:  # cancelled while connecting
            connection.rest(self.ticker.now + self.idle_s)
            self._idle.append(connection)

    async def _connect(self, connection: ReplicaConnection) -> None:
        """Raises `NotConnected`, or TimeoutError when the replica is late."""
        connecting = asyncio.create_task(connect(connection, self.address), name=f"connection to replica {self.id}")
        try:
            done, _ = await asyncio.wait({connecting}, timeout=self.connect_timeout_s)
            turns = 0 if done else LATE_TURNS
            while turns and not connecting.done():
                await asyncio.sleep(0)
                turns -= 1
            if not connecting.done():
                raise TimeoutError
            connecting.result()
        finally:
            connecting.cancel()

    def _drop(self, call: Call, failure: Failure) -> None:
        if call.replica is self:
            self.release(call)
            call.failed(failure)

    def _eject(self, error: Exception) -> None:
        self.failed_at = self.ticker.now
        self._until = self.ticker.now + self._ejection_s
        self._ejection_s = min(self._ejection_s * 2, EJECTION_MAX_S)
        if not self.ejected:
            log.warning("replica %s is passed over for a while: %s", self.id, error or "it does not accept connections")
        self.ejected = True
