"""Invocations while keys are needed: who gets through to the replica, and who does not, on every request."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mooring.access.keys import AccessKey, Keyring, document_of
from mooring.access.policies import policy_of
from mooring.gateway.guarding import Guard
from mooring.hosting.routes import RouteReplica
from mooring.http1.messages import Request
from mooring.http1.messages import Response as Answer
from mooring.settings import Settings
from mooring.wire.signing import Credentials, signed_headers
from tests.gateway.running import ACCOUNT, REGION, Client, Response, ScriptedServer, Stage, answer, route, staged
from tests.wire.botocore_half import event_stream

SESSION_KEY = b"k" * 32
ANN = AccessKey("MKIAANN", "secret-ann", "ann", None)
BOB = AccessKey(
    "MKIABOB",
    "secret-bob",
    "bob",
    policy_of(
        {
            "Statement": {
                "Effect": "Allow",
                "Action": "sagemaker:InvokeEndpoint",
                "Resource": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/e*",
            }
        }
    ),
)
PATH = "/endpoints/ep/invocations"


def request(
    key: AccessKey = ANN,
    body: bytes = b"{}",
    path: str = PATH,
    *,
    sent: bytes | None = None,
    ago_s: float = 0,
    region: str = REGION,
    **changes: str,
) -> bytes:
    """The bytes of a signed invocation; `sent` and `changes` are what was done to it on its way."""
    credentials = Credentials(key.id, key.signing.secret)
    digest = hashlib.sha256(body).hexdigest().encode()
    url = f"http://localhost{path}"
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Custom-Attributes": "a"}
    made = signed_headers(credentials, "sagemaker", region, "POST", url, headers, digest, now=time.time() - ago_s)
    made |= {"Content-Length": str(len(body if sent is None else sent))}
    made |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in made.items() if value)
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + (body if sent is None else sent)


class Keyed:
    """A gateway that needs keys, one endpoint `ep`, and the replica that must not hear of strangers."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.version = 0
        self.replica: ScriptedServer = stage.server("replica-1", lambda seen, _: answer(b"<" + seen.body + b">"))
        greeting = threading.Thread(target=self._greet)
        greeting.start()
        stage.start()
        greeting.join()
        stage.control.publish(route(RouteReplica("replica-1", str(self.replica.path))))

    def _greet(self) -> None:
        self.stage.control.accept()
        self.hold(ANN, BOB)

    def hold(self, *keys: AccessKey) -> None:
        """Have the gateway verify with these; returns when it has acknowledged them."""
        self.version += 1
        said = {"keys": document_of(keys, SESSION_KEY, self.version)}
        assert self.stage.control.say(said) == {"keys_ack": self.version}

    def client(self) -> Client:
        return self.stage.client()

    @property
    def heard(self) -> int:
        return len(self.replica.seen)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    with (
        tempfile.TemporaryDirectory(prefix="mg-") as name,
        staged(Path(name), MOORING_ACCESS_MODE="keys") as stage,
    ):
        yield Keyed(stage)


@pytest.fixture(autouse=True)
def _both_keys(keyed: Keyed) -> None:
    keyed.hold(ANN, BOB)


def refused(keyed: Keyed, data: bytes) -> tuple[str, str]:
    """Code and message of a refusal, of which the replica heard nothing."""
    before = keyed.heard
    response = keyed.client().call(data)
    assert (response.status, keyed.heard) == (403, before)
    assert response.headers["content-type"] == "application/json"
    return response.headers["x-amzn-errortype"], response.document["Message"]


def good(response: Response) -> bytes:
    assert response.status == 200, response.body
    return response.body


def test_a_good_signature_reaches_the_replica(keyed: Keyed) -> None:
    client = keyed.client()
    for body in (b"{}", b"", b"x" * 300_000):
        assert good(client.call(request(body=body))) == b"<" + body + b">"


def test_a_chunked_body_is_hashed_as_it_comes(keyed: Keyed) -> None:
    pieces = [b"a" * 50_000, b"b" * 100_000]
    whole = request(body=b"".join(pieces), Content_Length="", Transfer_Encoding="chunked")
    head = whole[: whole.index(b"\r\n\r\n") + 4]
    client = keyed.client()
    client.send(head)
    for piece in (*pieces, b""):
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    assert good(client.receive()) == b"<" + b"".join(pieces) + b">"


STRANGER = AccessKey("AKIDX", "x", "", None)
MISSING = "MissingAuthenticationTokenException"
MISMATCH = "The request signature we calculated does not match the signature you provided."


@pytest.mark.parametrize(
    ("data", "code", "text"),
    [
        (lambda: request(AccessKey("MKIAANN", "wrong", "", None)), "InvalidSignatureException", MISMATCH),
        (lambda: request(sent=b"[]"), "InvalidSignatureException", MISMATCH),
        (lambda: request(Content_Type="text/plain", Host="localhost:1"), "InvalidSignatureException", MISMATCH),
        (lambda: request(STRANGER), "UnrecognizedClientException", "The security token included"),
        (lambda: request(X_Amz_Security_Token="t"), "UnrecognizedClientException", "The security token included"),
        (lambda: request(ago_s=310), "InvalidSignatureException", "Signature expired: "),
        (lambda: request(ago_s=-310), "InvalidSignatureException", "Signature not yet current: "),
        (lambda: request(Authorization=""), MISSING, "Missing Authentication Token"),
        (lambda: request(Authorization="Bearer x"), "IncompleteSignatureException", "'Bearer' not a valid key=value"),
        (lambda: request(path="/endpoints/absent/invocations", Authorization=""), MISSING, ""),
        (lambda: request(path="/endpoints/ep/async-invocations", Authorization=""), MISSING, ""),
        (lambda: request(path="/endpoints/", Authorization=""), MISSING, ""),
    ],
)  # fmt: skip
def test_what_is_not_verified_goes_nowhere(keyed: Keyed, data: Any, code: str, text: str) -> None:
    found, message = refused(keyed, data())
    assert found == code
    assert message.startswith(text)


def test_a_policy_is_heard(keyed: Keyed) -> None:
    assert good(keyed.client().call(request(BOB))) == b"<{}>"
    code, message = refused(keyed, request(BOB, path="/endpoints/other/invocations"))
    assert code == "AccessDeniedException"
    assert message == (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/mooring/bob is not authorized to perform: sagemaker:InvokeEndpoint "
        f"on resource: arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/other because no identity-based policy allows the "
        "sagemaker:InvokeEndpoint action"
    )
    assert refused(keyed, request(BOB, region="eu-west-1"))[0] == "AccessDeniedException"
    assert refused(keyed, request(BOB, path="/endpoints/ep/async-invocations"))[0] == "AccessDeniedException"


def test_a_stream_is_an_operation_of_its_own(keyed: Keyed) -> None:
    path = "/endpoints/ep/invocations-response-stream"
    answered = keyed.client().call(request(path=path))
    assert [event["PayloadPart"]["Bytes"] for event in event_stream(good(answered))] == [b"<{}>"]
    code, message = refused(keyed, request(BOB, path=path))
    assert code == "AccessDeniedException"
    assert "is not authorized to perform: sagemaker:InvokeEndpointWithResponseStream" in message
    assert refused(keyed, request(path=path, sent=b"[]"))[0] == "InvalidSignatureException"
    client = keyed.client()
    assert good(client.call(request(BOB)))
    assert client.call(request(BOB, path=path)).status == 403, "also with the headers of a call that was allowed"


def test_a_session_is_no_way_around_a_policy(keyed: Keyed) -> None:
    code, _ = refused(keyed, request(BOB, path="/endpoints/other/invocations", X_Amzn_SageMaker_Session_Id="s1"))
    assert code == "AccessDeniedException"


def test_every_request_of_a_connection_is_judged(keyed: Keyed) -> None:
    client, before = keyed.client(), keyed.heard
    repeated = request()
    # Replayed within its time a request is good, as on AWS; the same head over another body is not.
    client.send(repeated + repeated + request(sent=b"[]") + request(BOB))
    responses = [client.receive() for _ in range(4)]
    assert [response.status for response in responses] == [200, 200, 403, 200]
    assert keyed.heard == before + 3


def test_a_revoked_key_opens_nothing_on_a_connection_that_it_has_opened(keyed: Keyed) -> None:
    client = keyed.client()
    assert good(client.call(request(BOB)))
    keyed.hold(ANN)
    response = client.call(request(BOB))
    assert (response.status, response.headers["x-amzn-errortype"]) == (403, "UnrecognizedClientException")
    assert good(client.call(request(ANN)))


def test_a_changed_policy_counts_at_once(keyed: Keyed) -> None:
    client = keyed.client()
    assert good(client.call(request(BOB)))
    denying = policy_of({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})
    keyed.hold(AccessKey(BOB.id, BOB.signing.secret, "bob", denying))
    assert "with an explicit deny in an identity-based policy" in client.call(request(BOB)).document["Message"]


def test_a_large_body_of_a_stranger_is_not_even_taken(keyed: Keyed) -> None:
    data = request(STRANGER, body=b"x" * 1_000_000, Expect="100-continue")
    client = keyed.client()
    client.send(data[: data.index(b"\r\n\r\n") + 4])
    assert client.receive().status == 403


@pytest.mark.parametrize("framing", [b"Content-Length: 8000000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    ("head", "status", "words"),
    [
        (b"X-Amz-Target: SageMaker.CreateModel", 400, b"MissingAuthenticationTokenException"),
        (b"Content-Type: application/x-www-form-urlencoded", 403, b"<Code>MissingAuthenticationToken</Code>"),
    ],
)
def test_nor_is_that_of_an_api_call(keyed: Keyed, framing: bytes, head: bytes, status: int, words: bytes) -> None:
    """What is received is counted, and would take the place of the bodies of those who have keys."""
    client = keyed.client()
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n%b\r\n%b\r\n\r\n" % (head, framing))
    response = client.receive()
    assert (response.status, words in response.body) == (status, True)


def test_a_large_api_call_of_a_key_goes_to_control(keyed: Keyed) -> None:
    edge = keyed.stage.control_edge(lambda seen, _: answer(b"%d" % len(seen.body)))
    try:
        data = request(body=b"x" * 1_000_000, path="/")
        client = keyed.client()
        client.send(data[:2_000])
        time.sleep(0.05)
        client.send(data[2_000:])
        assert good(client.receive()) == b"1000000"
    finally:
        edge.close()


@pytest.mark.parametrize("path", [PATH, "/endpoints/absent/invocations"])
def test_a_stranger_does_not_learn_what_is_there(keyed: Keyed, path: str) -> None:
    """Also when the head comes before the body, and the key's id is known."""
    data = request(AccessKey("MKIAANN", "wrong", "", None), body=b"x" * 1000, path=path)
    client = keyed.client()
    client.send(data[:-500])
    time.sleep(0.05)
    client.send(data[-500:])
    response = client.receive()
    assert (response.status, response.headers["x-amzn-errortype"]) == (403, "InvalidSignatureException")


def test_a_header_cannot_lead_past_what_was_judged(keyed: Keyed) -> None:
    """The quick look-up of the region reads another part of the header than the verifier does."""
    before = keyed.heard
    data = request(BOB).decode()
    name, _, value = next(line for line in data.split("\r\n") if line.startswith("Authorization")).partition(": ")
    scheme, credential, signed, signature = value.replace(",", "").split(" ")
    moved = f"{name}: {scheme} x=a/b/eu-west-1/c, {credential}, {signed}, {signature}"
    response = keyed.client().call(data.replace(f"{name}: {value}", moved).encode())
    assert (response.status, keyed.heard) == (400, before)  # no such endpoint there
    twice = data.replace("\r\nHost", "\r\nAuthorization: x\r\nHost", 1).encode()
    assert refused(keyed, twice)[0] == "IncompleteSignatureException"


def test_api_calls_go_to_control_with_all_that_is_signed(keyed: Keyed) -> None:
    edge = keyed.stage.control_edge(lambda seen, _: answer(b"{}"))
    try:
        head = (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Custom: 1\r\nContent-Length: 2\r\nX-Other: 2\r\nAuthorization: "
            b"AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/sagemaker/aws4_request, "
            b"SignedHeaders=content-length;host;x-custom, Signature=0\r\n\r\n{}"
        )
        assert keyed.client().call(head).status == 200
        seen = edge.seen[-1].headers
        assert (seen["x-custom"], seen["content-length"], "x-other" in seen) == ("1", "2", False)
    finally:
        edge.close()


def test_a_gateway_without_keys_refuses_nobody_for_good() -> None:
    """It is new, and control is away: SDKs try again on 503."""
    asked = Request()
    asked.target = PATH.encode()
    guard = Guard(Settings(), Keyring(), time.time)
    for verdict in (guard.begin(asked), guard.judge(asked, b"")):
        assert isinstance(verdict, Answer)
        assert (verdict.status, dict(verdict.headers)[b"x-amzn-ErrorType"]) == (503, b"ServiceUnavailable")


def test_keys_outlast_control(keyed: Keyed) -> None:
    keyed.stage.control.hang_up()
    assert good(keyed.client().call(request())) == b"<{}>"
    assert refused(keyed, request(STRANGER))[0] == "UnrecognizedClientException"
    hello = keyed.stage.control.accept()
    assert len(hello["routes"]) == 1
