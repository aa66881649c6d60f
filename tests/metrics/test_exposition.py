"""`/metrics` as prometheus-client reads it, and Grafana's board against it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mooring.metrics.distributions import Distribution
from mooring.metrics.exposition import COUNTERS, GAUGES, HISTOGRAMS, SUMMARIES, exposition
from mooring.metrics.registry import Registry
from mooring.metrics.series import Point, Series, dimensions
from mooring.metrics.totals import Totals

BOARD = Path(__file__).parents[2] / "contrib" / "grafana" / "mooring.json"
NOW = 1_800_000_000


def series(name: str, namespace: str = "AWS/SageMaker", unit: str = "None", **dims: str) -> Series:
    return Series(
        "1", "us-east-1", namespace, name, dimensions({"EndpointName": "ep", "VariantName": "v", **dims}), unit
    )


def page(*points: Point, registry: Registry | None = None) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    totals = Totals()
    totals.add(points)
    told = {} if registry is None else {"control": registry.told()}
    text = exposition(totals.recent(NOW), told, NOW - 30).decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples
            samples[key] = sample.value
    return samples


def value(samples: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float:
    (found,) = [told for (known, own), told in samples.items() if known == name and labels.items() <= dict(own).items()]
    return found


def test_totals_grow_and_gauges_are_the_last() -> None:
    samples = page(
        Point(series("Invocations"), NOW, Distribution.repeated(1.0, 5)),
        Point(series("Invocations"), NOW, Distribution.repeated(1.0, 2)),
        Point(series("Invocation5XXErrors"), NOW, Distribution.weighted([(0, 5), (1, 2)])),
        Point(series("CPUUtilization", "/aws/sagemaker/Endpoints", "Percent"), NOW, Distribution.of([1.0])),
        Point(series("CPUUtilization", "/aws/sagemaker/Endpoints", "Percent"), NOW, Distribution.of([50.0, 70.0])),
        Point(series("TimeInBacklog", unit="Milliseconds"), NOW, Distribution.of([3.0, 4.0])),
        Point(series("old"), NOW - 90_000, Distribution.of([1.0])),
    )
    assert value(samples, "mooring_invocations_total", endpoint="ep", variant="v", region="us-east-1") == 7
    assert value(samples, "mooring_invocation_5xx_errors_total") == 2
    assert value(samples, "mooring_cpu_utilization_percent") == 60
    assert value(samples, "mooring_time_in_backlog_sum") == 7
    assert value(samples, "mooring_time_in_backlog_count") == 2
    assert not [name for name, _ in samples if "old" in name]


def test_the_gauges_of_what_is_gone_are_not_told() -> None:
    def cpu(at: int, variant: str) -> Point:
        of_variant = series("CPUUtilization", "/aws/sagemaker/Endpoints", "Percent", VariantName=variant)
        return Point(of_variant, at, Distribution.of([50.0]))

    gone = Point(series("Invocations", VariantName="gone"), NOW - 31, Distribution.repeated(1.0, 5))
    samples = page(cpu(NOW - 31, "gone"), cpu(NOW - 30, "here"), gone)
    assert {(name, dict(labels)["variant"]) for name, labels in samples} == {
        ("mooring_cpu_utilization_percent", "here"),
        ("mooring_invocations_total", "gone"),
    }


def test_calls_of_an_update_are_told_once() -> None:
    samples = page(
        Point(series("Invocations"), NOW, Distribution.repeated(1.0, 5)),
        Point(series("Invocations", EndpointConfigName="new"), NOW, Distribution.repeated(1.0, 2)),
        Point(series("ModelLatency", EndpointConfigName="new"), NOW, Distribution.of([3.0])),
    )
    assert sum(samples.values()) == 5


@given(st.lists(st.floats(1, 9e7), min_size=1, max_size=50))
def test_a_histograms_counts_are_exact(values: list[float]) -> None:
    samples = page(Point(series("ModelLatency", unit="Microseconds"), NOW, Distribution.of(values)))
    assert value(samples, "mooring_model_latency_seconds_count") == len(values)
    assert value(samples, "mooring_model_latency_seconds_sum") == pytest.approx(sum(values) / 1e6)
    for (name, labels), count in samples.items():
        if name.endswith("_bucket"):
            bound = float(dict(labels)["le"]) * 1e6
            # The bound is printed with six digits.
            assert (
                sum(each < bound * (1 - 1e-5) for each in values)
                <= count
                <= sum(each <= bound * (1 + 1e-5) for each in values)
            )


@given(st.text(max_size=20))
def test_any_label_is_told_as_it_is(text: str) -> None:
    registry = Registry()
    registry.add("things", "gauge", "Things.", lambda: {(("place", text),): 2.5})
    if "\r" in text or any(ch in text for ch in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        return  # the parser splits lines at these
    assert value(page(registry=registry), "mooring_things", place=text, process="control") == 2.5


def told_names() -> set[str]:
    """Every name that a Mooring can tell on its page."""
    names = {f"mooring_{name}" for name, _ in (*COUNTERS.values(), *GAUGES.values())}
    for name, _ in HISTOGRAMS.values():
        names |= {f"mooring_{name}_{suffix}" for suffix in ("bucket", "sum", "count")}
    for name, _ in SUMMARIES.values():
        names |= {f"mooring_{name}_{suffix}" for suffix in ("sum", "count")}
    root = Path(__file__).parents[2] / "src" / "mooring"
    sources = "".join(path.read_text() for path in (root / "gateway/process.py", root / "control/census.py"))
    return names | {f"mooring_{name}" for name in re.findall(r'registry\.add\(\s*"(\w+)"', sources)}


def test_explanations_are_told_of_by_their_errors() -> None:
    samples = page(
        Point(series("ExplanationsPerInstance"), NOW, Distribution.repeated(0.5, 3)),
        Point(series("ExplanationRelativeError"), NOW, Distribution.of([0.25, 0.5, 0.0])),
    )
    labels = {"region": "us-east-1", "endpoint": "ep", "variant": "v"}
    assert value(samples, "mooring_explanation_relative_error_sum", **labels) == 0.75
    assert value(samples, "mooring_explanation_relative_error_count", **labels) == 3
    assert len(samples) == 2


def test_the_board_asks_for_what_is_told() -> None:
    board = json.loads(BOARD.read_text())
    assert board["schemaVersion"] >= 36
    assert {"title", "uid", "panels", "templating", "time"} <= board.keys()
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    queries += [each["definition"] for each in board["templating"]["list"] if each["type"] == "query"]
    assert len(queries) > 15
    asked = {name for query in queries for name in re.findall(r"\bmooring_\w+", query)}
    assert asked <= told_names()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        assert panel["targets"]
        assert all(each["datasource"]["uid"] == "${datasource}" for each in (panel, *panel["targets"]))
