"""How many records a synthetic request holds: what one model bears, learned from how its requests end.

Two things bound it. What the container takes: a size that it refused is halved, and closed in on from both sides; a
bound that held for long is tried again, ever more seldom, since a refusal may have had another cause. And time: while a
replica predicts, the calls of ordinary callers wait for it, so that a request takes it about eight milliseconds, as a
setting says. Of the seconds that requests took a line is made, `overhead + slope · records`. A model whose overhead
alone comes near that gets a little longer, and one that is slow by itself as long again as its overhead: fewer records
would take the replica longer for all of them and spare nobody much.

Caps that a caller configured are not here; they are kept where a request is cut.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mooring.explainer.frames import Predicted

START = 64
"""Records, once it is known how long one takes."""
MOST = 1024
BATCH_S = 0.02
"""What a request may take a replica, where nothing else is said."""
AIM, STRETCHED = 0.4, 0.75
"""Of that, a request is meant to take so much: some take longer than their like. And so much with much overhead."""
PROBE_AFTER, PROBE_AFTER_MOST = 64, 4096
"""So many requests in succession are answered before a bound is tried again."""
_LATEST = 9
"""Requests of a size that are looked at."""
_ENOUGH = 3
_TRY_EVERY = 8
_FORGET, _FRESH, _LEAST = 0.98, 0.5, 0.3
_QUICKEST_S = 1e-6


class Batching:
    """Of one model and one pair of content types, shared by all calls that it explains."""

    def __init__(self, batch_s: float = BATCH_S) -> None:
        self.answers = 0
        """How often it was answered. While that is seldom its size may be wrong, and little had better be under way."""
        self.refused_alone: Predicted | None = None
        """What it said of a single record, where it then took two."""
        self._times = _Times(batch_s)
        self._limit = START
        self._ceiling: float = math.inf  # the smallest size that was refused
        self._refused: float = math.inf  # the same, and also while it is tried again
        self._held = 0  # answers since a refusal, or since the bound was tried
        self._probe_after = PROBE_AFTER

    @property
    def size(self) -> int:
        """Records in the next request; at least 1."""
        size = max(1, self._times.most())
        if self._held % _TRY_EVERY == _TRY_EVERY - 1 and self._times.knows_little_of(2 * size):
            size *= 2  # the line may be wrong
        return min(self._limit, size)

    def seconds(self, records: int) -> float:
        """How long so many records are expected to take."""
        return self._times.expected(records)

    def answered(self, records: int, seconds: float) -> None:
        """A request was answered as it should be."""
        self.answers += 1
        self._times.add(records, seconds)
        self._held += 1
        if records >= self._refused:
            self._ceiling = self._refused = math.inf  # that was refused for another reason
            self._probe_after = PROBE_AFTER
        elif self._held >= self._probe_after:
            self._held, self._ceiling = 0, math.inf
        if records >= self._limit:
            self._limit = min(MOST, self._grown(records))

    def refused(self, records: int) -> None:
        """A request was refused, or answered with another number of records: fewer may do."""
        if records > 1:
            if self._refused < self._ceiling:
                self._probe_after = min(self._probe_after * 2, PROBE_AFTER_MOST)
            self._held = 0
            self._ceiling = self._refused = min(self._ceiling, records)
            self._limit = min(self._limit, records // 2)

    def _grown(self, size: int) -> int:
        if self._ceiling == math.inf:
            return size * 2
        between = (int(self._ceiling) - size) // 2
        return size + min(between, size) if between > size // 16 else size


class _Seen:
    """Requests of about the same size."""

    __slots__ = ("records", "seconds", "weight")

    def __init__(self) -> None:
        self.records: deque[int] = deque(maxlen=_LATEST)
        self.seconds: deque[float] = deque(maxlen=_LATEST)
        self.weight = 0.0

    def point(self) -> tuple[float, float, float]:
        """Records, seconds, and what they weigh. What is in the way of one makes it longer, never shorter."""
        seconds = sorted(self.seconds)[len(self.seconds) // 3]
        return sum(self.records) / len(self.records), seconds, self.weight / seconds**2


class _Times:
    """How long requests take. What was seen is held for each power of two, so that rare sizes are not lost."""

    def __init__(self, batch_s: float) -> None:
        self._batch_s = batch_s
        self._aim_s = AIM * batch_s
        self._seen: dict[int, _Seen] = {}
        self._overhead, self._slope = 0.0, 0.0
        self._largest, self._largest_s = 0.0, 0.0
        self._slow = math.inf  # records that took too long, whatever the line says

    @property
    def is_empty(self) -> bool:
        return not self._seen

    def add(self, records: int, seconds: float) -> None:
        for other in self._seen.values():
            other.weight = max(other.weight * _FORGET, _LEAST)
        seen = self._seen.setdefault(records.bit_length(), _Seen())
        seen.records.append(records)
        seen.seconds.append(max(seconds, _QUICKEST_S))
        seen.weight = min(seen.weight + 1.0, _LATEST)
        self._fit()

    def knows_little_of(self, records: int) -> bool:
        """Whether too few requests of about this size were seen to judge it."""
        seen = self._seen.get(records.bit_length())
        return not self.is_empty and (seen is None or len(seen.seconds) < _ENOUGH)

    def most(self) -> int:
        """Records that take no longer than they should."""
        if self.is_empty:
            return MOST
        most = (self._bearable(self._overhead) - self._overhead) / self._slope if self._slope > 0 else math.inf
        known = max(2 * self._largest, self._aim_s * self._largest / self._largest_s)  # beyond, the line is a guess
        if len(self._seen) == 1:
            most = known  # of one size alone nobody knows what is overhead
        return int(min(most, known, self._slow - 1, MOST))

    def expected(self, records: int) -> float:
        """How long so many records take."""
        return max(_QUICKEST_S, self._overhead + self._slope * records)

    def _fit(self) -> None:
        # Least squares of relative errors, so that a slow outlier weighs little; neither part is below zero.
        seen = [each.point() for each in self._seen.values()]
        self._largest, self._largest_s, _ = max(seen)
        bearable = 2 * max(self._aim_s, min(seen)[1])
        fresh = (each.point() for each in self._seen.values() if each.weight > _FRESH and len(each.seconds) >= _ENOUGH)
        self._slow = min((n for n, t, _ in fresh if t > bearable), default=math.inf)
        weight = sum(w for _, _, w in seen)
        mean_n, mean_t = sum(w * n for n, _, w in seen) / weight, sum(w * t for _, t, w in seen) / weight
        spread = sum(w * (n - mean_n) ** 2 for n, _, w in seen)
        if len(seen) > 1:
            self._slope = max(0.0, sum(w * (n - mean_n) * (t - mean_t) for n, t, w in seen) / spread)
            self._overhead = mean_t - self._slope * mean_n
        if len(seen) == 1 or self._overhead < 0:
            self._overhead = 0.0
            self._slope = sum(w * n * t for n, t, w in seen) / sum(w * n * n for n, _, w in seen)

    def _bearable(self, overhead: float) -> float:
        """How long a request to a model with this overhead should take."""
        if overhead > self._batch_s:
            return 2 * overhead
        return max(self._aim_s, min(2 * overhead, STRETCHED * self._batch_s), 1.25 * overhead)
