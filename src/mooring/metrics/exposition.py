"""`/metrics`: totals in Prometheus' text format, version 0.0.4.

Written here and not by prometheus-client, whose counters live in one process: these are totals of many, and of the
library only the writing of these lines would be left. Tests read them with its parser.

The buckets of a histogram are bounds of ours, the first at or above each of `BOUNDS_US`: the counts up to them are
exact, also across gateways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mooring.metrics.distributions import Distribution, at_most, key_of, upper_bound
from mooring.metrics.registry import Told
from mooring.metrics.series import Point, Series

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
PREFIX = "mooring_"
BOUNDS_US = (50, 100, 250, 500, 1e3, 2.5e3, 5e3, 1e4, 2.5e4, 5e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 3e7, 6e7)
_KEYS = [key_of(bound) for bound in BOUNDS_US]
_LABELS = {"EndpointName": "endpoint", "VariantName": "variant", "InferenceComponentName": "inference_component"}

COUNTERS = {
    "Invocations": ("invocations_total", "Calls that were sent to a variant, or found none of its replicas."),
    "Invocation4XXErrors": ("invocation_4xx_errors_total", "Calls that the model answered with 4xx."),
    "Invocation5XXErrors": ("invocation_5xx_errors_total", "Calls that the model answered with 5xx, or not at all."),
    "InvocationModelErrors": ("invocation_model_errors_total", "Calls that were not answered with 2xx."),
}
HISTOGRAMS = {
    "ModelLatency": ("model_latency_seconds", "From the sending of a call to its replica until the answer."),
    "OverheadLatency": ("overhead_latency_seconds", "What Mooring adds to the model's time."),
}
SUMMARIES = {
    "ExplanationRelativeError": (
        "explanation_relative_error",
        "Of each explained record, how far its attributions are from exact ones, as estimated.",
    ),
}
GAUGES = {
    "CPUUtilization": ("cpu_utilization_percent", "Of a replica; 100 is one processor."),
    "MemoryUtilization": ("memory_utilization_percent", "Of a replica; 100 is the machine's memory."),
    "DiskUtilization": ("disk_utilization_percent", "Of the disk that the data directory is on."),
    "GPUUtilization": ("gpu_utilization_percent", "Of the GPUs that a replica uses; 100 is one GPU."),
    "GPUMemoryUtilization": ("gpu_memory_utilization_percent", "Of a replica; 100 is the memory of one GPU."),
}
_LEFT_OUT = frozenset({"InvocationsPerInstance", "ExplanationsPerInstance"})
"""What a query says as well."""
_PARTS = frozenset({"EndpointConfigName"})
"""Dimensions of series whose values another series has too: sums over labels would count them twice."""


class Family(NamedTuple):
    """One name, its type and help, and its lines."""

    kind: str
    help: str
    lines: list[str]


def exposition(
    totals: Iterable[tuple[Series, Distribution, Point]], processes: Mapping[str, Iterable[Told]], measured_since: float
) -> bytes:
    """Everything, a family after the other; of what was measured last before `measured_since` no gauge."""
    families: dict[str, Family] = {}
    for series, total, last in sorted(totals, key=lambda each: each[0]):
        if series.name in GAUGES and last.at < measured_since:
            continue
        if not _PARTS.isdisjoint(name for name, _ in series.dimensions):
            continue
        _add(families, series, total, last)
    for process, told in processes.items():
        for name, kind, text, values in told:
            family = families.setdefault(PREFIX + _safe(name), Family(kind, text, []))
            family.lines.extend(
                f"{PREFIX}{_safe(name)}{_labels([*labels, ('process', process)])} {_number(value)}"
                for labels, value in values
            )
    lines = []
    for name, family in families.items():
        lines += [f"# HELP {name} {_escaped_help(family.help)}", f"# TYPE {name} {family.kind}", *family.lines]
    return ("\n".join(lines) + "\n").encode()


def _add(families: dict[str, Family], series: Series, total: Distribution, last: Point) -> None:
    if series.name in _LEFT_OUT:
        return
    labels = [("region", series.region)]
    labels += [(_LABELS.get(name) or _safe(_snake(name)), value) for name, value in series.dimensions]
    if series.name in COUNTERS:
        short, text = COUNTERS[series.name]
        family = families.setdefault(PREFIX + short, Family("counter", text, []))
        family.lines.append(f"{PREFIX}{short}{_labels(labels)} {_number(total.total)}")
    elif series.name in HISTOGRAMS:
        short, text = HISTOGRAMS[series.name]
        family = families.setdefault(PREFIX + short, Family("histogram", text, []))
        family.lines.extend(_histogram(PREFIX + short, labels, total))
    elif series.name in GAUGES:
        short, text = GAUGES[series.name]
        family = families.setdefault(PREFIX + short, Family("gauge", text, []))
        family.lines.append(f"{PREFIX}{short}{_labels(labels)} {_number(last.seen.total / last.seen.count)}")
    else:
        unit = "" if series.unit in ("None", "Count") else f" in {series.unit}"
        other = _safe(_snake(series.name)), f"CloudWatch's {series.name}{unit}."
        short, text = SUMMARIES.get(series.name, other)
        name = PREFIX + short
        family = families.setdefault(name, Family("summary", text, []))
        told = (("_sum", total.total), ("_count", total.count))
        family.lines.extend(f"{name}{suffix}{_labels(labels)} {_number(value)}" for suffix, value in told)


def _histogram(name: str, labels: list[tuple[str, str]], total: Distribution) -> list[str]:
    counts = at_most(total.buckets or {}, _KEYS)
    lines = [
        f"{name}_bucket{_labels([*labels, ('le', f'{upper_bound(key) / 1e6:.6g}')])} {_number(count)}"
        for key, count in zip(_KEYS, counts, strict=True)
    ]
    return [
        *lines,
        f"{name}_bucket{_labels([*labels, ('le', '+Inf')])} {_number(total.count)}",
        f"{name}_sum{_labels(labels)} {_number(total.total / 1e6)}",
        f"{name}_count{_labels(labels)} {_number(total.count)}",
    ]


def _labels(labels: Iterable[tuple[str, str]]) -> str:
    told = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{told}}}" if told else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _safe(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", name)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _escaped_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")
