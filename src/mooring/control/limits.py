"""The account's quotas and the machine's capacity, asked in the transaction that would use them up."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from mooring.hosting.capacity import Machine, shortage
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.quotas import check_capacity, looks_at_others, refuse_above
from mooring.processes import machine
from mooring.settings import CapacitySettings, Settings
from mooring.store import Connection, endpoints


def check_count(quota: str, limit: int, unit: str, count: Callable[[], int]) -> None:
    """Raises `LimitExceeded` when one more is above a limit; nothing is counted where there is none."""
    if limit:
        refuse_above(quota, limit, unit, count(), 1)


def check_quotas(conn: Connection, settings: Settings, wished: EndpointRecord, *, new: bool) -> None:
    """Raises `LimitExceeded` when the endpoint, as it is wished, would take more than a quota allows."""
    quotas, scope = settings.quotas, wished.scope
    if new:
        check_count("Number of endpoints", quotas.endpoints, "Endpoints", lambda: endpoints.count(conn, scope))
    counted = endpoints.all(conn) if looks_at_others(quotas, wished) else []
    others = [each for each in counted if each.scope == scope and each.uid != wished.uid]
    check_capacity(quotas, others, wished)


def fitted(conn: Connection, settings: Settings, wished: EndpointRecord) -> EndpointRecord:
    """The endpoint as it is wished; or `Failed`, saying what the machine lacks for it, where capacity is enforced."""
    if settings.capacity.policy != "enforce":
        return wished
    others = [each for each in endpoints.all(conn) if each.uid != wished.uid]
    reason = shortage(capacity_of(settings.capacity), others, wished)
    return (
        wished if reason is None else dataclasses.replace(wished, status=EndpointStatus.FAILED, failure_reason=reason)
    )


def capacity_of(wanted: CapacitySettings) -> Machine:
    """What may be given away: what the settings say, else what the machine has."""
    return Machine(
        wanted.vcpus or machine.processors(),
        wanted.memory_gib or machine.memory_gib(),
        wanted.accelerators or machine.accelerators(),
    )
