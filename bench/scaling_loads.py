"""Calls over virtual time: made up from a seed, and one hour that was recorded."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

RECORDED = Path(__file__).parent / "traces" / "azure-llm-code-2023.txt"
MINUTE, HOUR = 60.0, 3600.0


@dataclass(frozen=True)
class Load:
    """When calls come, and for how many seconds is looked."""

    name: str
    about: str
    arrivals: list[float]
    seconds: float


def varying(rate: Callable[[float], float], most: float, seconds: float, chance: random.Random) -> list[float]:
    """Arrivals at `rate(t)` a second, which is never above `most` (a Poisson process, thinned)."""
    found, now = [], 0.0
    while (now := now + chance.expovariate(most)) < seconds:
        if chance.random() * most < rate(now):
            found.append(now)
    return found


def steady(seed: int) -> Load:
    return Load("steady", "2 a second for 3 h", varying(lambda _: 2, 2, 3 * HOUR, random.Random(seed)), 3 * HOUR)


def diurnal(seed: int) -> Load:
    def rate(now: float) -> float:
        return 1.55 - 1.45 * math.cos(2 * math.pi * now / (24 * HOUR))

    arrivals = varying(rate, 3, 24 * HOUR, random.Random(seed))
    return Load("diurnal", "0.1 a second at night, 3 at noon, a day", arrivals, 24 * HOUR)


def flash_crowd(seed: int) -> Load:
    def rate(now: float) -> float:
        return 4.0 if HOUR / 2 <= now < HOUR / 2 + 20 * MINUTE else 0.2

    arrivals = varying(rate, 4, 2 * HOUR, random.Random(seed))
    return Load("flash crowd", "0.2 a second, for 20 min 4, 2 h", arrivals, 2 * HOUR)


def ramp(seed: int) -> Load:
    def rate(now: float) -> float:
        doublings = (now - 10 * MINUTE) / (4 * MINUTE)
        return 0.15 if now > 50 * MINUTE else 0.15 * 2 ** min(5.0, max(0.0, doublings))

    arrivals = varying(rate, 4.8, 1.5 * HOUR, random.Random(seed))
    return Load("ramp", "0.15 a second, doubling each 4 min to 4.8, back after 50 min, 1.5 h", arrivals, 1.5 * HOUR)


def herd(seed: int) -> Load:
    """Nobody for half an hour, then 60 at once, then few for ten minutes; three times."""
    chance, arrivals = random.Random(seed), []
    for start in (0.5 * HOUR, 1.5 * HOUR, 2.5 * HOUR):
        arrivals += [start + chance.random() for _ in range(60)]
        arrivals += [start + 1 + at for at in varying(lambda _: 0.1, 0.1, 10 * MINUTE, chance)]
    about = "60 within a second after silence, then 0.1 a second for 10 min, 3 times"
    return Load("herd after zero", about, sorted(arrivals), 3.5 * HOUR)


def sparse(seed: int) -> Load:
    """One person at work: 1 call each 4 minutes from 9 to 17 h, and each hour at other times."""

    def rate(now: float) -> float:
        return 1 / (4 * MINUTE) if 9 * HOUR <= now < 17 * HOUR else 1 / HOUR

    arrivals = varying(rate, 1 / (4 * MINUTE), 24 * HOUR, random.Random(seed))
    return Load("sparse", "1 each 4 min from 9 to 17 h, else 1 an hour", arrivals, 24 * HOUR)


def recorded(every: int = 1) -> Load:
    """The recorded hour, or one call in `every` of it: its bursts and gaps as of a smaller service."""
    text = "".join(line for line in RECORDED.read_text().splitlines(keepends=True) if not line.startswith("#"))
    now, times = 0, []
    for gap in text.split():
        now += int(gap)
        times.append(now / 1000)
    name = "recorded" if every == 1 else f"recorded, 1 in {every}"
    return Load(name, f"an hour of code completion in Azure, {len(times[::every])} calls", times[::every], HOUR)


def service_times(seed: int, count: int, mean: float) -> list[float]:
    """Log-normal, around a mean."""
    chance, sigma = random.Random(seed), 0.7
    return [chance.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma) for _ in range(count)]
