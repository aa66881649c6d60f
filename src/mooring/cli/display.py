"""`mooring status` for people."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mooring.cli.terminal import safe

_COLOURS = {"InService": "green", "Failed": "red", "UpdateRollbackFailed": "red", "healthy": "green"}
_UNBROKEN = 100_000


def show(status: dict[str, Any]) -> None:
    """Print the server, its endpoints and its processes."""
    # Without a terminal the width is a guess of 80; whoever reads a file or a pipe wants no line broken.
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else _UNBROKEN)
    uptime = _duration(float(status.get("uptime_s", 0)))
    console.print(
        f"Mooring {status.get('version')} at {status.get('url')}, up {uptime}, "
        f"account {status.get('account')}, region {status.get('region')}",
        markup=False,
    )
    if tls := status.get("tls"):
        console.print(_tls(tls))
    if lost := (status.get("audit") or {}).get("lost"):
        console.print(_lost(lost, status["audit"]))
    endpoints = status.get("endpoints", [])
    console.print(_endpoints(endpoints) if endpoints else "no endpoints")
    for endpoint in endpoints:
        if endpoint.get("deployment"):
            console.print(Text(f"{endpoint['name']}: {endpoint['deployment']}"))
        if endpoint.get("failure_reason"):
            # An update that was not begun, or was turned back, leaves its reason with an endpoint that serves.
            past = "the last update failed: " if endpoint.get("status") == "InService" else ""
            console.print(Text(f"{endpoint['name']}: {past}{endpoint['failure_reason']}", style="red"))
        if endpoint.get("asynchronous"):
            console.print(_backlog(endpoint["name"], endpoint["asynchronous"]))
        if endpoint.get("capture"):
            console.print(_capture(endpoint["name"], endpoint["capture"]))
        if endpoint.get("explanations"):
            console.print(_explanations(endpoint["name"], endpoint["explanations"]))
        for idle in endpoint.get("no_effect", []):
            console.print(Text(f"{endpoint['name']}: no effect yet: {idle}", style="yellow"))
    console.print(_processes(status.get("processes", [])))


def _tls(tls: dict[str, Any]) -> Text:
    names = ", ".join(map(str, tls.get("names", [])))
    until = datetime.fromtimestamp(float(tls.get("not_after") or 0), UTC).strftime("%Y-%m-%d")
    shown = Text(f"TLS for {names} until {until}")
    if tls.get("problem"):
        shown.append(f"\nTLS: {tls['problem']}", style="red")
    return shown


def _lost(count: int, audit: dict[str, Any]) -> Text:
    last = datetime.fromtimestamp(float(audit.get("lost_at") or 0), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    text = f"audit: {count} lines could not be written to {audit.get('file')}, the last at {last}"
    return Text(text, style="red")


def _backlog(endpoint: Any, backlog: dict[str, Any]) -> Text:
    return Text(f"{endpoint}: asynchronous, {backlog.get('waiting')} waiting, {backlog.get('in_process')} in process")


def _capture(endpoint: Any, capture: dict[str, Any]) -> Text:
    shown = Text(f"{endpoint}: {capture.get('taken')} records captured since control began")
    if waiting := capture.get("waiting_segments"):
        shown.append(f", {waiting} file{'' if waiting == 1 else 's'} on the way to S3")
    if lost := capture.get("not_taken"):
        shown.append(f", {lost} not taken", style="red")
    for problem in (capture.get("stopped"), capture.get("undelivered")):
        if problem:
            shown.append(f"\n{endpoint}: capture: {problem}", style="red")
    return shown


def _explanations(endpoint: Any, explanations: dict[str, Any]) -> Text:
    expression = explanations.get("expression")
    which = "all records" if expression is None else f"records for which {safe(str(expression))} is true"
    return Text(f"{endpoint}: explains {which}")


def _endpoints(endpoints: list[dict[str, Any]]) -> Table:
    table = Table("endpoint", "region", "status", "variant", "weight", "count", "replicas", box=None)
    for endpoint in endpoints:
        name = _text(endpoint.get("name"))
        region, status = _text(endpoint.get("region")), _text(endpoint.get("status"))
        variants = endpoint.get("variants", [])
        if not variants:
            table.add_row(name, region, status)
        for variant in variants:
            replicas = Text("\n").join(_replica(replica) for replica in variant.get("replicas", []))
            shown = _text(variant.get("name"))
            if variant.get("shadow"):
                shown.append(" (shadow)", style="dim")
            weight, count = _pair(variant, "weight"), _count(variant)
            table.add_row(name, region, status, shown, weight, count, replicas)
            name, region, status = Text(), Text(), Text()
    return table


def _processes(processes: list[dict[str, Any]]) -> Table:
    table = Table("process", "pid", "memory", box=None)
    for process in processes:
        table.add_row(_text(process.get("name")), _text(process.get("pid")), _megabytes(process.get("rss_bytes")))
    return table


def _replica(replica: dict[str, Any]) -> Text:
    state = str(replica.get("state", ""))
    pid = "" if replica.get("pid") is None else f" pid {replica['pid']}"
    memory = _megabytes(replica.get("rss_bytes"))
    return Text(f"{replica.get('id')} {state}{pid}{f' {memory}' if memory else ''}", style=_COLOURS.get(state, ""))


def _pair(variant: dict[str, Any], what: str) -> str:
    current, desired = variant.get(f"current_{what}"), variant.get(f"desired_{what}")
    return _plain(current) if current == desired else f"{_plain(current)} → {_plain(desired)}"


def _count(variant: dict[str, Any]) -> str:
    """Instances; of a serverless variant the replicas that there are, and the most that there may be."""
    most = variant.get("max_concurrency")
    return _pair(variant, "count") if most is None else f"{len(variant.get('replicas', []))} of {most}"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def _text(value: Any) -> Text:
    # Text, not str: a name must not be read as markup.
    return Text("" if value is None else str(value), style=_COLOURS.get(str(value), ""))


def _megabytes(value: Any) -> str:
    return f"{value / 1e6:.0f} MB" if isinstance(value, (int, float)) else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    shown = [f"{number} {unit}" for number, unit in parts if number][:2]
    return " ".join(shown) or "0 s"
