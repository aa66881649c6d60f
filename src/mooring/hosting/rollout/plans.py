"""The steps of a rollout, forward and back: how many replicas of each fleet run in each, and who takes what traffic.

A plan follows from the policy and the two fleets' sizes, so nothing of it is stored. Guarantees: the old fleet's share
of the traffic never exceeds the part of it that is left, and a step takes from the old fleet only what the steps up to
it have brought of the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mooring.hosting.rollout.deployments import Mode, Policy, Size

Counts = Mapping[str, int]
"""Replicas by the name of their variant."""
Shares = Mapping[str, float]
"""Of a variant's traffic, what goes to the new fleet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A moment of a rollout."""

    old: Counts
    new: Counts
    routed: Counts
    """Of the new replicas, those that take traffic."""
    shares: Shares


@dataclass(frozen=True, slots=True)
class Step:
    """What runs and is routed once the step's traffic is moved, and what of it stays at the step's end."""

    during: Standing
    old_after: Counts
    new_after: Counts
    bake_s: int = 0
    bake: str = ""
    """The member that says how long."""

    @property
    def after(self) -> Standing:
        """The moment at the step's end."""
        return Standing(self.old_after, self.new_after, self.during.routed, self.during.shares)


def beginning(old: Counts, new: Counts) -> Standing:
    """Before anything of the new fleet runs."""
    nothing = dict.fromkeys(new, 0)
    return Standing(old, nothing, nothing, dict.fromkeys(new, 0.0))


def forward(policy: Policy, old: Counts, new: Counts, *, shrinks: bool = True) -> tuple[Step, ...]:
    """From all of the old fleet to all of the new one. `shrinks`: a rolling update may take of the old as it goes."""
    if policy.mode is Mode.ROLLING:
        return _rolling(policy, old, new, shrinks=shrinks)
    rounds = {Mode.ALL_AT_ONCE: 0, Mode.CANARY: 1}.get(policy.mode)
    if rounds is None:
        rounds = max((policy.size.times(count) for count in new.values()), default=1)
    steps = [
        Step(
            _shared(policy.size, old, new, times, last=policy.mode is Mode.LINEAR and times == rounds),
            old, new, policy.wait_s, "WaitIntervalInSeconds",
        )
        for times in range(1, rounds + 1)
    ]  # fmt: skip
    whole = Standing(old, new, new, dict.fromkeys(new, 1.0))
    gone = dict.fromkeys(old, 0)
    return (*steps, Step(whole, gone, new, policy.termination_wait_s, "TerminationWaitInSeconds"))


def back(policy: Policy, old: Counts, turned: Standing) -> tuple[Step, ...]:
    """From where a rollout turned to all of the old fleet again, in batches where the old fleet had shrunk.

    New replicas that took no traffic yet are the first to go.
    """
    turned = replace(turned, new=turned.routed)
    if all(turned.old.get(name, 0) >= count for name, count in old.items()):
        return (_towards_old(old, old, turned, turned.new),)
    steps: list[Step] = []
    standing, times = turned.old, 0
    running = turned.new
    while standing != old:
        times += 1
        standing = {
            name: max(turned.old[name], min(count, turned.old[name] + policy.rollback_size.of(count, times)))
            for name, count in old.items()
        }
        steps.append(_towards_old(old, standing, turned, running))
        running = steps[-1].new_after
    return tuple(steps)


def peak(steps: tuple[Step, ...]) -> Standing:
    """The moment in which most replicas run."""
    return max((step.during for step in steps), key=lambda each: sum(each.old.values()) + sum(each.new.values()))


def _shared(size: Size, old: Counts, new: Counts, times: int, *, last: bool) -> Standing:
    routed = {name: count if last else size.of(count, times) for name, count in new.items()}
    shares = {name: 1.0 if last else size.share(count, times) for name, count in new.items()}
    return Standing(old, new, routed, shares)


def _rolling(policy: Policy, old: Counts, new: Counts, *, shrinks: bool) -> tuple[Step, ...]:
    batches = {name: max(1, policy.size.of(count)) for name, count in new.items()}
    rounds = max((-(-count // batches[name]) for name, count in new.items()), default=1) or 1
    steps: list[Step] = []
    standing = old
    for times in range(1, rounds + 1):
        running = {name: min(count, batches[name] * times) for name, count in new.items()}
        shares = {name: running[name] / count if count else times / rounds for name, count in new.items()}
        left = {name: _part(count, 1 - _share(shares, name)) for name, count in old.items()}
        if not shrinks and times < rounds:
            left = dict(old)
        during = Standing(standing, running, running, shares)
        steps.append(Step(during, left, running, policy.wait_s, "WaitIntervalInSeconds"))
        standing = left
    return tuple(steps)


def _towards_old(old: Counts, standing: Counts, turned: Standing, running: Counts) -> Step:
    """The step after which `standing` of the old fleet runs, and of the new one what that does not replace."""
    left = {
        name: (old[name] - standing[name]) / (old[name] - turned.old.get(name, 0))
        if standing[name] < old[name]
        else 0.0
        for name in old
    }
    most = max(left.values(), default=0.0)
    new_after = {name: _part(count, left.get(name, most)) for name, count in turned.new.items()}
    routed = {name: min(count, new_after[name]) for name, count in turned.routed.items()}
    shares = {name: share * left.get(name, most) for name, share in turned.shares.items()}
    return Step(Standing(standing, running, routed, shares), standing, new_after)


def _part(count: int, part: float) -> int:
    """So much of `count`, rounded up, but for what floating point adds."""
    return -int(-(count * part - 1e-9) // 1) if part > 0 else 0


def _share(shares: Shares, name: str) -> float:
    return shares.get(name, min(shares.values(), default=1.0))
