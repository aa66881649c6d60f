"""Times of the wall clock, counted from by one that does not jump.

What is stored is wall clock, which a restart survives. From the first look at such a time on it is counted by the
monotonic clock: a jump while control runs neither ends a cooldown nor makes it longer. A time that is still to come at
that first look was written before the clock was set back, and counts as now.
"""

from __future__ import annotations

from dataclasses import replace

from mooring.clock import Clock
from mooring.scaling.documents import Policy

MOST_KEPT = 10_000


class SteadyTimes:
    """For one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began: dict[tuple[str, float], float] = {}

    def seen(self, policy: Policy) -> Policy:
        """A policy whose times are as long ago, by the wall clock of now, as they really are."""
        return replace(
            policy,
            created_at=self._of(policy.arn, policy.created_at),
            last_out_at=None if policy.last_out_at is None else self._of(policy.arn, policy.last_out_at),
            last_in_at=None if policy.last_in_at is None else self._of(policy.arn, policy.last_in_at),
        )

    def _of(self, arn: str, at: float) -> float:
        wall, monotonic = self._clock.wall(), self._clock.monotonic()
        began = self._began.get((arn, at))
        if began is None:
            if len(self._began) >= MOST_KEPT:
                self._began.clear()
            began = self._began[arn, at] = monotonic - max(0.0, wall - at)
        return wall - (monotonic - began)
