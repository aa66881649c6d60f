"""Section `features`: what each feature adds to an invocation, beside the same gateway with none and beside nginx.

Every row is a gateway of its own: a route, settings, and what its surroundings must be. All get the same load: requests
in turn, signed as boto3 signs them, so that no row profits from a cache that only a repeated request would fill.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from candidates import ENDPOINT, REGION, Candidate, answer_of, tree
from gateways import gateway, route, variant
from ground import Ground, Upstream, upstream
from loads import HEADERS, Call, Load, best_load
from proxies import NGINX, proxy
from rounds import interleaved, probed, ratios, row, spread, table

from mooring.access.keys import AccessKey
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.routes import Route, RouteReplica, RouteShadow

KEY = AccessKey("MKIABENCHBENCHBENCH", "c2VjcmV0", "bench", None)
DIFFERENT = 64
"""Requests that are sent in turn."""
CONNECTIONS = 32
OFF = "no feature"


@dataclass(frozen=True)
class Feature:
    """One row."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[AccessKey, ...] = ()
    of_variant: Callable[[Upstream], Mapping[str, Any]] = lambda at: {}
    """What the route says of its variant besides."""
    api: str = "invocations"
    session: bool = False
    """Whether every call is in one that was opened before."""

    def route(self, at: Upstream) -> Route:
        """What control would publish."""
        return route(variant(at.unix, **self.of_variant(at)))


def captured(at: Upstream) -> Mapping[str, Any]:
    """All of each call, as JSON."""
    return {"capture": CaptureRoute("bench", "captured", 100, True, True, json_types=("application/json",))}


def shadowed(at: Upstream) -> Mapping[str, Any]:
    """A copy of each call to another replica."""
    return {"shadow": RouteShadow("Shadow", 1.0, "bench", (RouteReplica("shadow-0", at.unix),))}


FEATURES = (
    Feature(OFF),
    Feature("SigV4", keys=(KEY,)),
    Feature("capture of 100 %", of_variant=captured),
    Feature("SigV4 and capture of 100 %", keys=(KEY,), of_variant=captured),
    Feature("shadow of 100 %", of_variant=shadowed),
    Feature("SigV4, capture and shadow", keys=(KEY,), of_variant=lambda at: {**captured(at), **shadowed(at)}),
    Feature("a session", session=True),
    Feature("response stream", api="invocations-response-stream"),
    Feature("every call in the audit log", {"MOORING_AUDIT_LEVEL": "all"}),
)


def signed(port: int, number: int, feature: Feature, session: str = "") -> Call:
    """An invocation as botocore signs it, now; each number has another body, and so another signature."""
    path = f"/endpoints/{ENDPOINT}/{feature.api}"
    features = [5.1, 3.5, 1.4, 0.2, 6.2, 2.9, 4.3, number]
    body = json.dumps({"instances": [{"features": features}], "parameters": {"probabilities": True}}).encode()
    told = {name: HEADERS[name] for name in ("Content-Type", "Accept")}
    if session:
        told["X-Amzn-SageMaker-Session-Id"] = session
    request = AWSRequest("POST", f"http://127.0.0.1:{port}{path}", headers=told, data=body)
    SigV4Auth(Credentials(KEY.id, KEY.signing.secret), "sagemaker", REGION).add_auth(request)
    return Call(path, {**HEADERS, **dict(request.headers.items())}, body)


def load_for(ground: Ground, port: int, feature: Feature) -> Load:
    """The load of one candidate: the host and its port are signed."""
    session = opened_session(port, feature) if feature.session else ""
    return best_load(ground.directory, *(signed(port, number, feature, session) for number in range(DIFFERENT)))


def opened_session(port: int, feature: Feature) -> str:
    """The id of a new session."""
    answer = answer_of(port, signed(port, 0, feature, "NEW_SESSION").message(port))
    found = re.search(rb"(?i)\r\nx-amzn-sagemaker-new-session-id: ([^\r;]+)", answer.data)
    if found is None:
        raise SystemExit(f"no session was opened: {answer.data[:500]!r}")
    return found[1].decode()


def refuses_strangers(candidate: Candidate, feature: Feature) -> None:
    """End the benchmark when signatures are not verified."""
    call = signed(candidate.port, 0, feature)
    forged = Call(call.path, call.headers, call.body.replace(b"5.1", b"5.2"))
    if (answer := answer_of(candidate.port, forged.message(candidate.port))).status != 403:
        raise SystemExit(f"{candidate.name}: a forged call was answered with {answer.status}")


@contextlib.contextmanager
def loaded(ground: Ground, at: Upstream, feature: Feature) -> Iterator[tuple[Candidate, Load]]:
    """The gateway of a row, with all processes that it has once it has answered, and its load."""
    started = gateway(
        ground.place("feature"), feature.name, feature.route(at), environment=feature.environment, keys=feature.keys
    )
    with started as candidate:
        load = load_for(ground, candidate.port, feature)
        if feature.keys:
            refuses_strangers(candidate, feature)
        probed(candidate, load)
        time.sleep(0.5)  # what a first call starts is there
        yield replace(candidate, pids=tuple(tree(candidate.pids[0]))), load


def run(ground: Ground) -> Iterator[str]:
    """Every feature by itself, and those that people have together."""
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(upstream(ground))
        both: list[tuple[Candidate, Load]] = []
        if NGINX is not None:
            limit = stack.enter_context(proxy(ground.directory, "nginx", at.tcp))
            both.append((limit, load_for(ground, limit.port, FEATURES[0])))
        both += [stack.enter_context(loaded(ground, at, feature)) for feature in FEATURES]
        samples = interleaved(both, ground.rounds, ground.seconds, CONNECTIONS)
    yield (
        f"{both[0][1].name}, {CONNECTIONS} connections, small bodies, replicas on Unix sockets (nginx's on TCP); "
        "CPU is of the gateway and all processes below it\n"
    )
    yield table(samples, "feature", "nginx", beside=("p99_us", "cpu_us")) + "\n"
    lines = [row(["feature", "adds, CPU µs/req", f"CPU × {OFF}"]), row(["---"] * 3)]
    for name, found in samples.items():
        if name not in ("nginx", OFF):
            added = [mine.cpu_us - bare.cpu_us for mine, bare in zip(found, samples[OFF], strict=True)]
            lines.append(row([name, spread(added), spread(ratios(samples, name, OFF, "cpu_us"))]))
    yield "\n".join(lines) + "\n"
