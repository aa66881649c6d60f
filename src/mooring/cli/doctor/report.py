"""Gathering the scene, and telling the findings: a table in a terminal, a line each elsewhere, or JSON."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mooring.cli import finding
from mooring.cli.client import client_of
from mooring.cli.doctor import examined
from mooring.cli.doctor.findings import Finding, Scene, Verdict
from mooring.cli.finding import Server
from mooring.cli.terminal import safe
from mooring.errors import MooringError

WIDTH = 120
_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


def report(url: str | None, data_dir: str | None, *, online: bool, as_json: bool) -> int:
    """Examine everything and print it; 1 when something fails."""
    findings = list(examined(scene_of(finding.find(url, data_dir), online=online)))
    counts = Counter(found.verdict for found in findings)
    if as_json:
        summary = {str(verdict): counts[verdict] for verdict in Verdict}
        print(json.dumps({"findings": [dataclasses.asdict(each) for each in findings], "counts": summary}, indent=2))
    elif sys.stdout.isatty():
        console = Console(highlight=False)
        console.width = min(console.width, WIDTH)
        console.print(_table(findings))
        console.print(_sum(counts))
    else:
        for found in findings:
            print(f"{found.verdict:<4} {found.area}: {found.name}: {_sentence(found)}")
        print(_sum(counts))
    return 1 if counts[Verdict.FAIL] else 0


def scene_of(server: Server, *, online: bool = False) -> Scene:
    """What is known of a server and of this process's environment before any check looks."""
    scene = Scene(dict(os.environ), server, server.paths, online=online)
    if server.url is None:
        return scene
    client = client_of(server)
    try:
        status = client.status()
    except MooringError as error:
        return dataclasses.replace(scene, silence=str(error))
    return dataclasses.replace(scene, status=status, skew_s=_skew(client.date))


def _skew(date: str | None) -> float | None:
    """How far a Date header is ahead of this machine's clock."""
    if date is None:
        return None
    try:
        return email.utils.parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None


def _table(findings: Iterable[Finding]) -> Table:
    table = Table("", "check", "finding", box=None, pad_edge=False)
    area = ""
    for found in findings:
        if found.area != area:
            table.add_row("", Text(found.area, style="bold"), "")
            area = found.area
        style = _STYLES[found.verdict]
        text = Text(safe(found.text), style="" if found.verdict is Verdict.OK else style)
        if found.advice:
            text.append(f"\n→ {safe(found.advice)}", style="dim")
        table.add_row(Text(str(found.verdict), style=style), f"  {found.name}", text)
    return table


def _sentence(found: Finding) -> str:
    text = " ".join(found.text.split())
    return f"{text} → {found.advice}" if found.advice else text


def _sum(counts: Counter[Verdict]) -> str:
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
