"""The server that runs: whether it answers, and what it has to say of its endpoints."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from mooring import __version__
from mooring.cli.doctor.findings import Finding, Scene, fail, ok, warn
from mooring.cli.terminal import safe

SKEW_S, TOO_MUCH_SKEW_S = 30.0, 300.0
"""AWS's signatures are good for five minutes."""
LONGEST_REASON = 300
SHORT_DAYS = 7
"""Left to a certificate whose renewal should have come."""


def reachable(scene: Scene) -> Iterable[Finding]:
    """Whether it answers."""
    if scene.status is not None:
        count = len(scene.status.get("endpoints", []))
        yield ok("server", f"answers at {scene.url}, {count} endpoint{'' if count == 1 else 's'}")
    elif scene.silence is not None:
        yield fail("server", scene.silence, "see its log, or `mooring stop` and `mooring serve`")
    elif scene.server.identity is not None:
        yield warn("server", f"{scene.server.where}: it is still starting", "try again in a moment")
    else:
        yield warn("server", f"none runs with {scene.server.where}", "`mooring serve` starts one")


def version(scene: Scene) -> Iterable[Finding]:
    """The same as this command's."""
    if scene.status is None:
        return
    theirs = str(scene.status.get("version"))
    if theirs == __version__:
        yield ok("version", f"{theirs}, server and command")
    else:
        text = f"the server is {theirs}, this command {__version__}"
        yield warn("version", text, "restart the server, or use the command of its environment")


def clock(scene: Scene) -> Iterable[Finding]:
    """The server's and this machine's agree."""
    if scene.skew_s is None:
        return
    skew = abs(scene.skew_s)
    text = f"the server's is {skew:.0f} s {'ahead' if scene.skew_s > 0 else 'behind'}"
    if skew >= TOO_MUCH_SKEW_S:
        yield fail("clock", text, "set the clocks: presigned URLs and signatures expire")
    elif skew >= SKEW_S:
        yield warn("clock", text, "set the clocks")
    else:
        yield ok("clock", "agrees with the server's")


def certificate(scene: Scene) -> Iterable[Finding]:
    """Of a server over TLS: whether its files are good, and for how long."""
    tls = (scene.status or {}).get("tls")
    if not tls:
        return
    left_days = (float(tls.get("not_after") or 0) - time.time()) / 86_400
    if tls.get("problem"):
        yield fail("certificate", safe(str(tls["problem"])), f"put {safe(str(tls.get('certificate')))} right")
    elif left_days < SHORT_DAYS:
        yield warn("certificate", f"it is good for {left_days:.0f} days more", "renew it; no restart is needed")
    else:
        yield ok("certificate", f"for {', '.join(map(safe, map(str, tls.get('names', []))))}")


def endpoints(scene: Scene) -> Iterable[Finding]:
    """Failed ones, those that lack healthy replicas, and those whose captured records are lost or wait."""
    if scene.status is None:
        return
    found: list[dict[str, Any]] = scene.status.get("endpoints", [])
    troubles = [trouble for endpoint in found for trouble in (*_troubles(endpoint), *_uncaptured(endpoint))]
    yield from troubles
    if found and not troubles:
        yield ok("endpoints", f"all {len(found)} as they should be")


def _troubles(endpoint: dict[str, Any]) -> Iterator[Finding]:
    name, status = safe(str(endpoint.get("name"))), str(endpoint.get("status"))
    if status == "Failed":
        reason = safe(" ".join(str(endpoint.get("failure_reason") or "").split()))
        if len(reason) > LONGEST_REASON:  # what happened is said in the end, AWS's words come first
            reason = f"{reason[: LONGEST_REASON // 3]} … {reason[-LONGEST_REASON // 3 * 2 :]}"
        advice = (
            f"`mooring logs {name}` and `mooring endpoints events {name}` say more; `mooring endpoints delete {name}`, "
            "then deploy again"
        )
        yield fail("endpoint", f"{name} is Failed: {reason}", advice)
        return
    if status == "UpdateRollbackFailed":
        yield fail(
            "endpoint", f"{name} serves with a part of each fleet: an update and its rollback failed", "update it"
        )
    if status == "OutOfService":  # somebody stopped it
        return
    for variant in endpoint.get("variants", []):
        healthy = sum(replica.get("state") == "healthy" for replica in variant.get("replicas", []))
        wanted = int(variant.get("desired_count") or 0)
        if healthy < wanted:
            text = f"{name} is {status}: {healthy} of {wanted} replicas of {safe(str(variant.get('name')))} are healthy"
            serves = status == "InService" and not variant.get("shadow")
            complain = fail if serves and healthy == 0 else warn
            yield complain("endpoint", text, f"`mooring logs {name}` and `mooring endpoints events {name}` say why")


def _uncaptured(endpoint: dict[str, Any]) -> Iterator[Finding]:
    name, capture = safe(str(endpoint.get("name"))), endpoint.get("capture") or {}
    advice = f"`mooring endpoints events {name}` says since when; see docs/data-capture.md"
    if capture.get("stopped"):
        yield fail("capture", f"{name}: no records are taken: {safe(str(capture['stopped']))}", advice)
    elif capture.get("not_taken"):
        yield warn("capture", f"{name}: {capture['not_taken']} records were not taken", advice)
    if capture.get("undelivered"):
        yield warn("capture", f"{name}: records wait: {safe(str(capture['undelivered']))}", advice)


def limits(scene: Scene) -> Iterable[Finding]:
    """How serverless replicas are kept to their memory."""
    found = (scene.status or {}).get("limits")
    if not found:
        return
    if found.get("way") == "cgroup":
        yield ok("limits", "serverless replicas have control groups of their own")
        return
    how = {"watchdog": "are watched four times a second"}.get(str(found.get("way")), "are not limited")
    yield warn(
        "limits",
        f"serverless replicas {how}: {safe(str(found.get('why')))}",
        "docs/serverless-limits.md says what is needed",
    )


def without_effect(scene: Scene) -> Iterable[Finding]:
    """Fields that were accepted and do nothing yet."""
    if scene.status is None:
        return
    for endpoint in scene.status.get("endpoints", []):
        fields = [safe(str(each)) for each in endpoint.get("no_effect", [])]
        if fields:
            text = f"{safe(str(endpoint.get('name')))}: {'; '.join(fields)}"
            yield warn("no effect", text, "it is accepted and stored, and nothing more")
