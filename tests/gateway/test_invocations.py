"""What an invocation gets: routing, headers, AWS's errors."""

from __future__ import annotations

import json
import re
import socket
from email.utils import parsedate_to_datetime

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from mooring.hosting.routes import RouteReplica, RouteVariant
from tests.gateway.running import ACCOUNT, REGION, Seen, Stage, answer, eventually, invocation, route, signed


def echo(seen: Seen, _: socket.socket) -> bytes:
    return answer(json.dumps({"line": seen.line, "headers": seen.headers, "body": seen.body.decode()}).encode())


def test_a_container_gets_the_contracts_headers_and_no_others(stage: Stage) -> None:
    stage.served(echo)
    request = invocation(
        body=b"1,2",
        content_type="text/csv",
        accept="application/json",
        custom_attributes="c=1",
        inference_id="shadow test, index 17",
        session_id="NEW_SESSION",
    ).replace(b"Host:", b"X-Other: no\r\nCookie: no\r\nHost:")
    seen = stage.client().call(request).document
    assert seen["line"] == "POST /invocations HTTP/1.1"
    assert seen["body"] == "1,2"
    assert seen["headers"] == {
        "host": "localhost:8080",
        "x-amzn-sagemaker-forwarded-api": "InvokeEndpoint",
        "content-type": "text/csv",
        "accept": "application/json",
        "x-amzn-sagemaker-custom-attributes": "c=1",
        "x-amzn-sagemaker-inference-id": "shadow test, index 17",
        "x-amzn-sagemaker-session-id": "NEW_SESSION",
        "content-length": "3",
    }


def test_absent_headers_stay_absent(stage: Stage) -> None:
    stage.served(echo)
    assert set(stage.client().call(invocation()).document["headers"]) == {
        "host",
        "x-amzn-sagemaker-forwarded-api",
        "content-length",
    }


def test_headers_of_an_earlier_request_do_not_leak_into_the_next(stage: Stage) -> None:
    stage.served(echo)
    client = stage.client()
    client.call(invocation(content_type="text/csv", custom_attributes="secret"))
    assert "secret" not in client.call(invocation(content_type="text/csv")).body.decode()


def test_the_client_gets_the_contracts_headers(stage: Stage) -> None:
    stage.served(
        lambda *_: answer(
            b"0.5",
            Content_Type="text/csv; charset=utf-8",
            Server="hidden",
            X_Amzn_SageMaker_Custom_Attributes="c=2",
            X_Amzn_SageMaker_Session_Id="s1; Expires=2030-01-01T00:00:00Z",
        )
    )
    response = stage.client().call(invocation())
    assert (response.status, response.body) == (200, b"0.5")
    request_id = response.headers["x-amzn-requestid"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", request_id)
    assert parsedate_to_datetime(response.headers["date"])
    assert {k: v for k, v in response.headers.items() if k not in ("date", "x-amzn-requestid")} == {
        "x-amzn-invoked-production-variant": "a",
        "content-type": "text/csv; charset=utf-8",
        "x-amzn-sagemaker-custom-attributes": "c=2",
        "content-length": "3",
    }


@pytest.mark.parametrize("status", [201, 204, 299])
def test_every_success_is_a_200(stage: Stage, status: int) -> None:
    stage.served(lambda *_: b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    response = stage.client().call(invocation())
    assert (response.status, response.body) == (200, b"")


def two_variants(stage: Stage, weight_a: float, weight_b: float) -> None:
    replicas = [RouteReplica(n, str(stage.server(n, lambda *_: answer()).path)) for n in ("ra", "rb")]
    control = stage.control
    stage.start()
    control.accept()
    variants = (
        RouteVariant("a", weight_a, (replicas[0],)),
        RouteVariant("b", weight_b, (replicas[1],)),
    )
    control.publish(route(variants=variants))


def split(stage: Stage, calls: int) -> dict[str, int]:
    client = stage.client()
    seen: dict[str, int] = {}
    for _ in range(calls):
        variant = client.call(invocation()).headers["x-amzn-invoked-production-variant"]
        seen[variant] = seen.get(variant, 0) + 1
    return seen


def test_traffic_follows_the_weights(stage: Stage) -> None:
    two_variants(stage, 1, 3)
    # 400 draws with p=1/4: 50..150 is more than five standard deviations on either side.
    assert 50 < split(stage, 400)["a"] < 150


def test_weight_zero_gets_no_traffic_but_can_be_named(stage: Stage) -> None:
    two_variants(stage, 0, 2)
    assert split(stage, 30) == {"b": 30}
    named = stage.client().call(invocation(target_variant="a"))
    assert named.headers["x-amzn-invoked-production-variant"] == "a"


def test_all_weights_zero(stage: Stage) -> None:
    two_variants(stage, 0, 0)
    response = stage.client().call(invocation())
    assert (response.status, response.headers["x-amzn-errortype"]) == (400, "ValidationError")


def test_least_outstanding_prefers_the_idle_replica(stage: Stage) -> None:
    release = socket.socketpair()

    def hold(*_: object) -> bytes:
        release[0].recv(1)
        return answer(b"slow")

    slow, fast = stage.server("slow", hold), stage.server("fast", lambda *_: answer(b"fast"))
    control = stage.control
    stage.start()
    control.accept()
    only_slow = route(RouteReplica("slow", str(slow.path)))
    control.publish(only_slow)
    waiting = stage.client()
    waiting.send(invocation())
    eventually(lambda: bool(slow.seen))
    both = (RouteReplica("slow", str(slow.path)), RouteReplica("fast", str(fast.path)))
    control.publish(route(*both, version=(1, 2)))
    client = stage.client()
    assert {client.call(invocation()).body for _ in range(20)} == {b"fast"}
    release[1].send(b"x")
    assert waiting.receive().body == b"slow"
    for end in release:
        end.close()


@pytest.mark.parametrize(
    ("request_bytes", "members"),
    [
        (
            invocation("nope"),
            {
                "ErrorCode": "NO_SUCH_ENDPOINT",
                "Message": f"Endpoint nope of account {ACCOUNT} not found. An endpoint of {REGION} can be invoked once "
                "it is InService; `mooring status` shows them.",
            },
        ),
        (
            invocation().replace(REGION.encode(), b"eu-west-1"),
            {
                "ErrorCode": "NO_SUCH_ENDPOINT",
                "Message": f"Endpoint ep of account {ACCOUNT} not found. It is in {REGION}, and this call is for "
                "eu-west-1.",
            },
        ),
        (
            invocation(target_model="one.tar.gz"),
            {
                "ErrorCode": "TARGET_MODEL_HEADER_NOT_SUPPORTED",
                "Message": "Endpoint ep is not a multi-model endpoint and does not support target model header.",
            },
        ),
        (invocation(target_variant="zz"), {"Message": "Variant zz does not exist in endpoint ep."}),
        (
            invocation(inference_id="x" * 65),
            {
                "Message": f"1 validation error detected: Value '{'x' * 65}' at 'inferenceId' failed to satisfy "
                "constraint: Member must have length less than or equal to 64"
            },
        ),
        (
            invocation(api="async-invocations"),
            {
                "Message": "Endpoint ep has no AsyncInferenceConfig. Invoke it by InvokeEndpoint, or give it an "
                "endpoint config that has one."
            },
        ),
        (
            invocation(api="invocations-bidirectional-stream"),
            {
                "Message": "InvokeEndpointWithBidirectionalStream is not available: this version of Mooring does not "
                "do it yet."
            },
        ),
        (
            invocation(api="invocations-response-stream", session_id="NEW_SESSION"),
            {
                "Message": "1 validation error detected: Value 'NEW_SESSION' at 'sessionId' failed to satisfy "
                "constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9](-*[a-zA-Z0-9])*$"
            },
        ),
        (
            invocation(target_container_hostname="one"),
            {
                "ErrorCode": "TARGET_CONTAINER_HOSTNAME_HEADER_NOT_SUPPORTED",
                "Message": "Endpoint ep is not a multi-container endpoint with direct invocation and does not support "
                "target container hostname header.",
            },
        ),
        (
            invocation(inference_component="one"),
            {
                "ErrorCode": "INFERENCE_COMPONENT_NAME_NOT_SUPPORTED",
                "Message": "Inference Component Name header is not allowed for endpoint ep, to which you did not "
                "deploy inference components. Please remove the Inference Component Name header and try again.",
            },
        ),
    ],
    ids=[
        "unknown",
        "region",
        "model",
        "variant",
        "header",
        "async",
        "both ways",
        "new session",
        "container",
        "component",
    ],
)
def test_refusals_are_validation_errors(stage: Stage, request_bytes: bytes, members: dict[str, str]) -> None:
    stage.served(lambda *_: answer())
    client = stage.client()
    response = client.call(request_bytes)
    assert (response.status, response.headers["x-amzn-errortype"]) == (400, "ValidationError")
    assert response.headers["content-type"] == "application/json"
    assert response.document == members
    assert client.call(invocation()).status == 200, "the connection serves on"


def test_an_endpoint_is_found_by_its_exact_name_and_unsigned(stage: Stage) -> None:
    stage.served(lambda *_: answer())
    assert stage.client().call(invocation("EP")).status == 400
    unsigned = re.sub(rb"Authorization: [^\r]*\r\n", b"", invocation())
    assert b"Authorization" not in unsigned
    assert stage.client().call(unsigned).status == 200
    assert stage.client().call(invocation("%65p")).status == 200


@pytest.mark.parametrize(
    ("status", "side", "code"), [(400, "client", "CLIENT"), (503, "server", "SERVER"), (302, "server", "SERVER")]
)
def test_a_containers_error_is_a_model_error(stage: Stage, status: int, side: str, code: str) -> None:
    stage.served(lambda *_: answer(b"boom", status))
    response = stage.client().call(invocation())
    assert (response.status, response.headers["x-amzn-errortype"]) == (424, "ModelError")
    group = "/aws/sagemaker/Endpoints/ep"
    assert list(response.document.items()) == [
        ("ErrorCode", f"{code}_ERROR_FROM_MODEL"),
        ("LogStreamArn", f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"),
        (
            "Message",
            (
                f'Received {side} error ({status}) from primary with message "boom". See '
                f"https://{REGION}.console.aws.amazon.com/cloudwatch/home?region={REGION}#logEventViewer:group={group}"
                f" in account {ACCOUNT} for more information."
            ),
        ),
        ("OriginalMessage", "boom"),
        ("OriginalStatusCode", status),
    ]


def test_a_long_error_is_cut_to_what_a_message_may_have(stage: Stage) -> None:
    stage.served(lambda *_: answer(b"x" * 10_000, 500))
    document = stage.client().call(invocation()).document
    assert len(document["Message"]) == len(document["OriginalMessage"]) == 2048
    assert document["Message"].endswith("for more information.")


def test_an_error_too_large_to_load(stage: Stage) -> None:
    stage.served(lambda *_: answer(b"x" * 1_000_000, 500))
    document = stage.client().call(invocation()).document
    expected = "Received server error (500) from primary and could not load the entire response body. See https://"
    assert document["Message"].startswith(expected)


def test_no_healthy_replica(stage: Stage) -> None:
    control = stage.control
    stage.start()
    control.accept()
    control.publish(route())
    response = stage.client().call(invocation())
    assert (response.status, response.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
    control.publish(route(status="Creating", version=(1, 2)))
    assert stage.client().call(invocation()).document["ErrorCode"] == "NO_SUCH_ENDPOINT"


def test_boto3_reads_it_all(stage: Stage) -> None:
    def script(seen: Seen, _: socket.socket) -> bytes:
        return answer(b"no", 400) if seen.body == b"bad" else answer(b"[1]", Content_Type="application/json")

    stage.served(script)
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=f"http://127.0.0.1:{stage.port}",
        region_name=REGION,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        config=Config(retries={"max_attempts": 0}),
    )
    try:
        said = runtime.invoke_endpoint(EndpointName="ep", Body=b"x", ContentType="text/csv")
        assert (said["Body"].read(), said["ContentType"]) == (b"[1]", "application/json")
        assert said["InvokedProductionVariant"] == "a"
        large = runtime.invoke_endpoint(EndpointName="ep", Body=b"x" * 3_000_000)
        assert large["Body"].read() == b"[1]"
        with pytest.raises(runtime.exceptions.ModelError) as model_error:
            runtime.invoke_endpoint(EndpointName="ep", Body=b"bad")
        assert model_error.value.response["OriginalStatusCode"] == 400
        assert model_error.value.response["OriginalMessage"] == "no"
        with pytest.raises(ClientError, match=r"\(ValidationError\).*Endpoint nope of account"):
            runtime.invoke_endpoint(EndpointName="nope", Body=b"")
        with pytest.raises(ClientError, match=r"\(413\)"):
            runtime.invoke_endpoint(EndpointName="ep", Body=b"x" * 7_000_000)
    finally:
        runtime.close()


def test_the_scope_of_a_signature_names_the_region() -> None:
    from mooring.gateway.front import Front
    from mooring.http1.listening import Limits
    from mooring.http1.ticking import Ticker

    parts = (None, None, None, None, None)
    where = {"account": ACCOUNT, "region": "r-default", "host": "127.0.0.1", "allowed_hosts": ""}
    front = Front(Limits(), Ticker(), *parts, buffered_limit=1, **where)  # type: ignore[arg-type]
    assert front.region_of(signed(region="eu-west-1").encode()) == b"eu-west-1"
    assert front.region_of(None) == b"r-default"
    assert front.region_of(b"nonsense") == b"r-default"
