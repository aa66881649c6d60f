"""The route of an update: a share for each fleet, and all of it for the one that has replicas left."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from mooring.control.routing import Routed, route_of
from mooring.hosting.rollout.targets import VariantTarget
from mooring.hosting.routes import RouteVariant
from mooring.settings import GatewaySettings, ServerlessSettings
from tests.store.making import an_endpoint

VARIANT = an_endpoint().variants[0]


@dataclass
class At:
    address: str = "/socket"


@dataclass
class Life:
    id: str
    replica: At | None
    slot: int | None = None


def routed(weight: float, share: float, replicas: int) -> Routed:
    target = VariantTarget(VARIANT, 2, 2, weight, share)
    return Routed(target, [Life(f"r{number}", At()) for number in range(replicas)])


def variants(*entries: Routed) -> list[tuple[float, float, int]]:
    def told(each: RouteVariant) -> tuple[float, float, int]:
        return each.weight, each.share, len(each.replicas)

    return [told(each) for each in route_of(an_endpoint(), entries, GatewaySettings(), ServerlessSettings()).variants]


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ([(0.75, 0.75, 2), (0.25, 0.25, 1)], [(0.75, 0.75, 2), (0.25, 0.25, 1)]),
        ([(1.0, 1.0, 2), (0.0, 0.0, 0)], [(1.0, 1.0, 2)]),
        ([(0.75, 0.75, 2), (0.25, 0.25, 0)], [(1.0, 1.0, 2)]),
        ([(0.75, 0.75, 0), (0.25, 0.25, 1)], [(1.0, 1.0, 1)]),
        ([(0.0, 0.5, 0), (0.0, 0.5, 1)], [(0.0, 1.0, 1)]),
        ([(0.5, 0.5, 0), (0.5, 0.5, 0)], [(0.5, 0.5, 0), (0.5, 0.5, 0)]),
        ([(3.0, 1.0, 0)], [(3.0, 1.0, 0)]),
    ],
)
def test_shares(entries: list[tuple[float, float, int]], told: list[tuple[float, float, int]]) -> None:
    assert variants(*(routed(*each) for each in entries)) == told
