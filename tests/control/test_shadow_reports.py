"""The sum of what gateways counted: each life of each counts once, whatever is repeated or lost on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.control.shadow_reports import MOST_LIVES, ShadowReports
from mooring.hosting.comparisons import MOST_EXAMPLES, bucket, middle, percentile
from mooring.shadow.tally import Tally
from mooring.upstream.call import Failure

NAMES = {"production": "p", "shadow": "s"}


def tally(answers: int, broken: int = 0) -> Tally:
    made = Tally()
    for _ in range(answers):
        made.copied += 1
        made.production.answered(200, 0.001)
        made.shadow.answered(200, 0.002)
        made.agreement["same"] += 1
    for _ in range(broken):
        made.copied += 1
        made.shadow.failed(Failure.BROKEN)
    return made


def report(made: Tally, life: str = "copier 1", comparison: str = "uid/1") -> dict[str, Any]:
    return {"comparison": comparison, "life": life, "names": NAMES, "counted": made.to_document()}


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 5)), max_size=20))
def test_lives_count_once_however_often_they_tell(told: list[tuple[str, int, int]]) -> None:
    reports = ShadowReports(Path("none"))
    counted: dict[tuple[str, int], int] = {}
    for gateway, life, more in told:
        now = counted[gateway, life] = counted.get((gateway, life), 0) + more
        for _ in range(2):
            reports.heard(gateway, [report(tally(now), f"copier {life}")])
    found = reports.of("uid", 1)
    if not told:
        assert found is None
        return
    assert found is not None
    assert found["copied"] == found["agreement"]["same"] == found["shadow"]["answers"] == sum(counted.values())


def test_they_outlive_control_and_end_with_their_generation(tmp_path: Path) -> None:
    path = tmp_path / "counts.json"
    reports = ShadowReports(path)
    reports.load()
    reports.heard(
        "g", [report(tally(3, broken=1)), report(tally(5), comparison="uid/2"), report(tally(1), comparison="b/1")]
    )
    reports.save()
    again = ShadowReports(path)
    again.load()
    found = again.of("uid", 1)
    assert found is not None
    assert (found["names"], found["copied"], found["shadow"]["broken"]) == (NAMES, 4, 1)
    assert found["production"]["p50_ms"] == pytest.approx(1.0, rel=0.05)
    again.keep_only({"uid": {2}})
    assert again.of("uid", 1) is None
    assert again.of("b", 1) is None
    assert again.of("uid", 2) is not None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"uid": 3}', '{"uid": {"1": {"names": {}, "counted": {"g": {}}}}}', "\xff"]
)
def test_a_spoiled_file_is_begun_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "counts.json"
    path.write_text(text, encoding="latin-1")
    reports = ShadowReports(path)
    reports.load()
    assert reports.of("uid", 1) is None
    reports.heard("g", [report(tally(1))])
    reports.save()


def test_what_is_no_report_is_refused_and_harms_nothing() -> None:
    reports = ShadowReports(Path("none"))
    reports.heard("g", [report(tally(2))])
    for spoiled in ({"copied": 1}, {**tally(1).to_document(), "shadow": None}):
        with pytest.raises((KeyError, TypeError)):
            reports.heard("g", [{**report(tally(1)), "counted": spoiled}])
    found = reports.of("uid", 1)
    assert found is not None
    assert found["copied"] == 2


def test_many_lives_are_added_up() -> None:
    reports = ShadowReports(Path("none"))
    for number in range(3 * MOST_LIVES):
        reports.heard(f"gateway {number}", [report(tally(1))])
    found = reports.of("uid", 1)
    assert found is not None
    assert found["copied"] == 3 * MOST_LIVES
    assert len(reports._held["uid"]["1"]["counted"]) <= MOST_LIVES + 1


def test_examples_are_the_newest_and_few() -> None:
    made = Tally()
    for number in range(3 * MOST_EXAMPLES):
        made.differs(None, f"r{number}", "it")
    document = made.to_document()
    assert [each["request_id"] for each in document["examples"]][-1] == f"r{3 * MOST_EXAMPLES - 1}"
    assert (len(document["examples"]), document["agreement"]["different"]) == (MOST_EXAMPLES, 3 * MOST_EXAMPLES)


@given(st.lists(st.floats(1e-6, 1e3), min_size=1), st.sampled_from([50, 90, 99, 100]))
def test_percentiles_are_within_a_bucket(seconds: list[float], percent: int) -> None:
    latencies: dict[int, int] = {}
    for each in seconds:
        latencies[bucket(each)] = latencies.get(bucket(each), 0) + 1
    exact = sorted(seconds)[max(0, -(-len(seconds) * percent // 100) - 1)]
    found = percentile(latencies, percent)
    assert found is not None
    assert abs(found - exact) <= 0.05 * exact + 1e-6
    assert bucket(middle(bucket(exact))) == bucket(exact)
