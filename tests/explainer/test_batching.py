"""How many records go into a synthetic request."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.work.batching import AIM, BATCH_S, MOST, PROBE_AFTER, Batching


def used(
    batching: Batching,
    overhead: float,
    slope: float,
    requests: int,
    bears: int = MOST,
    noise: random.Random | None = None,
) -> list[int]:
    """The sizes of so many requests to a model that takes so long, and that refuses more records than it bears."""
    sizes = []
    for _ in range(requests):
        size = batching.size
        sizes.append(size)
        if size > bears:
            batching.refused(size)
            continue
        spread = 1.0 if noise is None else noise.choice((0.8, 1.0, 1.0, 1.2, 4.0))
        batching.answered(size, (overhead + slope * size) * spread)
    return sizes


def test_starts_at_64_once_it_knows_what_one_takes() -> None:
    batching = Batching()
    assert batching.size == 64
    batching.answered(1, 0.0001)
    assert batching.size == 64


def test_a_fast_model_gets_as_many_as_there_may_be() -> None:
    sizes = used(Batching(), 0.0005, 1e-6, 20)
    assert sizes[:4] == [64, 128, 256, 512]
    assert sizes[-1] == 1024


@pytest.mark.parametrize(
    ("overhead", "slope"), [(0.001, 0.0001), (0.003, 0.00002), (0.0, 0.0005), (0.005, 0.001), (0.008, 0.0001)]
)
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_request_takes_at_most_twenty_milliseconds(overhead: float, slope: float, seed: int | None) -> None:
    batching = Batching()
    batching.answered(1, overhead + slope)
    sizes = used(batching, overhead, slope, 200, noise=None if seed is None else random.Random(seed))
    settled = sizes[20:]
    slow = [size for size in settled if overhead + slope * size > BATCH_S]
    assert len(slow) <= 0.15 * len(settled), "now and then twice as many are tried"
    assert max(settled) <= 2.2 * (2 * BATCH_S - overhead) / slope
    assert sum(settled) / len(settled) >= 0.4 * min(MOST, (AIM * BATCH_S - overhead) / slope)


def test_overhead_above_the_target_is_shared_by_more_records() -> None:
    batching = Batching()
    batching.answered(1, 0.201)
    sizes = used(batching, 0.2, 0.001, 60)
    assert 150 <= sizes[-1] <= 220, "about as many as double the overhead"


def test_a_model_that_is_slow_for_each_record_gets_one() -> None:
    batching = Batching()
    batching.answered(1, 0.05)
    sizes = used(batching, 0.0, 0.05, 20)
    assert max(sizes) <= 2, "tried once, to know what is overhead"
    assert sizes[-1] == 1


def test_a_first_slow_request_does_not_count_for_long() -> None:
    batching = Batching()
    batching.answered(1, 3.0)  # it loaded something
    sizes = used(batching, 0.001, 0.00001, 40)
    assert sizes[-1] > 300


@pytest.mark.parametrize("seed", range(8))
def test_others_on_its_processor_do_not_make_requests_small(seed: int) -> None:
    """Waiting for a processor, or for ordinary calls, takes as long for a request of few records as for many."""
    generator = random.Random(seed)
    batching = Batching()
    batching.answered(1, 0.03)
    rows = requests = 0
    while rows < 20_000:
        size = batching.size
        batching.answered(size, 0.006 + 0.000012 * size + generator.expovariate(50.0) * (generator.random() < 0.7))
        rows, requests = rows + size, requests + 1
    assert requests < 200


@given(bears=st.integers(1, 1100), requests=st.integers(30, 400))
def test_ends_at_what_the_container_bears(bears: int, requests: int) -> None:
    sizes = used(Batching(), 0.0001, 1e-7, requests, bears)
    settled = [size for size in sizes[25:] if size <= bears]
    refused = [size for size in sizes[25:] if size > bears]
    assert all(size >= min(bears, MOST) // 2 for size in settled)
    assert len(refused) <= 8 * (1 + requests // PROBE_AFTER)
    assert sum(settled) >= 0.75 * len(settled) * min(bears, MOST)


def test_a_bound_is_tried_again_ever_more_seldom() -> None:
    sizes = used(Batching(), 0.0001, 1e-7, 4000, bears=100)
    refused = [number for number, size in enumerate(sizes) if size > 100]
    assert 1 <= sum(number > 2000 for number in refused) <= 12
    assert len(refused) <= 40


def test_a_bound_that_was_none_is_forgotten() -> None:
    batching = Batching()
    for size in (64, 32, 16, 8, 4, 2):
        batching.refused(size)
    assert batching.size == 1
    sizes = used(batching, 0.0001, 1e-7, 3 * PROBE_AFTER)
    assert sizes[-1] == MOST


def test_one_that_succeeds_at_a_refused_size_is_believed() -> None:
    batching = Batching()
    batching.refused(64)
    assert batching.size == 32
    batching.answered(64, 0.0001)  # was under way
    assert batching.size == 128


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 2048), st.floats(0, 100, allow_nan=False)), max_size=200))
def test_a_size_is_always_one_to_most(ends: list[tuple[bool, int, float]]) -> None:
    batching = Batching()
    for is_answered, records, seconds in ends:
        if is_answered:
            batching.answered(records, seconds)
        else:
            batching.refused(records)
        assert 1 <= batching.size <= MOST


def test_a_setting_says_how_long_a_request_may_take() -> None:
    sizes = []
    for batch_s in (0.002, 0.02, 0.2):
        batching = Batching(batch_s)
        batching.answered(1, 0.0002)
        sizes.append(used(batching, 0.0001, 0.0001, 60)[-1])
    assert [round(size / 100) for size in sizes] == [0, 1, 8]
    assert max(0.0001 + 0.0001 * size for size in sizes) <= 0.2
