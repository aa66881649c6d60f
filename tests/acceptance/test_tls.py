"""HTTPS on the one port: unmodified clients, S3 through the pipe, certificates that change, and what is no TLS."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import SSLError

from tests.acceptance.running import MOORING, Deployment, Load, Server, wait_until
from tests.certifying import LOCAL, Made, made

CREDENTIAL = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"


class Secured(Server):
    """A server over TLS, and clients that trust its issuer."""

    def __init__(self, data: Path, trusted: Path, **environment: str) -> None:
        super().__init__(data, **environment)
        self.trusted = trusted

    def client(self, service: str, *, retries: int = 0, region: str = "us-east-1", **config: Any) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            verify=str(self.trusted),
            config=Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, **config),
        )

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def shown(self) -> bytes:
        """The certificate that a new connection is shown."""
        return ssl.get_server_certificate(("127.0.0.1", self.port)).encode()


@contextlib.contextmanager
def secured(directory: Path, pair: Made, trusted: Made, **environment: str) -> Iterator[Secured]:
    """A server that shows `pair`, found in `directory`, to clients that trust `trusted`."""
    certificate, key = pair.write(directory)
    bundle = directory / "trusted.pem"
    bundle.write_bytes(trusted.pem)
    server = Secured(directory / "data", bundle, **environment)
    try:
        server.start("--certificate", str(certificate), "--key", str(key))
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A server whose certificate signed itself, with an endpoint."""
    pair = made(*LOCAL)
    bound = {"MOORING_TLS_HANDSHAKE_TIMEOUT_S": "3"}
    with secured(tmp_path_factory.mktemp("own"), pair, pair, **bound) as server:
        deployment = Deployment(server)
        deployment.simple("echo")
        yield deployment


@pytest.fixture(scope="module")
def authority() -> Made:
    return made(subject="an authority", authority=True)


@pytest.fixture(scope="module")
def replaced(tmp_path_factory: pytest.TempPathFactory, authority: Made) -> Iterator[tuple[Deployment, Path]]:
    """A server whose certificate somebody signed, with an endpoint; and where its certificate is, to be replaced."""
    directory = tmp_path_factory.mktemp("replaced")
    with secured(directory, made(*LOCAL, issuer=authority), authority, MOORING_WORKERS="2") as server:
        deployment = Deployment(server)
        deployment.simple("echo")
        yield deployment, directory


def test_unmodified_clients_work_over_tls(own: Deployment) -> None:
    server = of(own)
    assert server.url.startswith("https://127.0.0.1:")
    assert own.invoke("echo")["model"] == "echo"
    ours = server.trusted.read_bytes()
    server.trusted.write_bytes(made(*LOCAL).pem)
    with pytest.raises(SSLError):
        server.client("sagemaker").list_models()
    server.trusted.write_bytes(ours)

    data = os.urandom(20 * 1024 * 1024)
    own.s3.put_object(Bucket=own.bucket, Key="large", Body=data)
    read = own.s3.get_object(Bucket=own.bucket, Key="large")["Body"].read()
    assert hashlib.sha256(read).digest() == hashlib.sha256(data).digest()
    upload = own.s3.create_multipart_upload(Bucket=own.bucket, Key="parts")["UploadId"]
    named = {"Bucket": own.bucket, "Key": "parts", "UploadId": upload}
    tag = own.s3.upload_part(**named, PartNumber=1, Body=data)["ETag"]
    done = own.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]})
    assert done["Location"].startswith("https://")
    queue = server.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    assert queue.startswith(server.url)
    status = server.status()
    assert status["url"] == server.url
    assert (status["tls"]["names"], status["tls"]["problem"]) == (list(LOCAL), None)


def test_one_connection_for_s3_and_all_else(own: Deployment) -> None:
    server = of(own)
    with _connection(server) as connection:
        for _ in range(2):
            connection.request("PUT", f"/{own.bucket}/key", b"x" * 300_000, {"Authorization": CREDENTIAL.format("s3")})
            assert connection.getresponse().read() == b""
        connection.request("GET", f"/{own.bucket}/key", headers={"Authorization": CREDENTIAL.format("s3")})
        assert connection.getresponse().read() == b"x" * 300_000
        headers = {"Authorization": CREDENTIAL.format("sagemaker"), "Content-Type": "text/csv"}
        connection.request("POST", "/endpoints/echo/invocations", b"y", headers)
        with connection.getresponse() as answer:
            assert answer.status == 200
            assert answer.getheader("connection") == "close"
            assert json.loads(answer.read())["model"] == "echo"


def test_the_audit_log_has_the_clients_address(own: Deployment) -> None:
    server = of(own)
    with _connection(server) as connection:
        connection.request("PUT", f"/{own.bucket}/audited", b"x", {"Authorization": CREDENTIAL.format("s3")})
        assert connection.getresponse().read() == b""
        call = {"X-Amz-Target": "SageMaker.ListEndpoints", "Content-Type": "application/x-amz-json-1.1"}
        forged = {"X-Mooring-Source": "6.6.6.6", "Authorization": CREDENTIAL.format("sagemaker")}
        connection.request("POST", "/", b"{}", {**call, **forged})
        with connection.getresponse() as answer:
            assert answer.status == 200
    recorded = [json.loads(line) for line in (server.data / "logs" / "audit.jsonl").read_text().splitlines()]
    assert [line["source"] for line in recorded if line.get("resource", "").endswith("/audited")] == ["127.0.0.1"]
    assert [line["source"] for line in recorded if line["operation"] == "ListEndpoints"] == ["127.0.0.1"]


def test_each_connection_of_s3_gets_its_answer_whole(own: Deployment) -> None:
    server, data = of(own), os.urandom(300_000)
    own.s3.put_object(Bucket=own.bucket, Key="whole", Body=data)
    for _ in range(30):
        with _connection(server) as connection:
            connection.request("GET", f"/{own.bucket}/whole", headers={"Authorization": CREDENTIAL.format("s3")})
            with connection.getresponse() as answer:
                assert answer.read() == data


def test_invocations_are_not_held_up_by_large_objects(own: Deployment) -> None:
    server = of(own)
    data = os.urandom(30 * 1024 * 1024)
    own.s3.put_object(Bucket=own.bucket, Key="large", Body=data)
    stop = threading.Event()

    def move() -> None:
        s3 = server.client("s3")
        while not stop.is_set():
            assert s3.get_object(Bucket=own.bucket, Key="large")["Body"].read() == data

    mover = threading.Thread(target=move)
    mover.start()
    try:
        with Load(own, "echo") as load:
            load.wait_for_more(200)
    finally:
        stop.set()
        mover.join(30)
    assert load.failures == []
    assert not mover.is_alive()


def test_a_slow_reader_does_not_fill_memory(own: Deployment) -> None:
    server = of(own)
    own.s3.put_object(Bucket=own.bucket, Key="large", Body=os.urandom(60 * 1024 * 1024))
    before = _resident(server.process("gateway 0"))
    with contextlib.ExitStack() as readers:
        for _ in range(4):
            connection = readers.enter_context(_connection(server))
            connection.request("GET", f"/{own.bucket}/large", headers={"Authorization": CREDENTIAL.format("s3")})
            assert len(readers.enter_context(connection.getresponse()).read(10)) == 10
        time.sleep(0.5)
        assert _resident(server.process("gateway 0")) - before < 60 * 1024 * 1024


def test_a_new_certificate_is_served_without_a_failed_request(
    replaced: tuple[Deployment, Path], authority: Made
) -> None:
    own, directory = replaced
    server, before = of(own), (directory / "tls.crt").read_bytes()
    assert "AWS_CA_BUNDLE" not in _variables(server), "others know the issuer"
    second = made(*LOCAL, issuer=authority)
    with _connection(server) as kept:
        assert _asked(kept)
        assert server.shown().strip() == before.strip()
        with Load(own, "echo") as load, _connecting(server) as failures:
            second.write(directory)
            for _ in range(20):  # by either gateway
                wait_until(lambda: server.shown().strip() == second.pem.strip(), what="the new certificate")
            load.wait_for_more(50)
        assert load.failures == []
        assert failures == []
        assert _asked(kept), "a connection outlives the certificate that it began with"
    assert server.status()["tls"]["problem"] is None


def test_a_bad_pair_keeps_the_old_one_and_says_so(replaced: tuple[Deployment, Path], authority: Made) -> None:
    own, directory = replaced
    server, other = of(own), made(*LOCAL, issuer=authority)
    (directory / "tls.key").write_bytes(other.key_pem)
    wait_until(lambda: "the key is not that of the certificate" in server.log.read_text(), what="a line in the log")
    assert "the key is not that of the certificate" in server.status()["tls"]["problem"]
    shown = server.command("status").stdout
    assert "the key is not that of the certificate" in shown
    assert own.invoke("echo")["model"] == "echo"
    (directory / "tls.crt").write_text("nothing")
    wait_until(lambda: "has no certificate in it" in server.log.read_text(), what="a line in the log")
    os.kill(server.process("gateway 0"), signal.SIGKILL)
    wait_until(lambda: _answers(server), what="a gateway that finds the last good pair")
    other.write(directory)
    wait_until(lambda: server.shown().strip() == other.pem.strip(), what="the good pair")
    assert server.status()["tls"]["problem"] is None


def test_the_command_line_finds_and_trusts_its_server(tmp_path: Path) -> None:
    pair = made("localhost", "mooring.example.com")
    with secured(tmp_path, pair, pair) as server:
        _commands(server)
        assert server.command("stop").returncode == 0
        assert not list((server.data / "run").glob("*.pem")), "no key stays behind"


def _commands(server: Secured) -> None:
    assert server.url.startswith("https://localhost:")
    assert "TLS for localhost, mooring.example.com until" in server.command("status").stdout
    variables = _variables(server)
    assert variables["AWS_ENDPOINT_URL"] == server.url
    assert server.trusted.read_text().strip() in Path(variables["AWS_CA_BUNDLE"]).read_text()
    program = (
        "import boto3, subprocess; print(boto3.client('sts').get_caller_identity()['Account']);"
        "s3 = boto3.client('s3'); s3.create_bucket(Bucket='run');"
        "s3.put_object(Bucket='run', Key='k', Body=b'x' * 10**6);"
        "print(len(s3.get_object(Bucket='run', Key='k')['Body'].read()));"
        f"subprocess.run([{str(MOORING)!r}, 'status', '--json'], check=True)"
    )
    done = server.command("run", "--", sys.executable, "-c", program)
    assert done.stdout.startswith("000000000000\n1000000\n{"), (done.stdout, done.stderr)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    by_url = [MOORING, "status", "--url", server.url]
    stranger = subprocess.run(by_url, env=environment, capture_output=True, text=True, check=False)
    assert stranger.returncode != 0
    assert stranger.stderr.startswith(f"mooring: the certificate of {server.url} is not trusted (")
    assert stranger.stderr.endswith("set AWS_CA_BUNDLE to a file with that certificate, or with its issuer's\n")
    told = {**environment, "AWS_CA_BUNDLE": str(server.trusted)}
    assert subprocess.run(by_url, env=told, capture_output=True, check=False).returncode == 0
    by_address = [MOORING, "status", "--url", f"https://127.0.0.1:{server.port}"]
    elsewhere = subprocess.run(by_address, env=told, capture_output=True, text=True, check=False)
    assert elsewhere.stderr.endswith(": call it by a name that its certificate is for\n")
    assert f"answers at {server.url}" in server.command("doctor").stdout


def test_a_model_reaches_its_server(own: Deployment) -> None:
    script = """
import boto3, json
def model_fn(d):
    return boto3.client("sts").get_caller_identity()["Account"]
def input_fn(body, content_type):
    return body
def predict_fn(data, model):
    return model
def output_fn(data, accept):
    return json.dumps({"model": data}), "application/json"
"""
    own.simple("caller", script)
    assert own.invoke("caller")["model"] == "000000000000"


def test_what_is_no_tls_ends(own: Deployment) -> None:
    server = of(own)
    silent = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    for sent in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x00" * 1000, b"\x16\x03\x01" + b"\xff" * 500):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
            plain.sendall(sent)
            with contextlib.suppress(ConnectionResetError):
                while plain.recv(4096):
                    pass
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = _trusting(server)
        context.minimum_version = context.maximum_version = version
        sock = socket.create_connection(("127.0.0.1", server.port))
        with context.wrap_socket(sock, server_hostname="localhost") as secure:
            assert secure.version() == version.name.replace("_", ".")
    old = _trusting(server)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", server.port)) as sock, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(sock, server_hostname="localhost")
    with silent, contextlib.suppress(ConnectionResetError):
        assert silent.recv(1) == b"", "who does not even begin a handshake is not waited for"
    assert own.invoke("echo")["model"] == "echo"
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda pair, _: (pair.pem, b""), "one of them is not"),
        (lambda pair, other: (pair.pem, other.key_pem), "the key is not that of the certificate"),
        (lambda pair, _: (b"nothing", pair.key_pem), "has no certificate in it"),
        (lambda pair, _: (pair.pem, pair.locked_key_pem), "the key is encrypted"),
        (lambda pair, _: (pair.pem, None), "No such file or directory"),
    ],
    ids=["no-key", "another-key", "no-certificate", "locked", "missing"],
)
def test_a_server_does_not_start_with_a_bad_pair(
    tmp_path: Path, given: Callable[[Made, Made], tuple[bytes, bytes | None]], said: str
) -> None:
    certificate, key = given(made(*LOCAL), made(*LOCAL))
    (tmp_path / "c.pem").write_bytes(certificate)
    if key is not None:
        (tmp_path / "k.pem").write_bytes(key)
    flags = ["--certificate", tmp_path / "c.pem", "--key", tmp_path / "k.pem"]
    done = _serve(tmp_path, *flags)
    assert said in done.stderr
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_a_server_does_not_start_with_half_a_pair_or_without_a_name(tmp_path: Path) -> None:
    assert "both a certificate and its key" in _serve(tmp_path, "--certificate", tmp_path / "c.pem").stderr
    certificate, key = made(subject="localhost").write(tmp_path)
    assert "subjectAltName" in _serve(tmp_path, "--certificate", certificate, "--key", key).stderr
    certificate, key = made("*.example.com").write(tmp_path)
    assert "MOORING_TLS_NAME" in _serve(tmp_path, "--certificate", certificate, "--key", key).stderr


def of(own: Deployment) -> Secured:
    assert isinstance(own.server, Secured)
    return own.server


def _variables(server: Secured) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"}
    command = [MOORING, "env", "--shell", "json", "--data-dir", server.data]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _serve(tmp_path: Path, *flags: str | Path) -> subprocess.CompletedProcess[str]:
    command = [MOORING, "serve", "--port", "0", "--data-dir", tmp_path / "data", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def _trusting(server: Secured) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=server.trusted)
    context.check_hostname = False
    return context


@contextlib.contextmanager
def _connection(server: Secured) -> Iterator[http.client.HTTPSConnection]:
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=20, context=_trusting(server))
    with contextlib.closing(connection):
        yield connection


def _asked(connection: http.client.HTTPSConnection) -> bytes:
    """The server's status, on a connection that is kept."""
    connection.request("GET", "/-/mooring/v1/status", headers={"X-Mooring-Client": "test"})
    with connection.getresponse() as response:
        assert response.status == 200
        return response.read()


def _answers(server: Secured) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException), _connection(server) as connection:
        return bool(_asked(connection))
    return False


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def _connecting(server: Secured) -> Iterator[list[Exception]]:
    """New connections without pause, and what failed of them."""
    failures: list[Exception] = []
    stop = threading.Event()

    def connect() -> None:
        while not stop.is_set():
            try:
                with _connection(server) as connection:
                    _asked(connection)
            except Exception as error:  # noqa: BLE001 - what fails is what the test looks at
                failures.append(error)

    thread = threading.Thread(target=connect)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join(20)
