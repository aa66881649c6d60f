"""Candidates side by side: each is loaded once a round, in turn, and compared with another of the same round."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from candidates import Answer, Candidate, answer_of
from loads import Load

WARM_UP_S = 1
BYTES_MAY_DIFFER = 0.05
"""wrk also counts the bytes of answers that it did not see the end of."""


@dataclass(frozen=True)
class Sample:
    """One candidate in one round."""

    requests_per_s: float
    mb_per_s: float
    """Of request bodies, in 10^6 bytes."""
    p50_us: float
    p99_us: float
    cpu_us: float
    """Of all its processes, for each request."""


COLUMNS = {
    "requests_per_s": ("req/s", "{:.0f}"),
    "mb_per_s": ("MB/s", "{:.0f}"),
    "p50_us": ("p50 µs", "{:.0f}"),
    "p99_us": ("p99 µs", "{:.0f}"),
    "cpu_us": ("CPU µs/req", "{:.1f}"),
}

Samples = Mapping[str, Sequence[Sample]]


def interleaved(
    loaded: Iterable[tuple[Candidate, Load]], rounds: int, seconds: int, connections: int
) -> dict[str, list[Sample]]:
    """The samples of every candidate, after a round that does not count."""
    loaded = list(loaded)
    for candidate, load in loaded:
        measured(candidate, load, WARM_UP_S, connections)
    samples: dict[str, list[Sample]] = {candidate.name: [] for candidate, _ in loaded}
    for _ in range(rounds):
        for candidate, load in loaded:
            samples[candidate.name].append(measured(candidate, load, seconds, connections))
    return samples


def probed(candidate: Candidate, load: Load) -> Answer:
    """The answer to a single request; anything but 200 ends the benchmark."""
    answer = answer_of(candidate.port, load.calls[0].message(candidate.port))
    if answer.status != 200:
        raise SystemExit(f"{candidate.name}: answered {answer.status}: {answer.body[:500]!r}")
    return answer


def measured(candidate: Candidate, load: Load, seconds: int, connections: int) -> Sample:
    """Load `candidate` once; an answer that is not 2xx, or not as long as a good one, ends the benchmark."""
    expected = len(probed(candidate, load).data)
    before = candidate.cpu_seconds()
    result = load.run(candidate.port, seconds, connections)
    spent = candidate.cpu_seconds() - before
    if result.failures or not result.requests:
        raise SystemExit(f"{candidate.name}: of {result.requests} requests failed: {result.failures or 'all'}")
    if not math.isclose(result.answer_bytes, expected, rel_tol=BYTES_MAY_DIFFER):
        raise SystemExit(f"{candidate.name}: answers had {result.answer_bytes:.0f} bytes each, not {expected}")
    rate = result.requests / result.seconds
    size = statistics.mean(len(call.body) for call in load.calls)
    return Sample(rate, rate * size / 1e6, result.p50_us, result.p99_us, spent / result.requests * 1e6)


def ratios(samples: Samples, name: str, baseline: str, figure: str) -> list[float]:
    """One figure of `name` over that of `baseline`, round by round."""
    pairs = zip(samples[name], samples[baseline], strict=True)
    return [getattr(mine, figure) / getattr(theirs, figure) for mine, theirs in pairs]


def spread(values: Sequence[float]) -> str:
    """The median, with the least and the most."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(
    samples: Samples,
    what: str,
    baseline: str,
    *,
    figures: Sequence[str] = ("requests_per_s", "p50_us", "p99_us", "cpu_us"),
    beside: Sequence[str] = ("cpu_us",),
) -> str:
    """Medians over the rounds in Markdown, and the ratios of the rounds' pairs for the figures `beside`."""
    there = baseline in samples
    shown = beside if there else ()
    words = {figure: COLUMNS[figure][0].split(" ")[0].split("/req")[0] for figure in shown}
    head = [what, *(COLUMNS[figure][0] for figure in figures), *(f"{words[each]} × {baseline}" for each in shown)]
    lines = [row(head), row(["---"] * len(head))]
    for name, found in samples.items():
        cells = [COLUMNS[each][1].format(statistics.median(getattr(one, each) for one in found)) for each in figures]
        lines.append(row([name, *cells, *(spread(ratios(samples, name, baseline, each)) for each in shown)]))
    if not there:
        lines.append(f"\n{baseline} is not installed here: no ratio")
    return "\n".join(lines)


def row(cells: Iterable[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
