"""Whether this machine has what an endpoint's instances stand for, where it is asked to keep to that.

The default is to oversubscribe: on a laptop an `ml.g5.48xlarge` is a name. Under `enforce` each wished instance takes
the vCPUs, the memory and the accelerators of its type, and what does not fit is not started.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.instance_types import Resources, resources_of
from mooring.hosting.quotas import instances_of, serverless_of
from mooring.hosting.serverless import MB_PER_VCPU

NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. Please retry using a "
    "different ML instance type or after some time."
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to give away."""

    vcpus: int
    memory_gib: float
    accelerators: int


def shortage(machine: Machine, others: Iterable[EndpointRecord], wished: EndpointRecord) -> str | None:
    """FailureReason of an endpoint that does not fit beside the others: AWS's sentence, and what is missing."""
    living = [each for each in others if each.status not in (EndpointStatus.FAILED, EndpointStatus.DELETING)]
    used, needed = taken_by(living), taken_by([wished])
    missing = [
        f"{need:g} {what} needed, {free:g} of {has:g} free"
        for what, need, free, has in (
            ("vCPUs", needed.vcpus, machine.vcpus - used.vcpus, machine.vcpus),
            ("GiB of memory", needed.memory_gib, machine.memory_gib - used.memory_gib, machine.memory_gib),
            ("accelerators", needed.accelerators, machine.accelerators - used.accelerators, machine.accelerators),
        )
        if need > max(free, 0)
    ]
    return f"{NO_CAPACITY} ({'; '.join(missing)})" if missing else None


def taken_by(records: Iterable[EndpointRecord]) -> Resources:
    """What the instances and the serverless variants of endpoints stand for; unknown types stand for nothing."""
    records = list(records)
    vcpus, memory, accelerators = 0.0, 0.0, 0
    for kind, count in instances_of(records).items():
        each = resources_of(kind)
        vcpus += each.vcpus * count
        memory += each.memory_gib * count
        accelerators += each.accelerators * count
    for variant in (variant for record in records for variant in serverless_of(record)):
        megabytes = variant.config["ServerlessConfig"]["MemorySizeInMB"]
        vcpus += megabytes / MB_PER_VCPU
        memory += megabytes / 1024
    return Resources(vcpus, memory, accelerators)
