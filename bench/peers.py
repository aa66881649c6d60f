"""Section `peers`: what people would pick instead, beside the whole of Mooring, all serving the same echo.

Every model takes JSON apart and puts it together again. Peers run as their documentation starts them, on their own
servers, in environments of their own; a peer that cannot be installed or started has a row that says why. Mooring is
`mooring serve`, with a script that was deployed through boto3, with one instance and with two. Nothing is pinned.

Some peers are many processes that do something all the time, so peers run one after the other, each loaded in turn with
Mooring round by round, and a peer's processes are stopped (SIGSTOP) while Mooring is measured. Mooring is not stopped
while a peer is: it does next to nothing without calls.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from candidates import Candidate, answer_of, free_port, tree
from ground import Ground
from loads import HEADERS, Call, Load, best_load
from peer_servers import PEERS, Herd, installed, started
from rounds import WARM_UP_S, Sample, measured, ratios, row, spread

ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "mooring-bench"
CONNECTIONS = (1, 32)
SECONDS = 2
"""Of one load: some peers answer a hundred requests a second."""
MOST_ROUNDS = 5
SCRIPT = b"""
import json
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept): return json.dumps(json.loads(body)), "application/json"
"""
ONE, TWO = "mooring, 1 instance", "mooring, 2 instances"
ENDPOINTS = {ONE: "one", TWO: "two"}

Rows = dict[int, dict[str, dict[str, list[Sample]]]]
"""By connections, then by peer, what it and Mooring beside it did."""


@contextlib.contextmanager
def mooring() -> Iterator[list[Candidate]]:
    """`mooring serve` with both endpoints."""
    from figures import create_model, deploy, server  # its own figures need scikit-learn

    with server() as at:
        at.client("s3").create_bucket(Bucket="bench")
        create_model(at, "echo", {"code/inference.py": SCRIPT})
        deploy(at, ENDPOINTS[ONE], ["echo"], 1)
        deploy(at, ENDPOINTS[TWO], ["echo"], 2)
        time.sleep(1)  # what starts a process is over
        yield [Candidate(name, at.port, tuple(tree(at.process.pid))) for name in (ONE, TWO)]


def run(ground: Ground) -> Iterator[str]:
    """Peer after peer."""
    rows: Rows = {connections: {} for connections in CONNECTIONS}
    failed = dict[str, str]()
    with mooring() as ours:
        loads = {
            each.name: best_load(ground.directory, Call(f"/endpoints/{ENDPOINTS[each.name]}/invocations", HEADERS),
                                 core=None)
            for each in ours
        }  # fmt: skip
        for peer in PEERS:
            try:
                python = installed(peer, ground.environments)
                with started(peer, python, ground.place("peer"), free_port()) as herd:
                    load = best_load(ground.directory, peer.call, core=None)
                    check_echo(herd.port, peer.call)
                    for connections in CONNECTIONS:
                        rows[connections][peer.title] = beside(ground, herd, load, ours, loads, connections)
            except (OSError, subprocess.SubprocessError, SystemExit) as error:
                failed[peer.title] = " ".join(str(error).split())[:200]
    for connections in CONNECTIONS:
        many = "connection" if connections == 1 else "connections"
        rounds = min(ground.rounds, MOST_ROUNDS)
        yield f"wrk, {connections} {many}, bodies of 110 B; {rounds} rounds of {SECONDS} s; nothing pinned\n"
        yield peers_table(rows[connections], failed) + "\n"


def check_echo(port: int, call: Call) -> None:
    """End the benchmark of a peer that does not send back what it got."""
    answer = answer_of(port, call.message(port))
    if answer.status != 200 or b"5.1" not in answer.body:
        raise SystemExit(f"it answered {answer.status}: {answer.body[:300]!r}")


def beside(
    ground: Ground, herd: Herd, load: Load, ours: list[Candidate], loads: dict[str, Load], connections: int
) -> dict[str, list[Sample]]:
    """The samples of a peer and of Mooring beside it; the first round does not count."""
    samples: dict[str, list[Sample]] = {herd.name: [], ONE: [], TWO: []}
    for turn in range(min(ground.rounds, MOST_ROUNDS) + 1):
        seconds = SECONDS if turn else WARM_UP_S
        found = {herd.name: measured(herd.candidate(), load, seconds, connections)}
        with herd.stopped():
            found.update((each.name, measured(each, loads[each.name], seconds, connections)) for each in ours)
        if turn:
            for name, sample in found.items():
                samples[name].append(sample)
    return samples


def peers_table(rows: dict[str, dict[str, list[Sample]]], failed: dict[str, str]) -> str:
    """Medians; Mooring's own over all its rounds, and beside each peer those of that peer's rounds."""
    head = ["server", "req/s", "p50 µs", "p99 µs", "CPU µs/req", f"{ONE} × it, req/s", f"{TWO} × it, req/s"]
    lines = [row(head), row(["---"] * len(head))]
    for name in (ONE, TWO):
        everything = [sample for samples in rows.values() for sample in samples[name]]
        if everything:
            lines.append(row([name, *medians(everything), "", ""]))
    packages = {peer.title: ", ".join(peer.packages) for peer in PEERS}
    for title in packages:
        if title in rows:
            samples = rows[title]
            times = [spread(ratios(samples, name, title, "requests_per_s")) for name in (ONE, TWO)]
            lines.append(row([f"{title} ({packages[title]})", *medians(samples[title]), *times]))
        else:
            lines.append(row([f"{title} ({packages[title]})", failed.get(title, "not run"), *[""] * 5]))
    if rows:
        fastest = max(rows, key=lambda title: statistics.median(one.requests_per_s for one in rows[title][title]))
        best = spread(ratios(rows[fastest], ONE, fastest, "requests_per_s"))
        lines.append(f"\nThe fastest peer: {fastest}. Requests/s of {ONE} × it: {best}")
    return "\n".join(lines)


def medians(samples: list[Sample]) -> list[str]:
    """The figures of a row."""
    figures = {"requests_per_s": "{:.0f}", "p50_us": "{:.0f}", "p99_us": "{:.0f}", "cpu_us": "{:.0f}"}
    return [form.format(statistics.median(getattr(one, name) for one in samples)) for name, form in figures.items()]
