"""The processes of one Mooring, as data: what each is called, what it is handed, and when it is stopped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mooring.settings import RESOLVED, Settings
from mooring.supervisor.listening import Listeners

GATEWAYS, CONTROL, OBJECTS = range(3)
"""The order in which children are stopped: each needs those after it to finish what it holds."""

OBJECTS_STOP_S = 5.0
STOP_MARGIN_S = 2.0
"""Beyond what a child itself may take to stop, before it is killed."""

GATEWAY_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "33554432",
}
"""glibc otherwise maps, zeroes and unmaps every body of 256 KiB and more: 2.6 times the CPU. Read before main."""

_WITHOUT_SECRETS = {"MOORING_ACCESS_MASTER_KEY": "", "MOORING_OBJECTS_SECRET_ACCESS_KEY": ""}
"""Variables of ours that hold secrets, for children that have no need of them."""

# -P: else the directory in which a person types `mooring serve` would be searched for modules first.
PYTHON = (sys.executable, "-P", "-m")


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process to keep running."""

    name: str
    command: tuple[str, ...]
    stop_order: int
    stop_timeout_s: float
    """From SIGTERM to SIGKILL."""
    descriptors: tuple[tuple[str, int], ...] = ()
    """Sockets to inherit: the flag that names each, and its descriptor. `--lifeline-fd` and `--ready-fd` are added."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Beyond our own environment. May hold secrets."""
    awaited: bool = True
    """Whether Mooring is ready only when it is."""
    holds: str = ""
    """What its stop lets finish, for people."""


def table(settings: Settings, listeners: Listeners) -> Sequence[ChildSpec]:
    """The children for `settings`, in the order in which they are started."""
    resolved = {RESOLVED: settings.without_secrets().to_json(), **_WITHOUT_SECRETS}
    control = ChildSpec(
        "control",
        (*PYTHON, "mooring.api"),
        CONTROL,
        settings.replicas.stop_grace_s + 2 * STOP_MARGIN_S,
        environment={RESOLVED: settings.to_json()},
        holds="replicas to end",
    )
    gateways = [
        ChildSpec(
            f"gateway {index}",
            (*PYTHON, "mooring.gateway", "--index", str(index)),
            GATEWAYS,
            settings.gateway.drain_s + STOP_MARGIN_S,
            descriptors=(("--listen-fd", listener.fileno()),),
            environment=resolved | GATEWAY_MALLOC,
            holds="requests in flight",
        )
        for index, listener in enumerate(listeners.gateways)
    ]
    return [control, *gateways, *_objects(listeners, resolved)]


def _objects(listeners: Listeners, resolved: Mapping[str, str]) -> list[ChildSpec]:
    if listeners.handover is None or listeners.s3 is None:
        return []
    front = ChildSpec(
        "objects",
        (*PYTHON, "mooring.objects"),
        OBJECTS,
        OBJECTS_STOP_S + STOP_MARGIN_S,
        descriptors=(("--handover-fd", listeners.handover.fileno()), ("--s3-fd", listeners.s3.fileno())),
        environment=resolved,
        awaited=False,
        holds="S3 requests in flight",
    )
    return [front]
