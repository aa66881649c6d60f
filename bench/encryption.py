"""What encryption costs in the embedded S3: plain, AES256 and aws:kms, in turn, round by round.

    python bench/encryption.py --rounds 5

Starts one server, and puts and gets objects of four sizes over one kept connection. For each it prints the median time
of a request and what the objects process (and control, for the keys) spends of CPU, as medians of the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

MOORING = Path(sys.executable).with_name("mooring")
TICKS = os.sysconf("SC_CLK_TCK")
KINDS = {"plain": {}, "AES256": {"x-amz-server-side-encryption": "AES256"}}
KINDS["aws:kms"] = {"x-amz-server-side-encryption": "aws:kms"}
SIZES = {"200 B": (200, 300), "10 kB": (10_000, 300), "1 MB": (1_000_000, 60), "64 MB": (64_000_000, 3)}
"""Bytes, and requests of a round."""


@contextlib.contextmanager
def serving(root: Path) -> Iterator[str]:
    """A server, and its URL."""
    process = subprocess.Popen(
        [MOORING, "serve", "--port", "0", "--data-dir", root], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        told = root / "run" / "server.json"
        while True:
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(told.read_text())["url"]
                return
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(30)


def pids(root: Path) -> dict[str, int]:
    """The processes that take part."""
    done = subprocess.run([MOORING, "status", "--json", "--data-dir", root], capture_output=True, check=True)
    return {each["name"]: each["pid"] for each in json.loads(done.stdout)["processes"]}


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def asked(connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, headers: dict) -> float:
    """Seconds that one request took."""
    begun = time.perf_counter()
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"{method} {path}: {answer.status}")
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory)) as url:
        known = pids(Path(directory))
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port)
        asked(connection, "PUT", "/bench", b"", {})
        print("| size | request | " + " | ".join(f"{kind}, ms | CPU ms" for kind in KINDS) + " |")
        print("| --- | --- |" + " ---: |" * 2 * len(KINDS))
        for name, (size, count) in SIZES.items():
            found = measured(connection, known, size, count, rounds)
            for method in ("PUT", "GET"):
                cells = [f"{found[method, kind][0]:.2f} | {found[method, kind][1]:.2f}" for kind in KINDS]
                print(f"| {name} | {method} | " + " | ".join(cells) + " |")


def measured(
    connection: http.client.HTTPConnection, known: dict[str, int], size: int, count: int, rounds: int
) -> dict[tuple[str, str], tuple[float, float]]:
    """Milliseconds and CPU milliseconds of a request, by method and kind."""
    body, rows = os.urandom(1000) * (size // 1000) + b"x" * (size % 1000), {}
    for _ in range(rounds):
        for kind, headers in KINDS.items():
            for method in ("PUT", "GET"):
                before = sum(cpu(known[name]) for name in ("objects", "control"))
                sent = (body, headers) if method == "PUT" else (None, {})
                times = [asked(connection, method, f"/bench/{kind}-{size}", *sent) for _ in range(count)]
                spent = sum(cpu(known[name]) for name in ("objects", "control")) - before
                rows.setdefault((method, kind), []).append((statistics.median(times), spent / count))
    return {
        key: tuple(statistics.median(column) * 1000 for column in zip(*row, strict=True)) for key, row in rows.items()
    }


if __name__ == "__main__":
    main()
