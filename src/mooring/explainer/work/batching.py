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
_LATEST = 64
"""Requests that are looked at."""
_ENOUGH = 5
_TRY_EVERY = 4
"""How often twice as many are tried, while little is known of that."""
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
        if self.answers % _TRY_EVERY == _TRY_EVERY - 1 and self._times.knows_little_of(2 * size):
            size *= 2
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


class _Times:
    """How long the latest requests took: of a few sizes, so that what is overhead is known as it is now."""

    def __init__(self, batch_s: float) -> None:
        self._batch_s = batch_s
        self._aim_s = AIM * batch_s
        self._latest: deque[tuple[int, float]] = deque(maxlen=_LATEST)
        self._overhead, self._slope = 0.0, 0.0
        self._most_known = float(MOST)

    def add(self, records: int, seconds: float) -> None:
        self._latest.append((records, max(seconds, _QUICKEST_S)))
        self._fit()

    def knows_little_of(self, records: int) -> bool:
        """Whether too few requests of about this size were seen lately to judge it."""
        length = records.bit_length()
        return sum(size.bit_length() == length for size, _ in self._latest) < _ENOUGH

    def most(self) -> int:
        """Records that take no longer than they should."""
        if not self._latest:
            return MOST
        most = (self._bearable(self._overhead) - self._overhead) / self._slope if self._slope > 0 else math.inf
        return int(min(most, self._most_known, MOST))

    def expected(self, records: int) -> float:
        """How long so many records take."""
        return max(_QUICKEST_S, self._overhead + self._slope * records)

    def _fit(self) -> None:
        # Least squares of relative errors, so that a slow outlier weighs little; neither part is below zero.
        seen = self._points()
        weight = sum(w for _, _, w in seen)
        mean_n, mean_t = sum(w * n for n, _, w in seen) / weight, sum(w * t for _, t, w in seen) / weight
        spread = sum(w * (n - mean_n) ** 2 for n, _, w in seen)
        if len(seen) > 1:
            self._slope = max(0.0, sum(w * (n - mean_n) * (t - mean_t) for n, t, w in seen) / spread)
            self._overhead = mean_t - self._slope * mean_n
        if len(seen) == 1 or self._overhead < 0:
            self._overhead = 0.0
            self._slope = sum(w * n * t for n, t, w in seen) / sum(w * n * n for n, _, w in seen)
        largest, took, _ = max(seen)
        self._most_known = max(2 * largest, self._aim_s * largest / took)  # beyond, the line is a guess
        if len(seen) == 1:
            self._overhead, self._slope = took, 0.0  # of one size alone nobody knows what is overhead

    def _points(self) -> list[tuple[float, float, float]]:
        """Records, seconds and what they weigh, of each power of two. What is in the way of a request makes it longer,
        never shorter."""
        groups: dict[int, list[tuple[int, float]]] = {}
        for size, seconds in self._latest:
            groups.setdefault(size.bit_length(), []).append((size, seconds))
        points = []
        for group in groups.values():
            took = sorted(seconds for _, seconds in group)[len(group) // 4]
            points.append((sum(size for size, _ in group) / len(group), took, len(group) / took**2))
        return points

    def _bearable(self, overhead: float) -> float:
        """How long a request to a model with this overhead should take."""
        if overhead > self._batch_s:
            return 2 * overhead
        return max(self._aim_s, min(2 * overhead, STRETCHED * self._batch_s), 1.25 * overhead)
