"""A server that needs access keys, as its users meet it: boto3, the commands, `kill -9`, and what lies on the disk."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.processes.identity import of
from mooring.wire.signing import Credentials, signed_headers
from tests.acceptance.running import MOORING, Deployment, Server, wait_until
from tests.acceptance.test_fuzzing import assert_in_form, mutations, said_to

ASKING = """
import json
def model_fn(model_dir):
    return model_dir
def input_fn(body, content_type):
    return body.decode() if isinstance(body, bytes) else body
def predict_fn(what, model):
    import boto3
    if what == "who":
        return boto3.client("sts").get_caller_identity()["Arn"]
    if what == "read":
        return boto3.client("s3").list_objects_v2(Bucket="t-models")["KeyCount"]
    try:
        boto3.client("sagemaker").delete_model(ModelName="asking")
    except Exception as error:
        return str(error)
def output_fn(result, accept):
    return json.dumps({"said": result}), "application/json"
"""


def keyed(server: Server) -> Server:
    """Make a key for the tests' clients, who may do everything."""
    server.key = new_key(server, "admin")
    return server


def new_key(server: Server, name: str, *statements: dict[str, Any]) -> tuple[str, str]:
    flags = []
    if statements:
        policy = server.data.parent / f"{name}.json"
        policy.write_text(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))
        flags = ["--policy", str(policy)]
    done = server.command("keys", "create", "--name", name, "--json", *flags)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    return made["access_key_id"], made["secret_access_key"]


def allow(*actions: str, resource: str | list[str] = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


@pytest.fixture(scope="module")
def open_to_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A server that needs keys, with an endpoint."""
    server = Server(tmp_path_factory.mktemp("keys") / "data", MOORING_ACCESS_MODE="keys", MOORING_WORKERS="2")
    try:
        deployment = Deployment(keyed(server.start()))
        deployment.simple("steady")
        yield deployment
    finally:
        server.end()


@pytest.fixture(scope="module")
def narrow(open_to_keys: Deployment) -> Credentials:
    """A key that may read and invoke."""
    return Credentials(*new_key(open_to_keys.server, "reader", allow("s3:Get*", "sagemaker:Invoke*", "logs:*")))


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


INVOCATION = {"EndpointName": "steady", "Body": b"x", "ContentType": "text/csv"}


def calls(server: Server, key: tuple[str, ...]) -> dict[str, Callable[[], Any]]:
    """One call of each kind."""
    clients = {name: server.client(name, key=key) for name in ("sagemaker", "sagemaker-runtime", "s3", "sts", "sqs")}
    return {
        "sagemaker": clients["sagemaker"].list_models,
        "sagemaker-runtime": lambda: clients["sagemaker-runtime"].invoke_endpoint(**INVOCATION),
        "s3": clients["s3"].list_buckets,
        "sts": clients["sts"].get_caller_identity,
        "sqs": clients["sqs"].list_queues,
    }


MISMATCHES = {
    "sagemaker": ("InvalidSignatureException", 400),
    "sagemaker-runtime": ("InvalidSignatureException", 403),
    "s3": ("SignatureDoesNotMatch", 403),
    "sts": ("SignatureDoesNotMatch", 403),
    "sqs": ("InvalidSignatureException", 400),
}
STRANGERS = {
    "sagemaker": ("UnrecognizedClientException", 400),
    "sagemaker-runtime": ("UnrecognizedClientException", 403),
    "s3": ("InvalidAccessKeyId", 403),
    "sts": ("InvalidClientTokenId", 403),
    "sqs": ("UnrecognizedClientException", 400),
}


def test_a_key_opens_every_service_and_nothing_else_does(open_to_keys: Deployment) -> None:
    server = open_to_keys.server
    for call in calls(server, server.key).values():
        call()
    wrong = {name: refused(call) for name, call in calls(server, (server.key[0], "wrong")).items()}
    assert wrong == MISMATCHES
    assert {name: refused(call) for name, call in calls(server, ("AKIDSTRANGER", "x")).items()} == STRANGERS
    role = {"RoleArn": "arn:aws:iam::000000000000:role/any", "RoleSessionName": "session"}
    given = server.client("sts").assume_role(**role)["Credentials"]
    for call in calls(server, (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])).values():
        call()
    late = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(minutes=20)
    with mock.patch("botocore.auth.get_current_datetime", return_value=late):
        skewed = {name: refused(call)[0] for name, call in calls(server, server.key).items()}
    assert skewed == {name: code for name, (code, _) in MISMATCHES.items()} | {"s3": "RequestTimeTooSkewed"}


def test_a_policy_says_what_its_key_may_do(open_to_keys: Deployment) -> None:
    server = open_to_keys.server
    mine = "arn:aws:sagemaker:*:*:endpoint/st*"
    key = new_key(
        server,
        "narrow",
        allow("sagemaker:InvokeEndpoint", "sagemaker:DescribeEndpoint", resource=mine),
        allow("s3:GetObject", "s3:ListBucket", resource=["arn:aws:s3:::t-models", "arn:aws:s3:::t-models/*"]),
        {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::t-models/steady/*"},
    )
    sagemaker, s3 = server.client("sagemaker", key=key), server.client("s3", key=key)
    server.client("sagemaker-runtime", key=key).invoke_endpoint(**INVOCATION)
    assert sagemaker.describe_endpoint(EndpointName="steady")["EndpointStatus"] == "InService"
    denied = ("AccessDeniedException", 400)
    assert refused(sagemaker.describe_endpoint, EndpointName="other") == denied
    assert refused(sagemaker.delete_endpoint, EndpointName="steady") == denied
    assert refused(sagemaker.list_endpoints) == denied
    runtime = server.client("sagemaker-runtime", key=key)
    assert refused(runtime.invoke_endpoint, **{**INVOCATION, "EndpointName": "other"}) == ("AccessDeniedException", 403)
    assert s3.list_objects_v2(Bucket="t-models")["KeyCount"] == 1
    assert refused(s3.get_object, Bucket="t-models", Key="steady/model.tar.gz") == ("AccessDenied", 403)
    assert refused(s3.put_object, Bucket="t-models", Key="x", Body=b"") == ("AccessDenied", 403)
    assert refused(server.client("sqs", key=key).list_queues) == denied
    caller = server.client("sts", key=key).get_caller_identity()["Arn"]
    assert caller == "arn:aws:sts::000000000000:assumed-role/mooring/narrow"


def test_a_policy_that_would_not_be_heard_is_refused(open_to_keys: Deployment, tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps({"Statement": {**allow("s3:*"), "Condition": {"Bool": {"aws:SecureTransport": "true"}}}})
    )
    done = open_to_keys.server.command("keys", "create", "--policy", str(policy))
    assert (done.returncode, done.stdout) == (1, "")
    assert "statement 1 of the policy has the element 'Condition', which is not supported" in done.stderr


def test_a_revoked_key_opens_nothing_when_the_command_has_returned(open_to_keys: Deployment) -> None:
    server = open_to_keys.server
    key = new_key(server, "short-lived")
    kept_alive = calls(server, key)
    for call in kept_alive.values():
        call()
    done = server.command("keys", "revoke", "short-lived")
    assert done.stdout == f"revoked {key[0]}\n"
    assert {name: refused(call) for name, call in kept_alive.items()} == STRANGERS
    assert "short-lived" not in server.command("keys", "list").stdout
    assert server.command("keys", "revoke", "short-lived").returncode == 1


def test_presigned_urls(open_to_keys: Deployment) -> None:
    s3 = open_to_keys.s3
    s3.put_object(Bucket="t-models", Key="shared", Body=b"shared")
    url = s3.generate_presigned_url("get_object", {"Bucket": "t-models", "Key": "shared"})
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == b"shared"
    for changed in (url.replace("/shared", "/steady/model.tar.gz"), url.partition("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(changed, timeout=10)
        with contextlib.closing(caught.value):
            assert caught.value.code == 403
    s3.delete_object(Bucket="t-models", Key="shared")


def test_a_models_own_clients_get_in_and_change_nothing(open_to_keys: Deployment) -> None:
    open_to_keys.simple("asking", ASKING)

    def said(what: str) -> Any:
        answer = open_to_keys.runtime.invoke_endpoint(EndpointName="asking", Body=what, ContentType="text/csv")
        return json.loads(answer["Body"].read())["said"]

    assert said("who") == "arn:aws:sts::000000000000:assumed-role/mooring/replica"
    assert said("read") == 2
    assert "AccessDeniedException" in said("delete")


def test_the_commands_of_the_servers_owner_need_no_key(open_to_keys: Deployment, tmp_path: Path) -> None:
    server = open_to_keys.server
    script = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    flags = ["--data-dir", str(server.data)]
    done = subprocess.run(
        [MOORING, "run", *flags, "--", sys.executable, "-c", script],
        env={**environ, "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert done.stdout == "arn:aws:sts::000000000000:assumed-role/mooring/local\n", done.stderr
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "inference.py").write_text("def model_fn(d): return 1\n")
    deployed = server.command("deploy", str(tmp_path / "model"), "--name", "by-command", "--framework", "sklearn")
    assert deployed.returncode == 0, deployed.stderr
    assert server.command("endpoints", "delete", "by-command").returncode == 0
    stranger = subprocess.run(
        [MOORING, "status", "--url", server.url], env={**environ, "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert (stranger.returncode, stranger.stdout) == (1, "")
    assert "Missing Authentication Token. Set AWS_ACCESS_KEY_ID" in stranger.stderr
    with_key = {"AWS_ACCESS_KEY_ID": server.key[0], "AWS_SECRET_ACCESS_KEY": server.key[1]}
    known = subprocess.run(
        [MOORING, "status", "--url", server.url], env={**environ, **with_key},
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert known.returncode == 0, known.stderr


def test_no_file_tells_a_secret(open_to_keys: Deployment) -> None:
    server = open_to_keys.server
    key = new_key(server, "hidden")
    server.client("sagemaker", key=key).list_models()
    secrets = [secret.encode() for _, secret in (key, server.key)]
    files = [path for path in server.data.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 10
    assert [path for path in (*files, server.log) if any(secret in path.read_bytes() for secret in secrets)] == []
    assert (server.data / "master.key").stat().st_mode & 0o077 == 0
    assert (server.data / "run" / "credentials.json").stat().st_mode & 0o077 == 0


def test_keys_survive_the_death_of_everyone(make_server: Callable[..., Server]) -> None:
    server = keyed(make_server(MOORING_ACCESS_MODE="keys").start())
    deployment = Deployment(server)
    deployment.simple("steady")
    good, bad = calls(server, server.key), calls(server, (server.key[0], "wrong"))

    def holds(*names: str) -> None:
        for name in names:
            wait_until(lambda name=name: _works(good[name]), what=f"{name} to answer")
            assert refused(bad[name]) == MISMATCHES[name]

    holds("sagemaker-runtime", "s3", "sagemaker")
    with server.frozen("control"):
        holds("sagemaker-runtime", "s3")
    for name in ("control", "gateway 0", "objects"):
        identity = of(server.process(name))
        assert identity is not None
        os.kill(identity.pid, signal.SIGKILL)
        wait_until(lambda identity=identity: not identity.alive(), what=f"{name} to be dead")
        holds("sagemaker-runtime", "s3", "sagemaker")
    server.stop()
    server.start()
    good, bad = calls(server, server.key), calls(server, (server.key[0], "wrong"))
    holds("sagemaker-runtime", "s3", "sagemaker")


def _works(call: Callable[[], Any]) -> bool:
    try:
        call()
    except Exception:  # noqa: BLE001 - while something is being restarted, anything may happen
        return False
    return True


def test_a_server_on_the_network_needs_a_key_or_to_be_told(make_server: Callable[..., Server]) -> None:
    server = make_server()
    refusal = subprocess.run(
        [MOORING, "serve", "--host", "0.0.0.0", "--port", "0", "--data-dir", server.data],
        capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip
    assert refusal.returncode == 1
    assert [line for line in refusal.stderr.splitlines() if line.startswith("mooring: ")] == [
        (
            "mooring: 0.0.0.0 can be reached over the network, and there is no access key: make one with "
            f"`mooring keys create --data-dir {server.data}`, or let everyone in with --insecure"
        )
    ]
    server.start("--host", "0.0.0.0", "--insecure")
    server.client("sagemaker").list_models()
    server.stop()
    key = new_key(server, "first")  # before any server needs it
    server.start("--host", "0.0.0.0")
    server.client("sagemaker", key=key).list_models()
    assert refused(server.client("sagemaker").list_models)[0] == "UnrecognizedClientException"


@given(message=mutations())
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(300)
def test_whatever_a_stranger_sends_is_refused(open_to_keys: Deployment, message: bytes) -> None:
    answer = said_to(open_to_keys.server, message)
    assert_in_form(answer)
    assert re.search(rb"(?m)^HTTP/1\.1 2", answer) is None, answer


TARGETS = st.sampled_from(
    ["/", "/?x=%00", "/endpoints/steady/invocations", "/a%2F..//b?uploads&x", "/-/mooring/v1/keys/%ff"]
)
SERVICES = st.sampled_from(["sagemaker", "s3", "sts", "sqs", "logs", "monitoring", "mooring", "kms"])
KINDS = st.sampled_from(
    ["application/x-amz-json-1.1", "application/x-www-form-urlencoded", "application/cbor", "text/csv"]
)
CALLED = st.sampled_from(
    ["", "SageMaker.CreateModel", "AmazonSQS.SendMessage", "Logs_20140328.PutLogEvents", "X.\u00fc"]
)
BODIES = st.binary(max_size=60) | st.sampled_from(
    [b"Action=AssumeRole&Version=2011-06-15", b"a&a=1&a.member.1=2&Action=DeleteAlarms&Version=2010-08-01", b"[" * 3000]
)


CALLS = st.tuples(SERVICES, TARGETS, KINDS, CALLED, st.sampled_from(["GET", "POST"]), BODIES)


@given(call=CALLS)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@pytest.mark.timeout(300)
def test_what_a_narrow_key_signs_is_answered_in_form(
    open_to_keys: Deployment, narrow: Credentials, call: tuple[str, str, str, str, str, bytes]
) -> None:
    service, target, kind, called, method, body = call
    server = open_to_keys.server
    headers = {"Content-Type": kind, "X-Mooring-Client": "test", **({"X-Amz-Target": called} if called else {})}
    digest = hashlib.sha256(body).hexdigest().encode()
    made = signed_headers(narrow, service, "us-east-1", method, server.url + target, headers, digest)
    lines = "".join(f"{name}: {value}\r\n" for name, value in made.items()) + f"Content-Length: {len(body)}\r\n"
    head = f"{method} {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n".encode("latin-1")
    answer = said_to(server, head + body, leaves=False)
    assert re.match(rb"HTTP/1\.1 \d", answer), answer
    assert_in_form(answer)


def test_nothing_of_all_that_has_left_a_trace(open_to_keys: Deployment) -> None:
    assert "Traceback" not in open_to_keys.server.log.read_text()
    assert open_to_keys.sagemaker.describe_endpoint(EndpointName="steady")["EndpointStatus"] == "InService"
