"""Which slots get a replica, and which replicas stay."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.serverless.wanting import DEMAND_LASTS_S, Wanting

SLOTS = st.sets(st.integers(0, 9))
MOST = 8


@given(least=st.integers(0, 4), asked=SLOTS, later=st.floats(0, 3))
def test_what_is_provisioned_or_asked_for_is_started(least: int, asked: set[int], later: float) -> None:
    wanting = Wanting(idle_s=5)
    wanting.demand(asked, 100)
    still = asked if later < DEMAND_LASTS_S else set()
    assert wanting.started(least, MOST, 100 + later) == {slot for slot in {*range(least), *still} if slot < MOST}
    wanting.refuse(asked)
    assert wanting.started(least, MOST, 100 + later) == set(range(least))


@given(least=st.integers(0, 4), healthy=SLOTS, used=SLOTS, later=st.floats(0, 20))
def test_what_is_idle_goes_but_for_what_is_provisioned(
    least: int, healthy: set[int], used: set[int], later: float
) -> None:
    wanting = Wanting(idle_s=5)
    wanting.use(healthy, 100)
    wanting.use(used, 107)
    now = 107 + later
    kept = wanting.kept(healthy, least, MOST, now)
    assert kept == {slot for slot in healthy if slot < MOST and (slot < least or (slot in used and later < 5))}
    end = wanting.next_end(kept, least, now)
    if end is None:
        assert all(slot < least for slot in kept)
    else:
        assert 0 <= end <= 5
        assert wanting.kept(kept, least, MOST, now + end) == {slot for slot in kept if slot < least}


def test_a_replica_that_nobody_told_of_is_not_idle_at_once() -> None:
    """As after the start of another control."""
    wanting = Wanting(idle_s=5)
    assert wanting.kept({3}, 0, MOST, 1000) == {3}
    assert wanting.kept({3}, 0, MOST, 1005) == set()
