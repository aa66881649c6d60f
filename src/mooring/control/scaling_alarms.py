"""The alarms of target tracking policies: made and defined as the policies want, and gone with them.

Level-triggered: what is wanted follows from the policies alone, so an alarm that somebody has deleted or changed comes
back, and a control that was killed between a policy and its alarms is followed by one that makes them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mooring.clock import Clock
from mooring.control.alarm_book import AlarmBook
from mooring.hosting.naming import Scope
from mooring.metrics.alarms import METRIC, Alarm, alarm_arn
from mooring.scaling import tracking
from mooring.scaling.deciding import TRACKING
from mooring.scaling.documents import Policy
from mooring.scaling.naming import POLICY_ARN_PART

_OURS = re.compile(r"TargetTracking-endpoint/[^/]+/variant/[^/]+-Alarm(?:High|Low)-[0-9a-f-]{36}")


@dataclass(frozen=True, slots=True)
class _Wanted:
    scope: Scope
    definition: dict[str, Any]


class ScalingAlarms:
    """Keeps them in the book of alarms."""

    def __init__(self, book: AlarmBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock

    async def follow(self, policies: Iterable[Policy]) -> None:
        """Have exactly the alarms of these policies."""
        wanted = {
            (policy.target.scope, str(definition["AlarmName"])): _Wanted(policy.target.scope, definition)
            for policy in policies
            if policy.kind == TRACKING
            for definition in tracking.alarms(policy.target, policy.arn, policy.config, policy.alarms)
        }
        for each in wanted.values():
            await self._have(each)
        for alarm in self._book.all():
            scope = Scope(alarm.account, alarm.region)
            if (scope, alarm.name) not in wanted and _is_a_policys(alarm):
                await self._book.delete(scope, [alarm.name])

    async def _have(self, wanted: _Wanted) -> None:
        name, scope = str(wanted.definition["AlarmName"]), wanted.scope
        held = self._book.get(scope, name)
        enabled = {} if held is None else {k: v for k, v in held.definition.items() if k == "ActionsEnabled"}
        definition = {**wanted.definition, **enabled}  # which DisableAlarmActions changes
        if held is None or held.definition != definition:
            now = round(self._clock.wall(), 3)
            arn = alarm_arn(scope, name)
            new = Alarm(scope.account, scope.region, arn, METRIC, definition, now, updated_at=now, transitioned_at=now)
            await self._book.put(new, {})


def _is_a_policys(alarm: Alarm) -> bool:
    """Whether a target tracking policy made it: by its name, and by what it does."""
    actions = alarm.definition.get("AlarmActions", [])
    return bool(_OURS.fullmatch(alarm.name)) and len(actions) == 1 and POLICY_ARN_PART in actions[0]
