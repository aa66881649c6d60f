"""Section `features`: what each feature adds to an invocation, beside the same gateway with none and beside nginx.

Every row is a gateway of its own: a route, settings, and what its surroundings must be. All get the same load: requests
in turn, signed as boto3 signs them, so that no row profits from a cache that only a repeated request would fill.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from candidates import ENDPOINT, REGION, Candidate, answer_of
from gateways import gateway, route, variant
from ground import Ground, Upstream, upstream
from loads import HEADERS, Call, Load, best_load
from proxies import NGINX, proxy
from rounds import interleaved, ratios, row, spread, table

from mooring.access.keys import AccessKey
from mooring.hosting.routes import Route

KEY = AccessKey("MKIABENCHBENCHBENCH", "c2VjcmV0", "bench", None)
DIFFERENT = 64
"""Requests that are sent in turn."""
OFF = "no feature"


@dataclass(frozen=True)
class Feature:
    """One row."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[AccessKey, ...] = ()

    def route(self, at: Upstream) -> Route:
        """What control would publish."""
        return route(variant(at.unix))


FEATURES = (
    Feature(OFF),
    Feature("SigV4", keys=(KEY,)),
    Feature("every call in the audit log", {"MOORING_AUDIT_LEVEL": "all"}),
)


def signed(port: int, number: int) -> Call:
    """An invocation as botocore signs it, now; each number has another body, and so another signature."""
    path = f"/endpoints/{ENDPOINT}/invocations"
    features = [5.1, 3.5, 1.4, 0.2, 6.2, 2.9, 4.3, number]
    body = json.dumps({"instances": [{"features": features}], "parameters": {"probabilities": True}}).encode()
    told = {name: HEADERS[name] for name in ("Content-Type", "Accept")}
    request = AWSRequest("POST", f"http://127.0.0.1:{port}{path}", headers=told, data=body)
    SigV4Auth(Credentials(KEY.id, KEY.signing.secret), "sagemaker", REGION).add_auth(request)
    return Call(path, {**HEADERS, **dict(request.headers.items())}, body)


def load_for(ground: Ground, port: int) -> Load:
    """The load of one candidate: the host and its port are signed."""
    return best_load(ground.directory, *(signed(port, number) for number in range(DIFFERENT)))


def refuses_strangers(candidate: Candidate) -> None:
    """End the benchmark when signatures are not verified."""
    call = signed(candidate.port, 0)
    forged = Call(call.path, call.headers, call.body.replace(b"5.1", b"5.2"))
    if (answer := answer_of(candidate.port, forged.message(candidate.port))).status != 403:
        raise SystemExit(f"{candidate.name}: a forged call was answered with {answer.status}")


def run(ground: Ground) -> Iterator[str]:
    """Every feature by itself, and those that people have together."""
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(upstream(ground))
        candidates: list[Candidate] = []
        if NGINX is not None:
            candidates.append(stack.enter_context(proxy(ground.directory, "nginx", at.tcp)))
        for feature in FEATURES:
            started = gateway(
                ground.place("feature"),
                feature.name,
                feature.route(at),
                environment=feature.environment,
                keys=feature.keys,
            )
            candidates.append(stack.enter_context(started))
        connections = 32
        for candidate, feature in zip(candidates[-len(FEATURES) :], FEATURES, strict=True):
            if feature.keys:
                refuses_strangers(candidate)
        loaded = [(each, load_for(ground, each.port)) for each in candidates]
        samples = interleaved(loaded, ground.rounds, ground.seconds, connections)
    yield f"{loaded[0][1].name}, {connections} connections, small bodies, replicas on Unix sockets (nginx's on TCP)\n"
    yield table(samples, "feature", "nginx", beside=("p99_us", "cpu_us")) + "\n"
    lines = [row(["feature", "adds, CPU µs/req", f"CPU × {OFF}"]), row(["---"] * 3)]
    for name, found in samples.items():
        if name not in ("nginx", OFF):
            added = [mine.cpu_us - bare.cpu_us for mine, bare in zip(found, samples[OFF], strict=True)]
            lines.append(row([name, spread(added), spread(ratios(samples, name, OFF, "cpu_us"))]))
    yield "\n".join(lines) + "\n"
