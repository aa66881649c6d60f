"""The audit log's file: whole lines whatever is in them, from many writers, bounded, and what a full disk costs."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.paths import Paths
from mooring.processes import audit_log
from mooring.processes.audit_log import AuditLog, AuditRecord, is_read, lost
from mooring.settings import AuditSettings


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "data")
    found.make_private_directories()
    return found


def record(**members: Any) -> AuditRecord:
    given: dict[str, Any] = {
        "service": "s3",
        "operation": "PutObject",
        "request_id": "r",
        "status": 200,
        "took_s": 0.0123,
    }
    return AuditRecord(**{**given, **members})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def test_a_line_says_who_did_what(paths: Paths) -> None:
    log = AuditLog(paths, AuditSettings(), "test")
    log.add(record(resource="arn:aws:s3:::b/k", key_id="AKIA", source="10.0.0.7", region="eu-west-1"))
    [line] = lines(paths.audit_log)
    assert line.pop("time").endswith("Z")
    assert line == {
        "request_id": "r",
        "key_id": "AKIA",
        "source": "10.0.0.7",
        "service": "s3",
        "region": "eu-west-1",
        "operation": "PutObject",
        "resource": "arn:aws:s3:::b/k",
        "status": 200,
        "duration_ms": 12.3,
    }
    assert paths.audit_log.stat().st_mode & 0o777 == 0o600
    assert AuditRecord("s", "o", "r", None, 0.0).line(1_700_000_000.5) == (
        b'{"time":"2023-11-14T22:13:20.500Z","request_id":"r","service":"s","operation":"o","status":null,"duration_ms":0.0}\n'
    )


@given(st.text(), st.text(), st.text(min_size=2000, max_size=3000))
def test_no_value_makes_another_line_or_a_long_one(operation: str, error: str, resource: str) -> None:
    source = "\n{}\r\x7f\x85\u2028"
    line = record(operation=operation, error=error, resource=resource, key_id=resource, source=source).line(0.0)
    assert line.endswith(b"\n")
    assert line[:-1].decode("ascii").isprintable()
    assert len(line) < 12 * (audit_log.LONGEST_RESOURCE + 4 * audit_log.LONGEST) + 300
    assert json.loads(line)["resource"] == resource[: audit_log.LONGEST_RESOURCE]


def test_many_writers_share_a_bounded_file(paths: Paths) -> None:
    settings = AuditSettings(limit_bytes=4096, keep=3)
    logs = [AuditLog(paths, settings, f"w{number}") for number in range(4)]

    def write(log: AuditLog, writer: int) -> None:
        for number in range(200):
            log.add(record(request_id=f"{writer}-{number}"))

    threads = [threading.Thread(target=write, args=(log, writer)) for writer, log in enumerate(logs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    files = sorted(paths.logs.glob("audit.jsonl*"))
    assert [file.name for file in files] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3"]
    seen = [line["request_id"] for file in files for line in lines(file)]
    assert len(seen) == len(set(seen))
    assert lost(paths) == (0, 0.0)
    for log in logs:
        log.close()


def test_nothing_is_lost_when_another_process_begins_a_new_file(paths: Paths) -> None:
    settings = AuditSettings(limit_bytes=2000, keep=1000)
    first, second = AuditLog(paths, settings, "a"), AuditLog(paths, settings, "b")
    for number in range(100):
        (first if number % 3 else second).add(record(request_id=str(number)))
    assert all(file.stat().st_size < 2300 for file in paths.logs.glob("audit.jsonl*"))
    seen = sorted(int(line["request_id"]) for file in paths.logs.glob("audit.jsonl*") for line in lines(file))
    assert seen == list(range(100))
    paths.audit_log.unlink()
    first.add(record(request_id="after"))
    assert [line["request_id"] for line in lines(paths.audit_log)] == ["after"]


def test_what_a_full_disk_refuses_is_counted(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(paths, AuditSettings(), "test")
    log.add(record(request_id="before"))
    whole = os.write

    def half(descriptor: int, data: bytes) -> int:
        return whole(descriptor, data[: len(data) // 2])

    def none(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        log.add(record(request_id="torn"))
        full.setattr(os, "write", none)
        log.write(record().line(0.0) * 3, 3)
    count, at = lost(paths)
    assert (count, at > 0) == (4, True)
    log.add(record(request_id="after"))
    assert json.loads(paths.audit_log.read_text().splitlines()[-1])["request_id"] == "after"
    assert lost(paths)[0] == 4
    assert AuditLog(paths, AuditSettings(), "test") is not None
    assert lost(paths) == (4, at), "a process that starts again goes on counting"


def test_what_is_no_file_is_not_waited_for(paths: Paths) -> None:
    os.mkfifo(paths.audit_log)
    log = AuditLog(paths, AuditSettings(), "test")
    log.add(record())
    assert lost(paths)[0] == 1
    paths.audit_log.unlink()
    paths.audit_log.symlink_to(paths.root / "elsewhere")
    log.add(record())
    assert lost(paths)[0] == 2
    assert not (paths.root / "elsewhere").exists()


@pytest.mark.parametrize(
    ("level", "read", "change"),
    [("off", False, False), ("changes", False, True), ("calls", True, True), ("all", True, True)],
)
def test_a_level_says_what_is_wanted(paths: Paths, level: str, read: bool, change: bool) -> None:
    log = AuditLog(paths, AuditSettings(level=level), "test")
    assert (log.wants("DescribeEndpoint"), log.wants("CreateEndpoint")) == (read, change)


def test_reads_are_known_by_their_names() -> None:
    assert all(map(is_read, ("GetObject", "HeadBucket", "ListModels", "FilterLogEvents", "GET /-/mooring/v1/status")))
    assert not any(
        map(is_read, ("-", "Getaway", "CreateModel", "AssumeRole", "DELETE /-/mooring/v1/endpoints/x", "Listen"))
    )
