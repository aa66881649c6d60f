"""The neighbours process by itself: what ends it, and what it leaves alone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from mooring.http1.client import Answer, Interrupted, fetch
from mooring.neighbours.calls import FORM, Call
from mooring.neighbours.journal import Journal
from mooring.paths import Paths
from mooring.processes.lifeline import ORPHANED
from mooring.settings import RESOLVED, load

pytestmark = pytest.mark.timeout(60)
PROGRAM = "import sys, mooring.neighbours.process as p; sys.exit(p.main(sys.argv[1:]))"
HASTY_AT_A_SIGNAL = """
import signal, mooring.neighbours.process as p
signal.signal(signal.SIGUSR1, lambda *_: setattr(p, "CALL_LIMIT_S", 0.5))
"""
IMPATIENT = "from mooring.neighbours import journal; journal.PREDECESSOR_WAIT_S = 0.1\n"


@dataclass
class Running:
    process: subprocess.Popen[bytes]
    lifeline: int
    said: bytes
    address: str

    def ask(self, action: str, **members: str) -> Answer:
        body = urlencode({"Action": action, "Version": "2012-11-05", **members}).encode()
        headers = [(b"Content-Type", b"application/x-www-form-urlencoded"), (b"Host", b"h:1")]
        return asyncio.run(fetch(self.address, "POST", "/", headers, body, 20))


@contextmanager
def neighbours(data: Path, beforehand: str = "") -> Iterator[Running]:
    paths = Paths(data)
    paths.make_private_directories()
    lifeline_read, lifeline = os.pipe()
    ready, saying = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", beforehand + PROGRAM, "--lifeline-fd", str(lifeline_read), "--ready-fd", str(saying)],
        pass_fds=(lifeline_read, saying),
        env={
            "PATH": os.environ["PATH"],
            "TMPDIR": tempfile.gettempdir(),
            RESOLVED: load({}, data_dir=str(data)).to_json(),
        },
        stderr=subprocess.PIPE,
    )
    os.close(lifeline_read)
    os.close(saying)
    running = Running(process, lifeline, b"", str(paths.neighbours_socket))
    try:
        while chunk := os.read(ready, 4096):
            running.said += chunk
        yield running
    finally:
        process.kill()
        process.communicate()
        os.close(ready)
        if running.lifeline >= 0:
            os.close(running.lifeline)


def test_a_call_that_hangs_ends_the_process(tmp_path: Path) -> None:
    with neighbours(tmp_path / "data", HASTY_AT_A_SIGNAL) as running:
        assert running.said == b"1"
        assert running.ask("CreateQueue", QueueName="a" * 40 + "b").status == 200
        running.process.send_signal(signal.SIGUSR1)
        with pytest.raises(Interrupted):
            running.ask("ListQueues", QueueNamePrefix="(a+)+$")  # a regular expression to moto, and one without an end
        _, told = running.process.communicate(timeout=10)
        assert running.process.returncode == 1
        assert b"Timeout" in told
        assert b"list_queues" in told
    with neighbours(tmp_path / "data") as running:
        assert b"a" * 40 + b"b" in running.ask("ListQueues").body


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_it_is_killed_first_when_memory_ends(tmp_path: Path) -> None:
    with neighbours(tmp_path / "data") as running:
        assert Path(f"/proc/{running.process.pid}/oom_score_adj").read_text() == "1000\n"


def test_it_goes_at_once_when_its_lifeline_closes(tmp_path: Path) -> None:
    with neighbours(tmp_path / "data") as running:
        os.close(running.lifeline)
        running.lifeline = -1
        assert running.process.wait(20) == ORPHANED


def test_a_second_one_waits_for_the_first_and_then_says_so(tmp_path: Path) -> None:
    with neighbours(tmp_path / "data") as running:
        assert running.said == b"1"
        with neighbours(tmp_path / "data", IMPATIENT) as second:
            assert second.said.endswith(b"neighbours.journal is in use by another process")
            assert second.process.wait(20) == 1
        assert running.ask("ListQueues").status == 200


def test_a_record_of_a_newer_mooring(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    paths.make_private_directories()
    journal = Journal.open(paths.neighbours_journal)
    journal.append({"at": 1.0, "seed": 1, "invocation": "", "call": {"service": "sqs", "newer": True}})
    journal.close()
    with neighbours(tmp_path / "data") as running:
        assert running.said == b"record 1 of the neighbours' journal was written by a newer Mooring"


def test_what_moto_no_longer_does_costs_only_itself(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    paths.make_private_directories()
    journal = Journal.open(paths.neighbours_journal)
    for operation, body in (
        ("CreateQueue", "Action=CreateQueue&QueueName=before"),
        ("CreateQueue", "Action=CreateQueue&QueueName=not+a+name"),
        ("Vanished", "Action=Vanished"),
        ("CreateQueue", "Action=CreateQueue&QueueName=after"),
    ):
        call = Call("sqs", "000000000000", "us-east-1", "", operation, "h", "/", FORM, body)
        journal.append({"at": 1.0, "seed": 1, "invocation": "", "call": call.to_document()})
    journal.close()
    with neighbours(tmp_path / "data") as running:
        listed = running.ask("ListQueues").body
        assert (listed.count(b"<QueueUrl>"), b"/before<" in listed, b"/after<" in listed) == (2, True, True)
        running.process.kill()
        _, told = running.process.communicate(timeout=10)
    assert told.count(b"worked once and does no longer") == 2
