"""The compiled choice of variants and replicas."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.gateway.instruments import Instruments
from mooring.gateway.pipeline import Pipeline
from mooring.hosting.routes import RouteReplica, RouteVariant
from mooring.http1.ticking import Ticker
from mooring.upstream.replica import Replica
from tests.gateway.running import route


def pool(replica_id: str) -> Replica:
    return Replica(replica_id, "/nowhere", Ticker(), connect_timeout_s=1, idle_s=1, may_retry=True)


def variant(name: str, weight: float, *ids: str, strategy: str = "LEAST_OUTSTANDING_REQUESTS") -> RouteVariant:
    return RouteVariant(name, weight, tuple(RouteReplica(replica, "/nowhere") for replica in ids), strategy)


@given(st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=10))
def test_a_variant_without_weight_is_never_drawn(weights: list[float]) -> None:
    pipeline = Pipeline(
        route(variants=tuple(variant(f"v{n}", weight) for n, weight in enumerate(weights))), {}, Instruments()
    )
    for _ in range(20):
        drawn = pipeline.choose()
        if drawn is None:
            assert not any(weights)
        else:
            assert weights[int(drawn.name[1:])] > 0


@pytest.mark.parametrize("strategy", ["LEAST_OUTSTANDING_REQUESTS", "RANDOM"])
def test_every_healthy_replica_is_used_and_no_ejected_one(strategy: str) -> None:
    pools = {name: pool(name) for name in "abc"}
    pools["b"].ejected = True
    pick = (
        Pipeline(route(variants=(variant("v", 1, *"abc", strategy=strategy),)), pools, Instruments())
        .by_name[b"v"]()
        .pick
    )
    seen = Counter(replica.id for _ in range(300) if (replica := pick()))
    assert set(seen) == {"a", "c"}
    assert min(seen.values()) > 75


def test_with_all_ejected_the_one_that_failed_longest_ago_is_tried() -> None:
    pools = {name: pool(name) for name in "abc"}
    for replica, failed_at in zip(pools.values(), (3.0, 1.0, 2.0), strict=True):
        replica.ejected, replica.failed_at = True, failed_at
    for strategy in ("LEAST_OUTSTANDING_REQUESTS", "RANDOM"):
        pipeline = Pipeline(route(variants=(variant("v", 1, *"abc", strategy=strategy),)), pools, Instruments())
        assert pipeline.by_name[b"v"]().pick() is pools["b"]


@given(st.lists(st.integers(0, 5), min_size=2, max_size=6))
def test_least_outstanding(loads: list[int]) -> None:
    pools = {f"r{n}": pool(f"r{n}") for n in range(len(loads))}
    for replica, load in zip(pools.values(), loads, strict=True):
        replica.outstanding = load
    picked = Pipeline(route(variants=(variant("v", 1, *pools),)), pools, Instruments()).by_name[b"v"]().pick()
    assert picked is not None
    assert picked.outstanding == min(loads)


def test_a_name_that_two_fleets_share_is_drawn_by_their_shares() -> None:
    """Also when it is named and has no weight: then its share decides."""
    pools = {name: pool(name) for name in "ab"}
    fleets = (replace(variant("v", 0, "a"), share=0.25), replace(variant("v", 0, "b"), share=0.75))
    pipeline = Pipeline(route(variants=(*fleets, variant("w", 1))), pools, Instruments())
    drawn = Counter(found.replicas[0].id for _ in range(400) if (found := pipeline.by_name[b"v"]()))
    # 400 draws with p=1/4: more than five standard deviations on either side.
    assert 50 < drawn["a"] < 150
    named = {found.name for _ in range(50) if (found := pipeline.choose())}
    assert named == {"w"}
