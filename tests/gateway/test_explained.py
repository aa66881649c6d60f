"""Invocations of explained variants, with a solver that does as the caller's body says and a scripted replica."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mooring.hosting.routes import RouteReplica, Version
from tests.gateway.explaining import EXPLAINER, Scene, Slow, alive
from tests.gateway.running import (
    WAIT_S,
    Client,
    Seen,
    Stage,
    answer,
    eventually,
    invocation,
    route,
)
from tests.wire.botocore_half import event_stream


@pytest.fixture
def scene(stage: Stage, tmp_path: Path) -> Scene:
    return Scene(stage, tmp_path)


def test_an_answer_is_explained_by_what_the_model_says_to_more(scene: Scene) -> None:
    server = scene.serve()
    got = scene.call({"ask": ["one", "two"], "errors": [0.5]}, content_type="text/csv", accept="text/csv")
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    assert got.headers["x-amzn-invoked-production-variant"] == "a"
    assert got.document["predicted"] == [[200, "text/csv", "ONE"], [200, "text/csv", "TWO"]]
    assert got.document["answer"] == '{"ASK": ["ONE", "TWO"], "ERRORS": [0.5]}'
    assert (got.document["content_type"], got.document["answered_type"]) == ("text/csv", "text/csv")
    assert got.document["explainer"] == EXPLAINER.to_text()
    assert got.document["threads"] == "1"
    assert got.document["wishes"] == "text/csv\n"
    first, *others = server.seen
    for each in others:
        assert {**each.headers, "content-length": ""} == {**first.headers, "content-length": ""}
        assert each.line == first.line
    assert sorted(each.body for each in others) == [b"one", b"two"]


def test_what_the_model_may_go_by_is_told(scene: Scene) -> None:
    scene.serve()
    one, other = (
        scene.call({}, accept="text/csv", custom_attributes=value, inference_id=value) for value in ("a", "b")
    )
    assert (one.document["wishes"], other.document["wishes"]) == ("text/csv\na", "text/csv\nb")


@pytest.mark.parametrize(
    ("end", "status", "members"),
    [
        (
            {"end": "container", "status": 413, "message": "too much"},
            424,
            {
                "ErrorCode": "CLIENT_ERROR_FROM_MODEL", "OriginalStatusCode": 413, "OriginalMessage": "too much",
                "Message": 'Received client error (413) from primary with message "too much". See https://us-east-1.cons'
                "ole.aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group=/aws/sagemaker/Endpoints/ep"
                " in account 123456789012 for more information.",
            },
        ),
        ({"end": "container", "status": 503, "message": "{away}"}, 424,
         {"ErrorCode": "SERVER_ERROR_FROM_MODEL", "OriginalStatusCode": 503, "OriginalMessage": "{away}"}),
        ({"end": "container", "message": "{no answer}"}, 424,
         {"OriginalStatusCode": 0, "OriginalMessage": "{no answer}"}),
        ({"end": "explainer", "message": "record 0"}, 424,
         {"OriginalStatusCode": 400, "OriginalMessage": "record 0", "ErrorCode": "CLIENT_ERROR_FROM_MODEL",
          "Message": 'Received client error (400) from explainer with message "record 0". See https://us-east-1.console'
          ".aws.amazon.com/cloudwatch/home?region=us-east-1#logEventViewer:group=/aws/sagemaker/Endpoints/ep"
          " in account 123456789012 for more information."}),
        ({"end": "caller", "message": "not CSV"}, 400, {"Message": "not CSV"}),
        ({"end": "mooring", "message": "a defect"}, 500, {"Message": "a defect"}),
    ],
)  # fmt: skip
def test_whose_fault_it_is(scene: Scene, end: dict[str, Any], status: int, members: dict[str, Any]) -> None:
    scene.serve()
    got = scene.call(end)
    assert (got.status, got.headers["content-type"]) == (status, "application/json")
    assert {name: got.document[name] for name in members} == members
    codes = {424: "ModelError", 400: "ValidationError", 500: "InternalFailure"}
    assert got.headers["x-amzn-errortype"] == codes[status]


def test_the_models_own_error_is_as_ever(scene: Scene) -> None:
    server = scene.serve(lambda seen, _: answer(b"no", 400))
    got = scene.call({})
    assert (got.status, got.document["OriginalStatusCode"], got.document["OriginalMessage"]) == (424, 400, "no")
    server.script = lambda seen, _: None
    assert (scene.call({}).status, scene.call({}).document["OriginalStatusCode"]) == (424, 0)


def test_an_error_of_a_synthetic_call_is_the_solvers_to_judge(scene: Scene) -> None:
    def script(seen: Seen, _: socket.socket) -> bytes:
        return answer(b"ok") if seen.body.startswith(b"{") else answer(seen.body, int(seen.body))

    scene.serve(script)
    got = scene.call({"ask": ["404", "500", "200"]})
    assert got.document["predicted"] == [[404, "", "404"], [500, "", "500"], [200, "", "200"]]


class TestTheExpression:
    def test_it_goes_to_the_solver(self, scene: Scene) -> None:
        scene.serve()
        client = scene.stage.client()
        for expression in ("[0]>`0.5`", "false", None, "`true`"):
            said = {} if expression is None else {"enable_explanations": expression}
            assert client.call(invocation(body=b"{}", **said)).document["expression"] == expression

    def test_one_that_does_not_compile_is_refused_before_the_model_is_called(self, scene: Scene) -> None:
        server = scene.serve()
        client = scene.stage.client()
        for _ in range(2):  # the second time its headers are known
            got = client.call(invocation(enable_explanations="[0"))
            assert (got.status, got.headers["x-amzn-errortype"]) == (400, "ValidationError")
            assert got.document["Message"].startswith("EnableExplanations: '[0' is not a JMESPath expression")
        assert client.call(invocation()).status == 200
        assert len(server.seen) == 1
        got = client.call(invocation(enable_explanations="x" * 65))
        assert (got.status, "length less than or equal to 64" in got.document["Message"]) == (400, True)

    def test_a_call_that_wants_nothing_explained_needs_no_solver(self, scene: Scene) -> None:
        scene.serve()
        assert [scene.call({"die": True}).status for _ in range(2)] == [500, 500]
        assert scene.call({}).status == 503
        got = scene.call({"end": "mooring"}, enable_explanations="`false`", content_type="text/csv")
        assert (got.status, got.headers["content-type"]) == (200, "application/json")
        assert got.body == (
            b'{"version":"1.0","predictions":{"content_type":"text/csv","data":"{\\"END\\": \\"MOORING\\"}"},'
            b'"explanations":{}}'
        )
        assert scene.stage.control.publish(route(version=Version(2, 1)))["busy"] == []

    def test_nor_one_of_an_endpoint_that_explains_on_demand(self, scene: Scene) -> None:
        scene.serve(explainer=replace(EXPLAINER, config={**EXPLAINER.config, "EnableExplanations": "`false`"}))
        assert scene.call({}).body.endswith(b'"explanations":{}}')
        assert scene.call({"ask": ["x"]}, enable_explanations="`true`").document["predicted"] == [
            [200, "text/csv", "X"]
        ]

    def test_labels_of_the_answer_are_the_solvers_to_read(self, scene: Scene) -> None:
        inference = {"InferenceConfig": {"LabelIndex": 0}}
        scene.serve(explainer=replace(EXPLAINER, config={**EXPLAINER.config, **inference}))
        assert scene.call({}, enable_explanations="`false`").document["expression"] == "`false`"

    def test_an_endpoint_that_explains_nothing_says_so(self, scene: Scene) -> None:
        server = scene.serve(explainer=None)
        client = scene.stage.client()
        for _ in range(2):
            got = client.call(invocation(enable_explanations="`true`"))
            assert (got.status, got.headers["x-amzn-errortype"]) == (400, "ValidationError")
            assert "has no ExplainerConfig" in got.document["Message"]
        assert (client.call(invocation(body=b"x")).body, len(server.seen)) == (b"X", 1)

    def test_nor_is_it_refused_there_for_having_been_right_elsewhere(self, scene: Scene) -> None:
        server = scene.serve()
        scene.stage.control.publish(
            route(RouteReplica("replica-1", str(server.path)), endpoint="plain", version=Version(1, 2))
        )
        client = scene.stage.client()
        for endpoint, status in (("ep", 200), ("plain", 400), ("ep", 200)):
            assert client.call(invocation(endpoint, enable_explanations="`true`")).status == status


def test_headers_of_the_containers_answer_are_relayed(scene: Scene) -> None:
    def script(seen: Seen, _: socket.socket) -> bytes:
        return answer(b"ok", content_type="text/csv", X_Amzn_SageMaker_Custom_Attributes="from the model")

    server = scene.serve(script)
    got = scene.call({"ask": ["x"]}, custom_attributes="from the caller", inference_id="17")
    assert got.headers["x-amzn-sagemaker-custom-attributes"] == "from the model"
    assert [name for name in got.headers if name == "content-type"] == ["content-type"]
    assert len(got.headers["x-amzn-requestid"]) == 36
    for each in server.seen:
        assert each.headers["x-amzn-sagemaker-custom-attributes"] == "from the caller"


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_large_answer_is_gathered(scene: Scene, framing: str) -> None:
    def script(seen: Seen, _: socket.socket) -> bytes:
        body = b"1" * 1_000_000
        if framing == "length":
            return answer(body)
        return b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    scene.serve(script)
    got = scene.call({"ask": ["x"] * 3})
    assert (got.status, got.document["answer_bytes"]) == (200, 1_000_000)
    assert [each[0] for each in got.document["predicted"]] == [200] * 3


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_answer_above_the_limit_is_too_long_as_ever(scene: Scene, framing: str) -> None:
    def script(seen: Seen, _: socket.socket) -> bytes:
        body = b"1" * 200_000
        if framing == "length":
            return answer(body)
        return b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    scene.serve(script, response_limit_bytes=100_000)
    got = scene.call({})
    assert (got.status, got.headers["x-amzn-errortype"]) == (424, "ModelError")
    assert "has exceeded the maximum limit of 100000 bytes" in got.document["Message"]
    assert scene.stage.control.publish(route(version=Version(2, 1)))["busy"] == []


def test_an_explanation_may_be_longer_than_an_answer(scene: Scene) -> None:
    scene.serve(lambda seen, _: answer(b"0"), response_limit_bytes=1000)
    assert len(scene.call({"ask": ["x"] * 100}).body) > 1000


def test_a_response_stream_passes_as_it_is(scene: Scene) -> None:
    server = scene.serve()
    got = scene.stage.client().call(invocation(body=b"tokens", api="invocations-response-stream"))
    assert got.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert [event["PayloadPart"]["Bytes"] for event in event_stream(got.body)] == [b"TOKENS"]
    assert len(server.seen) == 1


class TestSessions:
    def test_synthetic_calls_are_in_none(self, scene: Scene) -> None:
        def script(seen: Seen, _: socket.socket) -> bytes:
            asked = seen.headers.get("x-amzn-sagemaker-session-id")
            said = {"X_Amzn_SageMaker_Session_Id": "s1; Expires=2999-01-01T00:00:00Z"} if asked == "NEW_SESSION" else {}
            if asked == "s1" and b"close" in seen.body:
                said = {"X_Amzn_SageMaker_Closed_Session_Id": "s1"}
            return answer(str(asked).encode(), **said)

        server = scene.serve(script)
        opened = scene.call({"ask": ["x", "y"]}, session_id="NEW_SESSION")
        assert opened.headers["x-amzn-sagemaker-new-session-id"].startswith("s1; Expires=")
        assert [each[2] for each in opened.document["predicted"]] == ["None", "None"]
        within = scene.call({"ask": ["x"]}, session_id="s1", custom_attributes="kept")
        assert (within.document["answer"], within.document["predicted"][0][2]) == ("s1", "None")
        assert server.seen[-1].headers["x-amzn-sagemaker-custom-attributes"] == "kept"
        closed = scene.call({"close": 1}, session_id="s1")
        assert closed.headers["x-amzn-sagemaker-closed-session-id"] == "s1"
        assert scene.call({}, session_id="s1").status == 400


class TestTime:
    def test_a_call_that_takes_too_long_is_told_so_in_time(self, scene: Scene) -> None:
        slow = Slow()
        server = scene.serve(slow, invocation_timeout_s=1.0)
        got = scene.call({"ask": ["fast", "slow", "slow"], "records": 7})
        assert (got.status, got.document["OriginalStatusCode"]) == (424, 0)
        said = got.document["OriginalMessage"]
        assert "had predicted 7 synthetic records, in 1 request." in said
        for word in ("fewer records", "NumberOfSamples", "baseline", "MaxRecordCount"):
            assert word in said
        assert slow.left.wait(WAIT_S), "the replica goes on for nobody"
        eventually(scene.forgotten.exists)
        assert [each.body for each in server.seen].count(b"slow") == 1, "what waited is not sent any more"
        assert scene.call({"ask": ["fast"]}).status == 200

    def test_a_solver_that_never_answers(self, scene: Scene) -> None:
        scene.serve(invocation_timeout_s=0.5)
        got = scene.call({"never": True})
        assert (got.status, "not ready in the time" in got.document["Message"]) == (424, True)
        assert scene.call({}).status == 200

    def test_a_model_that_took_nearly_all_of_it(self, scene: Scene) -> None:
        def script(seen: Seen, _: socket.socket) -> bytes:
            time.sleep(1.85)
            return answer(b"1")

        scene.serve(script, invocation_timeout_s=2.0)
        got = scene.call({})
        assert "the model's own answer had taken nearly all of it" in got.document["Message"]


def test_a_client_that_leaves_stops_the_work(scene: Scene) -> None:
    slow = Slow()
    server = scene.serve(slow)
    with Client(scene.stage.port) as client:
        client.send(invocation(body=json.dumps({"ask": ["slow", "slow"]}).encode()))
        assert slow.asked.wait(WAIT_S)
    assert slow.left.wait(WAIT_S), "the replica goes on for nobody"
    eventually(scene.forgotten.exists)
    assert scene.stage.control.publish(route(version=Version(2, 1)))["busy"] == []
    assert len(server.seen) == 2


class TestTheSolversEnd:
    def test_calls_that_it_had_fail_and_the_next_starts_another(self, scene: Scene) -> None:
        slow = Slow()
        scene.serve(slow)
        pid = scene.call({}).document["pid"]
        client = scene.begin({"ask": ["slow"]})
        assert slow.asked.wait(WAIT_S)
        os.kill(pid, signal.SIGKILL)
        got = client.receive()
        assert (got.status, got.headers["x-amzn-errortype"]) == (500, "InternalFailure")
        assert "is started again" in got.document["Message"]
        assert slow.left.wait(WAIT_S), "the replica goes on for nobody"
        again = scene.call({"ask": ["x"]})
        assert (again.status, again.document["pid"] != pid) == (200, True)

    def test_one_that_dies_again_and_again_is_left_alone_for_a_while(self, scene: Scene) -> None:
        scene.serve()
        assert [scene.call({"die": True}).status for _ in range(2)] == [500, 500]
        got = scene.call({})
        assert (got.status, got.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
        eventually(lambda: scene.call({}).status == 200)

    def test_it_ends_with_its_gateway_also_when_that_is_killed(self, scene: Scene) -> None:
        scene.serve()
        pid = scene.call({}).document["pid"]
        assert scene.stage.process is not None
        scene.stage.process.kill()
        eventually(lambda: not alive(pid))

    def test_it_is_ended_when_nobody_asks_for_long(self, scene: Scene) -> None:
        scene.stage.environment["MOORING_EXPLAINER_SOLVER_IDLE_S"] = "0.3"
        scene.serve()
        pid = scene.call({}).document["pid"]
        eventually(lambda: not alive(pid))
        assert scene.call({}).status == 200


class TestAGatewayThatStops:
    def test_it_waits_for_what_is_explained(self, scene: Scene) -> None:
        gate = threading.Event()

        def script(seen: Seen, _: socket.socket) -> bytes:
            if seen.body == b"slow":
                gate.wait(WAIT_S)
            return answer(seen.body)

        server = scene.serve(script)
        client = scene.begin({"ask": ["slow", "more"]})
        eventually(lambda: any(each.body == b"slow" for each in server.seen))
        scene.stage.terminate()
        gate.set()
        got = client.receive()
        assert [each[2] for each in got.document["predicted"]] == ["slow", "more"]
        assert scene.stage.wait() == 0
        assert not alive(got.document["pid"])

    def test_who_waits_at_the_end_of_the_drain_is_told_why(self, scene: Scene) -> None:
        scene.stage.environment["MOORING_GATEWAY_DRAIN_S"] = "0.2"
        server = scene.serve()
        client = scene.begin({"ask": ["x"], "never": True})
        eventually(lambda: len(server.seen) == 2)
        scene.stage.terminate()
        got = client.receive()
        assert (got.status, "is being stopped" in got.document["Message"]) == (503, True)
        assert scene.stage.wait() == 0
