"""Candidates side by side: each is loaded once a round, in turn, and compared with another of the same round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from candidates import Candidate
from loads import Load

WARM_UP_S = 1


@dataclass(frozen=True)
class Sample:
    """One candidate in one round."""

    requests_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float


def interleaved(
    candidates: Iterable[Candidate], load: Load, rounds: int, seconds: int, connections: int
) -> dict[str, list[Sample]]:
    """The samples of every candidate, after a round that does not count."""
    candidates = list(candidates)
    for candidate in candidates:
        _measure(candidate, load, WARM_UP_S, connections)
    samples: dict[str, list[Sample]] = {candidate.name: [] for candidate in candidates}
    for _ in range(rounds):
        for candidate in candidates:
            samples[candidate.name].append(_measure(candidate, load, seconds, connections))
    return samples


def _measure(candidate: Candidate, load: Load, seconds: int, connections: int) -> Sample:
    """Load `candidate` once; anything but 2xx ends the benchmark."""
    before = candidate.cpu_seconds()
    result = load.run(candidate.port, seconds, connections)
    spent = candidate.cpu_seconds() - before
    if result.failures or not result.requests:
        raise SystemExit(f"{candidate.name}: {result.failures} of {result.requests} answers were not 2xx")
    return Sample(result.requests / result.seconds, result.p50_us, result.p99_us, spent / result.requests * 1e6)


def table(samples: dict[str, list[Sample]], what: str, baseline: str) -> str:
    """Medians over the rounds, and the ratios of the rounds' pairs."""
    width = max(22, *(len(name) + 2 for name in samples))
    head = f"{'req/s':>9}{'p50 us':>9}{'p99 us':>9}{'CPU us/req':>12}"
    lines = [f"{what:<{width}}{head}{f'CPU x {baseline}':>22}"]
    other = samples.get(baseline)
    for name, rounds in samples.items():
        middle = [statistics.median(values) for values in zip(*(vars(s).values() for s in rounds), strict=True)]
        line = f"{name:<{width}}{middle[0]:>9.0f}{middle[1]:>9.0f}{middle[2]:>9.0f}{middle[3]:>12.1f}"
        if other is not None:
            ratios = [mine.cpu_us / theirs.cpu_us for mine, theirs in zip(rounds, other, strict=True)]
            line += f"{statistics.median(ratios):>8.2f} [{min(ratios):.2f} to {max(ratios):.2f}]"
        lines.append(line)
    if other is None:
        lines.append(f"{baseline} is not installed here: no ratio")
    return "\n".join(lines)
