"""Account quotas, as AWS words them. A limit of 0 is none.

Quotas are per account and region, as on AWS; the caller counts what is there, in the transaction that adds to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from mooring.errors import LimitExceeded
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Rollout, VariantState
from mooring.hosting.rollout.targets import most_instances
from mooring.settings import QuotaSettings

_TAIL = (
    "Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, "
    "contact AWS support to request an increase for this quota."
)


def refuse_above(quota: str, limit: int, unit: str, used: int, delta: int) -> None:
    """Raises `LimitExceeded` in AWS's words when `delta` more would be above a limit that is one."""
    if limit and used + delta > limit:
        refuse(quota, limit, unit, used, delta)


def refuse(quota: str, limit: int, unit: str, used: int, delta: int) -> None:
    """Raises `LimitExceeded` in AWS's words."""
    raise LimitExceeded(
        f"The account-level service limit '{quota}' is {limit} {unit}, with current utilization of {used} {unit} and a "
        f"request delta of {delta} {unit}. {_TAIL}"
    )


def looks_at_others(quotas: QuotaSettings, wished: EndpointRecord) -> bool:
    """Whether some quota that is a limit counts `wished` together with other endpoints."""
    return bool(quotas.instances or quotas.instances_by_type or serverless_of(wished))


def check_capacity(quotas: QuotaSettings, others: Iterable[EndpointRecord], wished: EndpointRecord) -> None:
    """Raises `LimitExceeded` when `wished` takes, beside the account's other endpoints, more than a quota allows.

    An update takes its new replicas on top of those that serve meanwhile.
    """
    held = [each for each in others if each.status is not EndpointStatus.FAILED]
    serving = without_rollout(wished)
    _check_instances(quotas, held if serving is None else [*held, serving], wished, serving)
    mine = _serverless(wished if wished.rollout is None else wished.rollout)
    if not mine:
        return
    serverless = [variant for each in held for variant in serverless_of(each)]
    refuse_above("Number of serverless endpoints", quotas.serverless_endpoints, "Endpoints", len(serverless), len(mine))
    most = quotas.serverless_memory_mb
    for variant in mine:
        memory = variant.config["ServerlessConfig"]["MemorySizeInMB"]
        refuse_above("Memory size in MB per serverless endpoint", most, "MBs", 0, memory)
    refuse_above(
        "Total concurrency of serverless endpoints",
        quotas.serverless_concurrency,
        "Concurrent executions",
        _concurrency(serverless) + (_concurrency(serverless_of(serving)) if serving is not None else 0),
        _concurrency(mine),
    )


def serverless_of(record: EndpointRecord) -> list[VariantState]:
    """Its serverless variants, each as often as it runs at a time."""
    return [variant for variant, _ in most_instances(record) if "ServerlessConfig" in variant.config]


def instances_of(records: Iterable[EndpointRecord]) -> Counter[str]:
    """Wished instances by type. Of pools the first is counted, which is the one that is tried first."""
    found: Counter[str] = Counter()
    for record in records:
        for variant, count in most_instances(record):
            pools = sorted(variant.config.get("InstancePools", ()), key=lambda pool: int(pool["Priority"]))
            kind = variant.config.get("InstanceType") or (pools[0]["InstanceType"] if pools else None)
            if kind is not None:
                found[kind] += count
    return found


def without_rollout(record: EndpointRecord) -> EndpointRecord | None:
    """The endpoint as it serves while it is updated; None for one that is not."""
    return replace(record, rollout=None, status=record.rollout.before) if record.rollout is not None else None


def limits_by_type(text: str) -> Mapping[str, int]:
    """`ml.g5.xlarge=2, ml.p4d.24xlarge=0` by type. Raises ValueError."""
    pairs = (piece.partition("=") for piece in text.split(",") if piece.strip())
    return {name.strip(): int(limit) for name, _, limit in pairs}


def _serverless(fleet: EndpointRecord | Rollout) -> list[VariantState]:
    return [variant for variant in fleet.variants if "ServerlessConfig" in variant.config]


def _check_instances(
    quotas: QuotaSettings, held: Iterable[EndpointRecord], wished: EndpointRecord, serving: EndpointRecord | None
) -> None:
    used, delta = instances_of(held), instances_of([wished])
    lasting = delta.total()
    if serving is not None and wished.rollout is not None:
        delta -= instances_of([serving])
        lasting = sum(each.desired_count for each in wished.rollout.variants if "ServerlessConfig" not in each.config)
    refuse_above("Number of instances per endpoint", quotas.instances_per_endpoint, "Instances", 0, lasting)
    refuse_above(
        "Number of instances across active endpoints",
        quotas.instances,
        "Instances",
        sum(used.values()),
        sum(delta.values()),
    )
    for kind, limit in limits_by_type(quotas.instances_by_type).items():
        if delta[kind] and used[kind] + delta[kind] > limit:  # here 0 is a limit: AWS has it for new accounts
            refuse(f"{kind} for endpoint usage", limit, "Instances", used[kind], delta[kind])


def _concurrency(variants: Iterable[VariantState]) -> int:
    return sum(variant.config["ServerlessConfig"]["MaxConcurrency"] for variant in variants)
