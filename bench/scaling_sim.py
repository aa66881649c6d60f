"""What scaling costs and saves, in virtual time, for the parameters that are AWS's and those that are ours to choose.

    python bench/scaling_sim.py [--seed 1] [--only instances|asynchronous|serverless]

Runs the rules that control and gateways run (alarms, states, decisions, slots, the idle rule), over made-up loads and
one recorded hour. Prints a table a kind of variant, in a minute or two; the same seed prints the same figures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from machine import commit, described_machine
from rounds import row
from scaling_instances import Autoscaler, Outcome, Rule, asynchronous, need, real_time, tracking_rule
from scaling_loads import Load, diurnal, flash_crowd, herd, ramp, recorded, service_times, sparse, steady

from mooring.hosting.naming import Scope
from mooring.scaling.deciding import STEP, TRACKING
from mooring.scaling.documents import INSTANCES, Policy, ScalableTarget, Target

TARGET = Target(Scope("123456789012", "us-east-1"), "e", "v", INSTANCES)
LONG_AGO = -1e9
SERVICE_S, START_S, MOST = 2.0, 30.0, 20
EACH_MINUTE = 21.0
"""70 % of what an instance can do, which is a call at a time."""
CALLS = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
CONCURRENT = {
    "PredefinedMetricSpecification": {
        "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    }
}
BACKLOG = {
    "CustomizedMetricSpecification": {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
        "Statistic": "Average",
    }
}


def policy(name: str, kind: str, config: dict[str, Any]) -> Policy:
    return Policy(TARGET, name, f"arn:aws:autoscaling:us-east-1:1:scalingPolicy:{name}", kind, config, LONG_AGO)


def tracking(target: float = EACH_MINUTE, metric: dict[str, Any] = CALLS, **config: Any) -> Policy:
    return policy("track", TRACKING, {"TargetValue": target, **metric, **config})


def periods(high: int = 3, low: int = 15) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The alarms of a policy with other numbers of points."""

    def changed(alarm: dict[str, Any]) -> dict[str, Any]:
        return {**alarm, "EvaluationPeriods": high if "AlarmHigh" in alarm["AlarmName"] else low}

    return changed


def by_average(alarm: dict[str, Any]) -> dict[str, Any]:
    return {**alarm, "Statistic": "Average"}


REAL_TIME: dict[str, Callable[[], Rule]] = {
    "AWS's: high 3, low 15 points, cooldowns 300/300": lambda: tracking_rule(tracking()),
    "cooldowns out 60, in 300": lambda: tracking_rule(tracking(ScaleOutCooldown=60)),
    "cooldowns out 0, in 300": lambda: tracking_rule(tracking(ScaleOutCooldown=0)),
    "cooldowns 60/60": lambda: tracking_rule(tracking(ScaleOutCooldown=60, ScaleInCooldown=60)),
    "cooldowns 600/600": lambda: tracking_rule(tracking(ScaleOutCooldown=600, ScaleInCooldown=600)),
    "high 1 point": lambda: tracking_rule(tracking(), periods(high=1)),
    "low 5 points": lambda: tracking_rule(tracking(), periods(low=5)),
    "in by the newest point": lambda: tracking_rule(tracking(), newest_only=True),
    "in by the newest point, low 5": lambda: tracking_rule(tracking(), periods(low=5), newest_only=True),
    "concurrent requests 1.5, highest of 10 s": lambda: tracking_rule(tracking(1.5, CONCURRENT)),
    "the same, cooldown out 60": lambda: tracking_rule(tracking(1.5, CONCURRENT, ScaleOutCooldown=60)),
    "concurrent requests 0.7, average of 10 s": lambda: tracking_rule(tracking(0.7, CONCURRENT), by_average),
}


def leave_zero(period: int = 60, points: int = 2, by: int = 1, cooldown: int = 300) -> Rule:
    """The recipe's step policy, on HasBacklogWithoutCapacity."""
    alarm = {
        "AlarmName": "has-backlog",
        "Namespace": "AWS/SageMaker",
        "MetricName": "HasBacklogWithoutCapacity",
        "Statistic": "Average",
        "Period": period,
        "EvaluationPeriods": points,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    }
    steps = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": by}]
    config = {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, "Cooldown": cooldown}
    return Rule(policy("leave-zero", STEP, config), [alarm])


def backlog(target: float = 5.0, **config: Any) -> Rule:
    return tracking_rule(tracking(target, BACKLOG, **config))


ASYNCHRONOUS: dict[str, Callable[[], list[Rule]]] = {
    "recipe: backlog 5, step on 2 × 60 s": lambda: [backlog(), leave_zero()],
    "step on 1 × 60 s": lambda: [backlog(), leave_zero(points=1)],
    "step on 1 × 10 s": lambda: [backlog(), leave_zero(period=10, points=1)],
    "step of 4 on 1 × 10 s": lambda: [backlog(), leave_zero(period=10, points=1, by=4)],
    "backlog 2": lambda: [backlog(2.0), leave_zero()],
    "backlog 5, cooldowns 60/300": lambda: [backlog(ScaleOutCooldown=60), leave_zero(cooldown=60)],
    "backlog 5, cooldowns in 600": lambda: [backlog(ScaleInCooldown=600), leave_zero()],
    "no step: tracking alone": lambda: [backlog()],
}
IDLE_S = (60, 120, 300, 600, 900)
HOLD_S = (15, 60, 180)


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    columns = list(head)
    print(row(columns))
    print(row(["---"] * len(columns)))
    for each in rows:
        print(row(map(str, each)), flush=True)
    print()


def hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


def told(outcome: Outcome) -> list[str]:
    return [
        hours(outcome.over_s), hours(outcome.under_s), str(outcome.changes), f"{outcome.wait(50):.1f}",
        f"{outcome.wait(99):.1f}", str(outcome.timed_out),
    ]  # fmt: skip


def instances(seed: int) -> None:
    print(f"### Real-time variants: target {EACH_MINUTE:.0f} calls a minute and instance, 1 to {MOST} instances\n")
    print(f"Calls of {SERVICE_S:.0f} s, one at a time; an instance starts in {START_S:.0f} s.\n")
    loads = [steady(seed), diurnal(seed), ramp(seed), flash_crowd(seed), recorded(2)]
    rows = []
    for load in loads:
        for name, rule in REAL_TIME.items():
            rows.append([load.name, name, *told(_real_time(load, rule(), seed, START_S))])
    head = ("load", "parameters", "over, inst·h", "under, inst·h", "changes", "wait p50, s", "p99, s", "timed out")
    table(head, rows)
    print("### The same with AWS's parameters, by how long an instance takes to start\n")
    rows = [
        [load.name, f"{start_s:.0f} s", *told(_real_time(load, REAL_TIME[next(iter(REAL_TIME))](), seed, start_s))]
        for load in (flash_crowd(seed), recorded(2))
        for start_s in (1.0, 30.0, 180.0, 420.0)
    ]
    table(("load", "start", *head[2:]), rows)


def _real_time(load: Load, rule: Rule, seed: int, start_s: float) -> Outcome:
    registered = ScalableTarget(TARGET, "id", 1, MOST, 0.0, "role")
    wanted = need(load, EACH_MINUTE, 1, MOST)
    services = service_times(seed, len(load.arrivals), SERVICE_S)
    return real_time(load, services, Autoscaler(registered, [rule]), start_s, wanted, first=max(1, wanted[0]))


def queues(seed: int) -> None:
    service_s = 5.0
    print("### Asynchronous variants: 0 to 5 instances\n")
    print(f"Jobs of {service_s:.0f} s, one at a time; an instance starts in {START_S:.0f} s.\n")
    rows = []
    for load in (sparse(seed), herd(seed), recorded(10)):
        services = service_times(seed, len(load.arrivals), service_s)
        busy = sum(services)
        for name, rules in ASYNCHRONOUS.items():
            registered = ScalableTarget(TARGET, "id", 0, 5, 0.0, "role")
            outcome = asynchronous(load, services, Autoscaler(registered, rules(), zero_allowed=True), START_S)
            rows.append(
                [load.name, name, hours(outcome.paid_s), hours(max(0.0, outcome.paid_s - busy)), outcome.changes,
                 f"{outcome.wait(50):.0f}", f"{outcome.wait(99):.0f}", outcome.timed_out]
            )  # fmt: skip
    head = ("load", "parameters", "inst·h", "of that idle", "changes", "wait p50, s", "p99, s", "never begun")
    table(head, rows)


def serverless(seed: int) -> None:
    from scaling_serverless import Run

    concurrency, service_s, start_s = 20, 0.5, 5.0
    print(f"### Serverless variants: MaxConcurrency {concurrency}\n")
    print(f"Calls of {service_s} s; a replica starts in {start_s:.0f} s, alone.\n")
    loads = [steady(seed), diurnal(seed), sparse(seed), flash_crowd(seed), herd(seed), recorded(), recorded(50)]
    rows = []
    for load in loads:
        services = service_times(seed, len(load.arrivals), service_s)
        for idle_s in IDLE_S:
            found = Run(concurrency, idle_s, 180.0, start_s).run(load, services)
            rows.append(
                [load.name, idle_s, found.calls, f"{100 * found.cold / max(1, found.calls):.2f}", found.starts,
                 found.throttled, f"{found.wait(50):.1f}", f"{found.wait(99):.1f}",
                 hours(found.replica_s - found.busy_s)]
            )  # fmt: skip
    table(
        ("load", "idle_s", "calls", "cold, %", "starts", "throttled", "wait p50, s", "p99, s", "idle, replica·h"), rows
    )
    print("### A herd on a serverless variant, by how long a call is held\n")
    load = herd(seed)
    services = service_times(seed, len(load.arrivals), service_s)
    rows = []
    for start in (1.0, 5.0, 30.0):
        for hold_s in HOLD_S:
            found = Run(concurrency, 300.0, hold_s, start).run(load, services)
            rows.append(
                [f"{start:.0f} s", hold_s, found.calls, found.throttled, found.given_up, f"{found.wait(99):.1f}"]
            )
    table(("start, alone", "hold_s", "calls", "throttled", "given up", "wait p99, s"), rows)


KINDS = {"instances": instances, "asynchronous": queues, "serverless": serverless}


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--only", choices=KINDS)
    chosen = options.parse_args()
    print(f"{described_machine()}, {commit()}, seed {chosen.seed}\n")
    for load in (steady, diurnal, ramp, flash_crowd, herd, sparse):
        made = load(chosen.seed)
        print(f"- {made.name}: {made.about} ({len(made.arrivals)} calls)")
    print(f"- recorded: {recorded().about}\n")
    began = time.perf_counter()
    for name, run in KINDS.items():
        if chosen.only in (None, name):
            run(chosen.seed)
    print(f"simulated in {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
