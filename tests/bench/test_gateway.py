"""The gateway's benchmark: what its tables say of the rounds, and that what is wrong ends it. No figure is judged."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.append(str(BENCH))

from candidates import Candidate  # noqa: E402
from loads import Call, OwnLoad  # noqa: E402
from rounds import Sample, measured, table  # noqa: E402
from small import DIRECT, added_table  # noqa: E402

CALL = Call("/endpoints/bench/invocations", {"Content-Type": "application/json"})


def sample(*, cpu_us: float = 10.0, p50_us: float = 100.0) -> Sample:
    return Sample(1000.0, 0.1, p50_us, 300.0, cpu_us)


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]


def test_a_ratio_is_of_one_round_and_not_of_medians() -> None:
    """A machine that is slow in one round is slow for both: 10/5, 100/50 and 30/10 are 2, 2 and 3."""
    samples = {
        "nginx": [sample(cpu_us=each) for each in (5.0, 50.0, 10.0)],
        "mooring": [sample(cpu_us=each) for each in (10.0, 100.0, 30.0)],
    }
    head, rule, *rows = cells(table(samples, "gateway", "nginx"))
    assert head == ["gateway", "req/s", "p50 µs", "p99 µs", "CPU µs/req", "CPU × nginx"]
    assert len(rule) == len(head)
    assert rows[0] == ["nginx", "1000", "100", "300", "10.0", "1.00 (1.00 to 1.00)"]
    assert rows[1] == ["mooring", "1000", "100", "300", "30.0", "2.00 (2.00 to 3.00)"]


def test_without_the_baseline_there_is_no_ratio() -> None:
    text = table({"mooring": [sample()]}, "gateway", "nginx")
    assert cells(text)[0][-1] == "CPU µs/req"
    assert "no ratio" in text


def test_added_latency_is_over_the_replica_in_the_same_round() -> None:
    samples = {
        DIRECT: [sample(p50_us=each) for each in (20.0, 40.0)],
        "nginx": [sample(p50_us=each) for each in (120.0, 140.0)],
        "mooring": [sample(p50_us=each) for each in (140.0, 160.0)],
    }
    rows = {row[0]: row for row in cells(added_table(samples))}
    assert rows[DIRECT][3:] == ["", ""]
    assert rows["mooring"][3:] == ["120 (120 to 120)", "1.20 (1.20 to 1.20)"]


@contextmanager
def answering(*answers: tuple[int, bytes]) -> Iterator[Candidate]:
    """A server that gives these answers in turn, and the last one from then on."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield Candidate("it", server.server_address[1], ())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (((500, b"bad"),), "answered 500"),
        (((200, b"good"), (200, b"good"), (500, b"bad")), "requests failed: status"),
        (((200, b"good"), (200, b"x" * 1000)), "answers had .* bytes each"),
    ],
)
def test_what_is_wrong_ends_the_run(answers: tuple[tuple[int, bytes], ...], said: str) -> None:
    with answering(*answers) as candidate, pytest.raises(SystemExit, match=said):
        measured(candidate, OwnLoad([CALL]), 1, 1)


def test_what_is_right_is_counted() -> None:
    with answering((200, b"good")) as candidate:
        found = measured(candidate, OwnLoad([CALL]), 1, 1)
    assert found.requests_per_s > 0
    assert found.mb_per_s == pytest.approx(found.requests_per_s * len(CALL.body) / 1e6)
    assert found.p50_us <= found.p99_us


def test_it_tells_how_it_is_used_and_which_sections_there_are() -> None:
    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, BENCH / "gateway.py", *flags], capture_output=True, text=True, check=False
        )

    told = run("--help")
    assert (told.returncode, told.stderr) == (0, "")
    for section in ("small", "latency", "bodies", "features", "workers", "memory", "peers"):
        assert section in told.stdout
    refused = run("--sections", "small,nothing")
    assert refused.returncode == 2
    assert "no such section: nothing" in refused.stderr
