"""Traces through boto3: the caller's context reaches the model, and spans reach a collector that speaks OTLP."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.acceptance.running import Deployment, Load, Server, wait_until

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
# A server of our own, since scripts do not see headers.
REPLICA = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self): self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = {name.lower(): value for name, value in self.headers.items()}
        self.answer(500 if body == b"fail" else 200, json.dumps(said).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Collector:
    """Takes spans over OTLP/HTTP."""

    def __init__(self, port: int = 0) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def take(self, data: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def of(self, kind: Any) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    try:
        yield made
    finally:
        made.close()


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


class Traced:
    """An endpoint whose replica answers with the headers that it got."""

    def __init__(self, make_server: Callable[..., Server], **environment: str) -> None:
        command = {"*/headers:*": ["{python}", "-c", REPLICA, "{port}"]}
        self.server = make_server(MOORING_IMAGES_COMMANDS=json.dumps(command), **environment).start()
        self.deployment = Deployment(self.server)
        self.deployment.model("m", Image="000000000000.dkr.ecr.us-east-1.amazonaws.com/headers:1")
        self.deployment.endpoint("e", self.deployment.variant("m", "v"))
        self.deployment.wait("e")
        self.said: dict[str, str] = {}
        self.runtime = self.server.client("sagemaker-runtime")
        self.runtime.meta.events.register("before-call", self._say)

    def _say(self, params: dict[str, Any], **_: Any) -> None:
        params["headers"].update(self.said)

    def invoke(self, body: bytes = b"x", said: dict[str, str] | None = None, **members: Any) -> dict[str, str]:
        self.said = said or {}
        found = self.runtime.invoke_endpoint(EndpointName="e", Body=body, **members)
        headers: dict[str, str] = json.loads(found["Body"].read())
        return headers


def test_a_callers_context_reaches_the_model(make_server: Callable[..., Server]) -> None:
    traced = Traced(make_server)
    said = {
        "traceparent": f"00-{TRACE}-{PARENT}-01",
        "tracestate": "vendor=x",
        "baggage": "tenant=7",
        "X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
    }
    names = {name.lower() for name in said}
    found = traced.invoke(said=said, ContentType="text/csv")
    assert {name: found[name] for name in names} == {name.lower(): value for name, value in said.items()}
    assert found["content-type"] == "text/csv"
    # On the same connection: nothing of one call is left to the next.
    assert not names & traced.invoke(ContentType="text/csv").keys()
    assert not names & traced.invoke(said={"traceparent": "00-bad", "tracestate": "vendor=x"}).keys()
    assert traced.invoke(said={"baggage": "a=1"})["baggage"] == "a=1"


def test_spans_reach_a_collector(make_server: Callable[..., Server], collector: Collector) -> None:
    traced = Traced(make_server, MOORING_TRACES_ENDPOINT=collector.url, OTEL_RESOURCE_ATTRIBUTES="site=here")
    heard = traced.invoke(said={"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "v=1"}, InferenceId="mine")
    alone = traced.invoke()
    with pytest.raises(traced.runtime.exceptions.ModelError):
        traced.invoke(b"fail")
    unsampled = f"00-{TRACE[::-1]}-{PARENT}-00"
    assert traced.invoke(said={"traceparent": unsampled})["traceparent"] == unsampled
    wait_until(lambda: len(collector.spans) == 6, what="six spans")
    by_id = {span.span_id.hex(): span for span in collector.spans}
    client = by_id[heard["traceparent"].split("-")[2]]
    assert (client.trace_id.hex(), heard["tracestate"]) == (TRACE, "v=1")
    server = by_id[client.parent_span_id.hex()]
    assert (server.trace_id.hex(), server.parent_span_id.hex()) == (TRACE, PARENT)
    assert (client.kind, server.kind) == (Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER)
    assert server.start_time_unix_nano <= client.start_time_unix_nano <= client.end_time_unix_nano
    assert client.end_time_unix_nano <= server.end_time_unix_nano
    told = attributes(server)
    assert server.name == "POST /endpoints/{EndpointName}/invocations"
    assert (told["url.path"], told["http.response.status_code"]) == ("/endpoints/e/invocations", 200)
    assert (told["mooring.variant"], told["mooring.inference_id"], told["cloud.region"]) == ("v", "mine", "us-east-1")
    root = by_id[by_id[alone["traceparent"].split("-")[2]].parent_span_id.hex()]
    assert not root.parent_span_id
    failed = [each for each in collector.spans if each.status.code == 2]
    statuses = {attributes(each)["http.response.status_code"] for each in failed}
    assert (len(failed), statuses) == (2, {424, 500})
    assert collector.resources[0]["service.name"] == "mooring"
    assert collector.resources[0]["site"] == "here"


def test_a_part_is_sampled(make_server: Callable[..., Server], collector: Collector) -> None:
    traced = Traced(make_server, MOORING_TRACES_ENDPOINT=collector.url, MOORING_TRACES_SAMPLING="0.3")
    sampled = sum("traceparent" in traced.invoke() for _ in range(200))
    assert 30 <= sampled <= 90
    wait_until(lambda: len(collector.spans) == 2 * sampled, what="spans")


def test_a_collector_that_is_away_fails_no_call(make_server: Callable[..., Server]) -> None:
    gone = Collector()
    gone.close()
    traced = Traced(make_server, MOORING_TRACES_ENDPOINT=gone.url)
    traced.deployment.invoke("e")
    with Load(traced.deployment, "e") as load:
        load.wait_for_more(100)
        wait_until(lambda: "spans are lost" in traced.server.log.read_text(), 40, "the exporter to give some up")
        # It comes back, and spans come again.
        with contextlib.closing(Collector(gone.port)) as back:
            wait_until(lambda: len(back.spans) > 10, 40, "spans")
    assert not load.failures
