"""What control can tell a person: how things are, and what the replicas said.

Everything here only looks. Log positions travel to the caller as an opaque token, so that following a log needs no
state on this side.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mooring import __version__
from mooring.control.capturing import CaptureState
from mooring.control.endpoint_worker import EndpointWorker
from mooring.engines.limits import Limits
from mooring.engines.logs import read_after, stream_of
from mooring.hosting.async_jobs import Backlog
from mooring.hosting.capturing import capture_of
from mooring.hosting.endpoints import EndpointRecord, VariantState
from mooring.hosting.explaining import wanted_explainer
from mooring.hosting.rollout.progress import told
from mooring.hosting.serverless import is_serverless, max_concurrency
from mooring.paths import Paths
from mooring.processes import audit_log
from mooring.settings import AuditSettings, TlsSettings

LOG_BYTES_A_CALL = 256 * 1024
FORGOTTEN_LOGS_AFTER_S = 7 * 86_400.0
_PROC = Path("/proc")
_PROGRAMS = {
    b"mooring.objects": "objects",
    b"mooring.shadow.copier": "copier",
    b"mooring.traces.exporter": "exporter",
    b"mooring.explainer.process": "solver",
}


def endpoint_status(record: EndpointRecord, worker: EndpointWorker | None) -> dict[str, Any]:
    """One endpoint for `mooring status`."""
    return {
        "name": record.name,
        "region": record.scope.region,
        "account": record.scope.account,
        "status": record.status,
        "failure_reason": record.failure_reason,
        "deployment": told(record, record),
        "variants": [_variant_status(variant, worker) for variant in _variants(record)],
    }


def capture_status(record: EndpointRecord, state: CaptureState | None) -> dict[str, Any] | None:
    """Data capture of one endpoint; None where nothing is captured and nothing waits."""
    if state is None and capture_of(record.config) is None:
        return None
    return (state or CaptureState()).to_document()


def backlog_status(record: EndpointRecord, backlog: Backlog | None) -> dict[str, int] | None:
    """What the queue of an asynchronous endpoint holds; None for any other."""
    if "AsyncInferenceConfig" not in record.config:
        return None
    return {
        "waiting": 0 if backlog is None else backlog.waiting,
        "in_process": 0 if backlog is None else backlog.in_process,
    }


def explanations_status(record: EndpointRecord) -> dict[str, Any] | None:
    """Which of its answers an endpoint explains, all without an expression; None for one that explains none."""
    explainer = wanted_explainer(record.config)
    return None if explainer is None else {"expression": explainer.get("EnableExplanations")}


def _variants(record: EndpointRecord) -> Iterable[VariantState]:
    """Those of the endpoint's config, and those that only an update brings: each name once, with all its replicas."""
    others = [each.variants for each in (record.rollout, record.remnant) if each is not None]
    return {each.name: each for variants in (*others, record.variants) for each in variants}.values()


def _variant_status(variant: VariantState, worker: EndpointWorker | None) -> dict[str, Any]:
    lives = [life for life in worker.fleet.lives if life.variant == variant.name] if worker is not None else []
    return {
        "name": variant.name,
        "shadow": variant.shadow,
        "current_weight": variant.current_weight,
        "desired_weight": variant.desired_weight,
        "current_count": variant.current_count,
        "desired_count": variant.desired_count,
        "max_concurrency": max_concurrency(variant.config) if is_serverless(variant.config) else None,
        "replicas": [
            {
                "id": life.id,
                "generation": life.place.generation,
                "pid": life.replica.identity.pid if life.replica is not None else None,
                "state": life.state,
                "address": life.replica.address if life.replica is not None else None,
                "rss_bytes": _resident(life.replica.identity.pid) if life.replica is not None else None,
            }
            for life in lives
        ],
    }


def processes(
    gateways: Iterable[tuple[int, int]], zygotes: Iterable[tuple[str, int]], others: Iterable[tuple[str, int]]
) -> list[dict[str, Any]]:
    """The processes of this Mooring that are not replicas."""
    known = {os.getppid(): "supervisor", os.getpid(): "control"}
    for index, pid in gateways:
        known[pid] = f"gateway {index}"
        known.update({each: f"{name} {index}" for each in _children(pid) if (name := _program(each))})
    known.update({pid: f"zygote {framework}" for framework, pid in zygotes})
    known.update({pid: name for name, pid in others})
    for pid in _children(os.getppid()):
        known.setdefault(pid, _program(pid))
    return [{"name": name, "pid": pid, "rss_bytes": _resident(pid)} for pid, name in known.items() if name]


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in (_PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except (OSError, ValueError):
        return []


def _program(pid: int) -> str:
    """The program of a child; empty for what is none of ours to name (an adopted replica)."""
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    return next((name for module, name in _PROGRAMS.items() if module in arguments), "")


def _resident(pid: int) -> int | None:
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def log_lines(directory: Path, after: str | None) -> dict[str, Any]:
    """Lines of all replicas of an endpoint since the token `after`; a missing or broken token begins at the start."""
    offsets = _offsets(after)
    lines: list[dict[str, str]] = []
    for path in sorted(directory.glob("*/*.log"), key=lambda path: path.lstat().st_mtime):
        name = str(path.relative_to(directory))
        text, offsets[name] = read_after(path, offsets.get(name, 0), LOG_BYTES_A_CALL)
        lines += [{"variant": path.parent.name, "replica": stream_of(path), "text": line} for line in text.splitlines()]
    token = base64.urlsafe_b64encode(json.dumps(offsets, separators=(",", ":")).encode()).decode()
    return {"lines": lines, "next": token}


def _offsets(token: str | None) -> dict[str, int]:
    if not token:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(token))
        return {str(name): max(0, int(offset)) for name, offset in found.items()}
    except (ValueError, AttributeError, TypeError, OverflowError):
        return {}


def prune_logs(logs: Path, known: set[str]) -> None:
    """Remove logs of endpoints that are gone for a week: on AWS logs outlive their endpoint, here they must end."""
    for directory in logs.iterdir():
        if (
            directory.is_dir()
            and directory.name not in known
            and time.time() - directory.stat().st_mtime > FORGOTTEN_LOGS_AFTER_S
        ):
            shutil.rmtree(directory, ignore_errors=True)


def limits_status(limits: Limits) -> dict[str, Any]:
    """How serverless replicas are kept to what they may use, and why it is no better."""
    found = limits.found()
    return {"way": str(found.way), "why": found.why}


def tls_status(settings: TlsSettings, paths: Paths) -> dict[str, Any]:
    """`{"tls": …}` of a server that has it: the certificate that is served, and what is wrong with the files."""
    if not settings.certificate:
        return {}
    from mooring.processes import certificates  # ssl

    served, problem = certificates.facts(paths), certificates.problem(settings.certificate, settings.key, paths)
    if served is not None and problem is None:
        if served.not_after < time.time():
            problem = "the certificate has expired"
        elif settings.name and not certificates.is_for(settings.name, served.names):
            problem = f"the certificate is no longer for {settings.name}, as which this server is announced"
    return {
        "tls": {
            "certificate": settings.certificate,
            "names": list(served.names) if served is not None else [],
            "not_after": served.not_after if served is not None else None,
            "anchored": served is not None and served.anchored,
            "problem": problem,
        }
    }


def audit_status(settings: AuditSettings, paths: Paths) -> dict[str, Any]:
    """What is recorded where, and what could not be."""
    lost, last = audit_log.lost(paths)
    return {"level": settings.level, "file": str(paths.audit_log), "lost": lost, "lost_at": last if lost else None}


def heading(url: str, region: str, account: str, started_at: float, now: float) -> dict[str, Any]:
    """What `mooring status` says first."""
    return {"version": __version__, "url": url, "uptime_s": now - started_at, "account": account, "region": region}
