"""Application Auto Scaling at work: alarms, schedules and bounds become changes of capacity.

One task looks again and again, and each look is level-triggered: what is open is followed, what is due is run, and a
policy whose alarm is in ALARM is asked again each time the alarm is evaluated, for as long as it stays there. Nothing
is remembered that a control which starts would miss: what was promised is an activity in the store, what an alarm
asked for is asked again, and cooldowns are stored. While nothing is registered nothing is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mooring.clock import Clock
from mooring.control import scaling_moves
from mooring.control.alarm_book import AlarmBook
from mooring.control.alarm_evaluation import SETTLED_S
from mooring.control.measuring import Measured, measured
from mooring.control.metering import Metering
from mooring.control.scaling_alarms import ScalingAlarms
from mooring.control.scaling_clocks import SteadyTimes
from mooring.control.scaling_schedules import ScalingSchedules
from mooring.errors import MooringError, Refused
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.naming import Scope
from mooring.metrics.alarms import ACTIONS_OF, METRIC, Alarm, Owed
from mooring.metrics.evaluating import evaluated
from mooring.scaling import deciding, variants
from mooring.scaling.deciding import Breach, Decision
from mooring.scaling.documents import PENDING, Activity, Policy, ScalableTarget, ScheduledAction, Target
from mooring.settings import Settings
from mooring.store import Connection, Store, scaling, scaling_activities

log = logging.getLogger("mooring.control")

LOOK_S = 0.5
RETRY_S = 5.0
ALARMS_LOOK_S = 60.0
"""How often the policies' alarms are held against what they should be, where no policy has changed."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store had at the last look."""

    policies: dict[str, Policy]
    """By ARN."""
    actions: list[ScheduledAction]
    open: list[Activity]
    registered: bool


class Scaling:
    """`run` is the one task; `wake_endpoint` is told the uid of an endpoint that was scaled."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clock: Clock,
        metering: Metering,
        book: AlarmBook,
        wake_endpoint: Callable[[str], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._metering = metering
        self._book = book
        self._wake_endpoint = wake_endpoint
        self._alarms = ScalingAlarms(book, clock)
        self._schedules = ScalingSchedules(store, clock)
        self._times = SteadyTimes(clock)
        self._asked: dict[tuple[str, str], tuple[float, float]] = {}
        """By policy and alarm: since when the alarm is as it is, and when the policy was asked last."""
        self._told: dict[Target, str] = {}
        """What was last said of a target's capacity that stays, so that it is said once."""
        self._known: _Known | None = None
        self._alarms_seen: float | None = None
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Scale until cancelled."""
        while True:
            self._wake.clear()
            pause_s: float | None = RETRY_S
            try:
                pause_s = None if await self.look() else LOOK_S
            except MooringError as error:
                log.error("scaling is held up: %s", error)
            except Exception:
                log.exception("a look at what is to be scaled failed; trying again")
            try:
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def follow(self) -> None:
        """What is registered has changed: the policies' alarms follow before this returns, if they can."""
        self._known = None
        self._wake.set()
        try:
            async with self._lock:
                await self._follow_alarms()
        except MooringError as error:  # the next look tries again
            log.warning("alarms do not follow their policies yet: %s", error)

    async def triggered(self, alarm: Alarm, owed: Owed) -> None:
        """An alarm has changed its state, and its action is a policy. Raises `MooringError`."""
        async with self._lock:
            policy = (await self._now()).policies.get(owed.action)
            if policy is None or policy.target.scope != Scope(alarm.account, alarm.region):
                raise Refused(f"There is no scaling policy {owed.action}.")
            await self._heed_alarms(policy.target)

    async def look(self) -> bool:
        """Do what there is to do. Returns whether nothing is registered, so that nothing can come."""
        async with self._lock:
            if await self._schedules.look((await self._now()).actions):
                self._known = None
            if self._alarms_seen is None or self._clock.monotonic() >= self._alarms_seen + ALARMS_LOOK_S:
                await self._follow_alarms()
            for activity in (await self._now()).open:
                with _apart(f"a move of {activity.target.resource_id}"):
                    await self._move_on(activity)
            await self._heed_alarms()
            known = await self._now()
            return not known.registered and not known.open

    async def _now(self) -> _Known:
        if self._known is None:
            self._known = await self._store.read(_known)
            for policy in self._known.policies.values():
                self._times.seen(policy)  # its times are counted from now on
        return self._known

    async def _follow_alarms(self) -> None:
        self._alarms_seen = None
        await self._alarms.follow((await self._now()).policies.values())
        self._alarms_seen = self._clock.monotonic()

    async def _move_on(self, activity: Activity) -> None:
        """A move that is not over."""
        if await self._store.read(lambda conn: scaling_moves.is_waiting(conn, activity)):
            return
        now = self._wall()

        def change(conn: Connection) -> tuple[str | None, Activity | None]:
            held = scaling_activities.get(conn, activity.id)
            uid = None
            if held is not None and held.status == PENDING:
                uid = scaling_moves.take_up(conn, self._settings, held, now)
            elif held is not None and held.open:
                scaling_moves.follow(conn, held, now, self._times.seen)
            return uid, scaling_activities.get(conn, activity.id)

        uid, left = await self._store.write(change)
        if left != activity:
            self._known = None
        if uid is not None:
            self._wake_endpoint(uid)

    async def _heed_alarms(self, only: Target | None = None) -> None:
        """Ask the policies whose alarms want it, of all targets or of one."""
        ringing = self._ringing((await self._now()).policies)
        for target, alarms in ringing.items():
            if only in (None, target) and any(self._is_due(policy, alarm) for policy, alarm in alarms):
                for policy, alarm in alarms:
                    self._asked[policy.arn, alarm.arn] = (alarm.transitioned_at, self._clock.monotonic())
                with _apart(f"a decision on {target.resource_id}"):
                    await self._decide(target, await self._breaches(alarms))
        living = {(policy.arn, alarm.arn) for alarms in ringing.values() for policy, alarm in alarms}
        self._asked = {key: asked for key, asked in self._asked.items() if key in living}
        self._told = {target: told for target, told in self._told.items() if target in ringing}

    def _ringing(self, policies: dict[str, Policy]) -> dict[Target, list[tuple[Policy, Alarm]]]:
        """The alarms that name policies among the actions of their state, by the policies' targets."""
        found: dict[Target, list[tuple[Policy, Alarm]]] = {}
        for alarm in self._book.all() if policies else ():
            if alarm.kind != METRIC or not alarm.definition.get("ActionsEnabled", True):
                continue
            for action in alarm.definition.get(ACTIONS_OF[alarm.state], ()):
                policy = policies.get(action)
                if policy is not None and policy.target.scope == Scope(alarm.account, alarm.region):
                    found.setdefault(policy.target, []).append((policy, alarm))
        return found

    def _is_due(self, policy: Policy, alarm: Alarm) -> bool:
        """At once when an alarm begins to ring, then at each of its evaluations; what was set by hand asks once."""
        since, at = self._asked.get((policy.arn, alarm.arn), (None, 0.0))
        if since != alarm.transitioned_at:
            return True
        return not alarm.by_hand and self._clock.monotonic() >= at + alarm.step

    async def _breaches(self, ringing: list[tuple[Policy, Alarm]]) -> list[Breach]:
        settled = self._clock.wall() - SETTLED_S
        alarms = [alarm for _, alarm in ringing]
        found = await self._metering.read(lambda data: [measured(data, alarm, settled) for alarm in alarms])
        return [
            Breach(policy, alarm.name, values, alarm.condition.threshold, str(alarm.state))
            for (policy, alarm), seen in zip(ringing, found, strict=True)
            if (values := values_of(alarm, seen)) is not None
        ]

    async def _decide(self, target: Target, breaches: list[Breach]) -> None:
        if not breaches:
            return
        now = self._wall()

        def change(conn: Connection) -> scaling_moves.Outcome:
            policies = {each.name: self._times.seen(each) for each in scaling.policies.of(conn, target)}
            asking = [
                replace(each, policy=policies[each.policy.name]) for each in breaches if each.policy.name in policies
            ]

            def decision(held: ScalableTarget, record: EndpointRecord, current: int) -> Decision:
                return deciding.decided(
                    held,
                    list(policies.values()),
                    asking,
                    current,
                    now,
                    zero_allowed=variants.can_be_zero(record, target.dimension),
                    scalable=record.status is EndpointStatus.IN_SERVICE,
                )

            return scaling_moves.decide(conn, self._settings, target, now, decision, self._told.get(target, ""))

        outcome = await self._store.write(change)
        self._told[target] = outcome.told
        if outcome.uid is not None:
            self._wake_endpoint(outcome.uid)
        self._known = None

    def _wall(self) -> float:
        return round(self._clock.wall(), 3)


@contextlib.contextmanager
def _apart(what: str) -> Iterator[None]:
    """A defect that one target meets is told, and leaves the others alone."""
    try:
        yield
    except MooringError:
        raise
    except Exception:
        log.exception("%s failed", what)


def values_of(alarm: Alarm, seen: Measured) -> tuple[float, ...] | None:
    """The datapoints by which an alarm is in its state, the oldest first; None where it is not any more by them.

    One that was set by hand has the datapoints that came with it, else those that there are, else its metric counts as
    being at the threshold.
    """
    result = evaluated(alarm.condition, [value for _, value in seen.window], alarm.state)
    used = (seen.window[position][1] for position in result.used)
    values = tuple(value for value in used if value is not None)
    if not alarm.by_hand:
        return values if result.state is alarm.state else None
    return _given(alarm.reason_data) or (values if result.state is alarm.state else (alarm.condition.threshold,))


def _given(reason_data: str) -> tuple[float, ...]:
    """`recentDatapoints` of a StateReasonData, which may be anything."""
    try:
        found = json.loads(reason_data)["recentDatapoints"]
        return tuple(value for each in found if math.isfinite(value := float(each)))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return ()


def _known(conn: Connection) -> _Known:
    return _Known(
        {policy.arn: policy for policy in scaling.policies.all(conn)},
        scaling.actions.all(conn),
        scaling_activities.open_ones(conn),
        bool(scaling.targets.all(conn)),
    )
