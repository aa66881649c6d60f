"""The route of an update: a share for each fleet, and all of it for the one that has replicas left."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from mooring.control.routing import Routed, route_of
from mooring.hosting.rollout.targets import VariantTarget
from mooring.hosting.routes import Route, RouteVariant
from mooring.hosting.serverless import ServerlessRoute
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


def test_a_serverless_variant_tells_its_limits_and_slots() -> None:
    config = {"ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 7, "ProvisionedConcurrency": 2}}
    target = VariantTarget(replace(VARIANT, config=config), 2, 2, 1.0, 1.0, elastic=True)
    lives = [Life("r0", At(), 0), Life("r5", At(), 5)]
    route = route_of(an_endpoint(), [Routed(target, lives, 3)], GatewaySettings(), ServerlessSettings(hold_s=9))
    (variant,) = route.variants
    assert variant.serverless == ServerlessRoute(an_endpoint().uid, 7, 2, 9, 3)
    assert [each.slot for each in variant.replicas] == [0, 5]
    assert route.body_limit_bytes == route.response_limit_bytes == 4 * 1024 * 1024
    assert Route.from_document(json.loads(json.dumps(route.to_document()))) == route


def test_a_serverless_fleet_without_replicas_can_take_its_share() -> None:
    target = VariantTarget(VARIANT, 0, 1, 0.25, 0.25, elastic=True)
    assert variants(routed(0.75, 0.75, 2), Routed(target, [])) == [(0.75, 0.75, 2), (0.25, 0.25, 0)]
