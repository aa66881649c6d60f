"""`mooring doctor`: each check finds what is wrong with a scene that is made so, and says where and what to do."""

from __future__ import annotations

import email.utils
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from mooring import __version__
from mooring.cli import doctor, main
from mooring.cli.doctor import clients, environment, frameworks, machine, places, server
from mooring.cli.doctor.findings import Finding, Scene, Verdict, address
from mooring.cli.finding import Server
from mooring.paths import Paths
from mooring.processes import identity

URL = "http://127.0.0.1:8080"


def scene(root: Path | None = None, *, url: str | None = URL, **members: Any) -> Scene:
    paths = None if root is None else Paths(root)
    environ = members.pop("environ", {})
    return Scene(environ, Server("here", url, members.pop("identity", None), paths), paths, **members)


def only(findings: Iterable[Finding], verdict: str) -> Finding:
    (found,) = findings
    assert found.verdict == verdict, found
    assert "\n" not in found.text + found.advice
    assert found.verdict is Verdict.OK or found.text
    return found


# TLS.


def over_tls(root: Path | None = None, environ: dict[str, str] | None = None, **tls: Any) -> Scene:
    served = {
        "certificate": "/c.pem",
        "names": ["a"],
        "not_after": time.time() + 9e6,
        "anchored": True,
        "problem": None,
    }
    return scene(root, status={"tls": {**served, **tls}}, environ=environ or {})


def test_a_certificate_is_looked_at() -> None:
    assert list(server.certificate(scene(status={}))) == []
    assert "for a" in only(server.certificate(over_tls()), "ok").text
    assert "1 days" in only(server.certificate(over_tls(not_after=time.time() + 90_000)), "warn").text
    assert only(server.certificate(over_tls(problem="no key")), "fail").advice == "put /c.pem right"


def test_sdks_must_know_a_certificate_that_signed_itself(tmp_path: Path) -> None:
    assert list(environment.issuers(over_tls(tmp_path, anchored=False))) == []
    assert list(environment.issuers(scene(tmp_path, status={}))) == []
    paths, bundle = Paths(tmp_path), tmp_path / "bundle.pem"
    paths.run.mkdir()
    paths.certificate.write_text("ours\n")
    assert "refuse" in only(environment.issuers(over_tls(tmp_path)), "fail").text
    told = {"AWS_CA_BUNDLE": str(bundle)}
    assert "No such file" in only(environment.issuers(over_tls(tmp_path, told)), "fail").text
    bundle.write_text("theirs\n")
    only(environment.issuers(over_tls(tmp_path, told)), "fail")
    bundle.write_text("theirs\nours\n")
    only(environment.issuers(over_tls(tmp_path, told)), "ok")


# The machine.


def test_this_python_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sys.executable in only(machine.python(scene()), "ok").text
    monkeypatch.setattr(machine.platform, "system", lambda: "Windows")
    assert "WSL" in only(machine.python(scene()), "fail").advice
    monkeypatch.setattr(machine, "OLDEST_PYTHON", (9, 0))
    assert "3.11" in only(machine.python(scene()), "fail").advice


@pytest.mark.parametrize(("kilobytes", "verdict"), [(100_000, "fail"), (900_000, "warn"), (9_000_000, "ok")])
def test_memory(tmp_path: Path, kilobytes: int, verdict: str) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemAvailable: {kilobytes} kB\n")
    only(machine.memory(scene(), tmp_path / "meminfo", tmp_path), verdict)


def test_memory_of_a_container_counts(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemAvailable: 9000000 kB\n")
    (tmp_path / "memory.current").write_text("1000000000\n")
    for most, verdict in (("1100000000\n", "fail"), ("9000000000000\n", "ok"), ("max\n", "ok")):
        (tmp_path / "memory.max").write_text(most)
        found = only(machine.memory(scene(), tmp_path / "meminfo", tmp_path), verdict)
        assert ("of this container" in found.text) == (verdict == "fail")
    assert "cannot be told" in only(machine.memory(scene(), tmp_path / "none", tmp_path), "ok").text


@pytest.mark.parametrize(
    ("soft", "verdict"), [(64, "fail"), (512, "warn"), (4096, "ok"), (resource.RLIM_INFINITY, "ok")]
)
def test_open_files(monkeypatch: pytest.MonkeyPatch, soft: int, verdict: str) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, resource.RLIM_INFINITY))
    found = only(machine.descriptors(scene()), verdict)
    assert ("ulimit -n 65536" in found.advice) == (verdict != "ok")


def program(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


def test_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert only(machine.gpus(scene()), "ok").text == "none, models run on the CPU"
    program(tmp_path / "bin", "nvidia-smi", "echo NVIDIA X; echo NVIDIA Y")
    assert only(machine.gpus(scene()), "ok").text == "NVIDIA X, NVIDIA Y"
    program(tmp_path / "bin", "nvidia-smi", "echo no driver; exit 9")
    assert "failed: no driver" in only(machine.gpus(scene()), "warn").text


# Where the server lives.


def test_settings_that_cannot_be_used() -> None:
    assert only(places.settings(scene()), "ok").text == "all by default"
    assert only(places.settings(scene(environ={"MOORING_PORT": "1"})), "ok").text == "MOORING_PORT set"
    misspelt, rest = places.settings(scene(environ={"MOORING_SERVERLESS_IDLE_SEC": "1", "MOORING_URL": "http://x"}))
    assert (misspelt.verdict, rest.text) == ("warn", "MOORING_URL set")
    assert misspelt.text == "MOORING_SERVERLESS_IDLE_SEC is set and is no setting"
    assert misspelt.advice == "is MOORING_SERVERLESS_IDLE_S meant? docs/settings.md has them all"
    found = only(places.settings(scene(environ={"MOORING_PORT": "x"})), "fail")
    assert found.text == "MOORING_PORT='x': a whole number is needed"
    assert list(places.port(scene(environ={"MOORING_PORT": "x"}))) == []


def test_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    assert "will be made" in only(places.data_directory(scene(root)), "ok").text
    root.mkdir(mode=0o700)
    only(places.data_directory(scene(root)), "ok")
    root.chmod(0o755)
    assert only(places.data_directory(scene(root)), "warn").advice == f"chmod 700 {root}"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "not writable" in only(places.data_directory(scene(root)), "fail").text
    assert f"{tmp_path} is not writable" in only(places.data_directory(scene(tmp_path / "x")), "fail").text
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "belongs to user" in only(places.data_directory(scene(root)), "fail").text
    (tmp_path / "file").touch()
    assert "is not a directory" in only(places.data_directory(scene(tmp_path / "file")), "fail").text
    assert "file/below" in only(places.data_directory(scene(tmp_path / "file" / "below")), "fail").text
    assert list(places.data_directory(scene())) == []


@pytest.mark.parametrize(("free", "verdict"), [(10**8, "fail"), (10**9, "warn"), (10**11, "ok")])
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr(places.shutil, "disk_usage", lambda path: usage)
    assert str(tmp_path) in only(places.disk(scene(tmp_path / "not" / "there")), verdict).text


def test_file_systems_that_break_state(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        f"2 1 0:5 / {tmp_path} rw shared:1 - nfs4 host:/x rw\n"
        "3 1 0:6 / /with\\040space rw - tmpfs tmpfs rw\n"
    )
    found = only(places.file_system(scene(tmp_path / "data"), mounts), "fail")
    assert "nfs4" in found.text
    assert only(places.file_system(scene(Path("/somewhere")), mounts), "ok").text.startswith("ext4 at /")
    assert "cannot be told" in only(places.file_system(scene(tmp_path), tmp_path / "none"), "ok").text


def test_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths(tmp_path / "d")
    only(places.sockets(scene(paths.root)), "ok")
    paths.sockets.mkdir(parents=True, mode=0o755)
    assert "open to others" in only(places.sockets(scene(paths.root)), "fail").text
    paths.sockets.chmod(0o700)
    only(places.sockets(scene(paths.root)), "ok")
    monkeypatch.setattr(places, "LONGEST_SOCKET_PATH", 20)
    assert "TMPDIR" in only(places.sockets(scene(paths.root)), "fail").advice


def test_the_lock_and_who_holds_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert "nobody holds" in only(places.lock(scene(tmp_path, url=None)), "ok").text
    me = identity.of(os.getpid())
    assert me is not None
    paths.lock.write_text(json.dumps(me.to_document()))
    found = only(places.lock(scene(tmp_path, url=None)), "warn")
    assert f"pid {os.getpid()} (" in found.text
    assert "does not serve yet" in found.text
    assert only(places.lock(scene(tmp_path)), "ok").text.endswith("and serves")


def test_a_port_that_another_program_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        taken = scene(url=None, environ={"MOORING_PORT": str(number)})
        found = only(places.port(taken), "fail")
        assert f"port {number} of 127.0.0.1" in found.text
        if Path("/proc/net/tcp").exists():
            assert found.text.startswith(f"pid {os.getpid()} (")
        assert "--port" in found.advice
        only(places.port(scene(url=f"http://127.0.0.1:{number}", status={})), "ok")
    assert only(places.port(taken), "ok").text == f"{number} on 127.0.0.1 is free"
    only(places.port(scene(url=None, environ={"MOORING_PORT": "0"})), "ok")


# What models run on.


def test_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "scikit-learn" in only(frameworks.installed(scene()), "ok").text
    monkeypatch.setattr(frameworks, "_version", lambda *names: None)
    assert "pip install 'mooring[sklearn,xgboost]'" in only(frameworks.installed(scene()), "warn").advice


def test_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frameworks, "find_uv", lambda: None)
    assert only(frameworks.uv(scene()), "fail").advice == "pip install uv"
    assert list(frameworks.package_index(scene())) == []
    program(tmp_path / "bin", "uv", "echo uv 9.9")
    monkeypatch.setattr(frameworks, "find_uv", lambda: str(tmp_path / "bin" / "uv"))
    assert only(frameworks.uv(scene()), "ok").text.startswith("uv 9.9 (")
    assert "--online" in only(frameworks.package_index(scene()), "ok").text
    only(frameworks.package_index(scene(online=True)), "ok")
    program(tmp_path / "bin", "uv", "echo tried >&2; echo error: dns failure >&2; exit 2")
    assert only(frameworks.package_index(scene(online=True)), "fail").text == "error: dns failure"
    program(tmp_path / "bin", "uv", "sleep 30")
    monkeypatch.setattr(frameworks, "INDEX_WITHIN_S", 0.05)
    monkeypatch.setattr(frameworks, "UV_WITHIN_S", 0.05)
    assert "no answer" in only(frameworks.package_index(scene(online=True)), "fail").text
    assert "does not run" in only(frameworks.uv(scene()), "fail").text


@pytest.mark.parametrize(
    ("here", "words"),
    [
        ({"numpy": "2.0", "spacy": "3.8"}, "NumPy 2.0, of texts spaCy 3.8"),
        ({"numpy": "2.0"}, "without spaCy: an endpoint with a TextConfig fails (pip install 'mooring[text]')"),
        ({}, "without NumPy: an endpoint with an ExplainerConfig fails (pip install 'mooring[explainer]')"),
        ({"spacy": "3.8"}, "without NumPy"),
    ],
)
def test_explanations(monkeypatch: pytest.MonkeyPatch, here: dict[str, str], words: str) -> None:
    monkeypatch.setattr(frameworks, "_version", here.get)
    assert words in only(frameworks.explanations(scene()), "ok").text


def test_explanations_as_installed() -> None:
    assert re.fullmatch(r"NumPy [\d.]+\S*, of texts spaCy [\d.]+\S*", only(frameworks.explanations(scene()), "ok").text)


# The server.


def test_the_server(tmp_path: Path) -> None:
    status = {"version": __version__, "endpoints": [{}]}
    assert only(server.reachable(scene(status=status)), "ok").text == f"answers at {URL}, 1 endpoint"
    assert (
        only(server.reachable(scene(silence="it did not answer in time")), "fail").text == "it did not answer in time"
    )
    assert "`mooring serve` starts one" in only(server.reachable(scene(url=None)), "warn").advice
    me = identity.of(os.getpid())
    assert "still starting" in only(server.reachable(scene(url=None, identity=me)), "warn").text
    only(server.version(scene(status=status)), "ok")
    assert "the server is 9.9" in only(server.version(scene(status={"version": "9.9"})), "warn").text
    assert list(server.version(scene())) == []


@pytest.mark.parametrize(("skew", "verdict"), [(0.5, "ok"), (-40.0, "warn"), (4000.0, "fail")])
def test_the_clock(skew: float, verdict: str) -> None:
    found = only(server.clock(scene(skew_s=skew)), verdict)
    assert ("behind" in found.text) == (skew == -40.0)


def endpoint(status: str, *states: str, wanted: int = 1, **members: Any) -> dict[str, Any]:
    replicas = [{"state": state} for state in states]
    return {
        "name": "e",
        "status": status,
        "variants": [{"name": "v", "desired_count": wanted, "replicas": replicas}],
        **members,
    }


def test_endpoints() -> None:
    well = {"endpoints": [endpoint("InService", "healthy")]}
    assert only(server.endpoints(scene(status=well)), "ok").text == "all 1 as they should be"
    failed = endpoint("Failed", failure_reason=f"{'AWS says ' * 60}\n\x1b[2J(model_fn failed: no such file)")
    found = only(server.endpoints(scene(status={"endpoints": [failed]})), "fail")
    assert found.text.startswith("e is Failed: AWS says")
    assert found.text.endswith("(model_fn failed: no such file)")
    assert "\x1b" not in found.text
    assert "mooring logs e" in found.advice
    dead = endpoint("InService", "starting")
    assert (
        "0 of 1 replicas of v are healthy" in only(server.endpoints(scene(status={"endpoints": [dead]})), "fail").text
    )
    some = endpoint("InService", "healthy", "starting", wanted=2)
    only(server.endpoints(scene(status={"endpoints": [some]})), "warn")
    only(server.endpoints(scene(status={"endpoints": [endpoint("Creating")]})), "warn")
    assert list(server.endpoints(scene(status={"endpoints": []}))) == []


@pytest.mark.parametrize(
    ("capture", "verdict", "words"),
    [
        ({"taken": 3, "not_taken": 0, "stopped": None, "undelivered": None}, "ok", "all 1 as they should be"),
        ({"not_taken": 7, "stopped": "the disk is full\x1b"}, "fail", "e: no records are taken: the disk is full"),
        ({"not_taken": 7, "stopped": None}, "warn", "e: 7 records were not taken"),
        ({"not_taken": 0, "undelivered": "there is no bucket"}, "warn", "e: records wait: there is no bucket"),
    ],
)
def test_captured_records(capture: dict[str, Any], verdict: str, words: str) -> None:
    status = {"endpoints": [endpoint("InService", "healthy", capture=capture)]}
    found = only(server.endpoints(scene(status=status)), verdict)
    assert words in found.text
    assert "\x1b" not in found.text


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        ({"way": "cgroup", "why": None}, "ok", "control groups of their own"),
        ({"way": "watchdog", "why": "no\ncontrol groups"}, "warn", "watched four times a second: no"),
        ({"way": "off", "why": "limits are off"}, "warn", "not limited: limits are off"),
    ],
)
def test_how_serverless_replicas_are_limited(found: dict[str, Any], verdict: str, words: str) -> None:
    assert words in only(server.limits(scene(status={"limits": found})), verdict).text
    assert list(server.limits(scene(status={}))) == []


def test_fields_without_effect() -> None:
    status = {"endpoints": [endpoint("InService", "healthy", no_effect=["KmsKeyId: nothing is encrypted", "x"])]}
    assert only(server.without_effect(scene(status=status)), "warn").text == "e: KmsKeyId: nothing is encrypted; x"


# Clients.


@pytest.mark.parametrize(
    ("versions", "verdict", "words"),
    [
        ({"boto3": "1.28.0", "botocore": "1.31.0"}, "ok", "boto3 1.28.0, botocore 1.31.0 in "),
        ({"boto3": "1.27.165", "botocore": "1.30.1"}, "fail", "too old for AWS_ENDPOINT_URL"),
        ({"botocore": "1.30.1"}, "fail", "too old"),
        ({"boto3": "1.43.1", "botocore": "1.43.1", "sagemaker": "2.257.6"}, "ok", "sagemaker 2.257.6"),
        ({}, "ok", "neither boto3 nor the SageMaker SDK"),
        (None, "warn", "does not tell"),
    ],
)
def test_libraries(monkeypatch: pytest.MonkeyPatch, versions: Any, verdict: str, words: str) -> None:
    monkeypatch.setattr(clients, "_asked", lambda interpreter: versions)
    assert words in only(clients.libraries(scene(environ={"PATH": "/nowhere"})), verdict).text


def test_libraries_of_the_interpreter_on_path(tmp_path: Path) -> None:
    program(tmp_path / "bin", "python", """echo '{"boto3": "1.20.0"}'""")
    mine, theirs = clients.libraries(scene(environ={"PATH": str(tmp_path / "bin")}))
    assert mine.verdict == "ok"
    assert sys.executable in mine.text
    assert theirs.verdict == "fail"
    assert str(tmp_path) in theirs.text


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("aws-cli/1.28.9 Python/3.8 Linux botocore/1.30", "fail"),
        ("aws-cli/1.29.0 Python/3.8", "ok"),
        ("aws-cli/2.12.7 Python/3.11", "fail"),
        ("aws-cli/2.13.0 Python/3.11", "ok"),
        ("aws-cli/3.0.0", "ok"),
        ("what?", "warn"),
    ],
)
def test_the_aws_cli(tmp_path: Path, said: str, verdict: str) -> None:
    program(tmp_path / "bin", "aws", f"echo '{said}'")
    only(clients.aws_cli(scene(environ={"PATH": str(tmp_path / "bin")})), verdict)


def test_no_aws_cli() -> None:
    assert only(clients.aws_cli(scene(environ={"PATH": "/nowhere"})), "ok").text == "not on PATH"


# The environment.


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    return tmp_path


def around(home: Path, *, url: str | None = URL, status: Any = None, **environ: str) -> Scene:
    return scene(url=url, status=status, environ={"HOME": str(home), **environ})


@pytest.mark.parametrize(
    ("given", "url", "verdict", "words"),
    [
        ("http://127.0.0.1:8080", URL, "ok", "is this server's"),
        ("http://localhost:8080/", URL, "ok", "is this server's"),
        ("http://127.0.0.1:9", URL, "fail", "is http://127.0.0.1:9, the server is at http://127.0.0.1:8080"),
        ("https://127.0.0.1:8080", URL, "fail", "the server is at"),
        ("http://u:secret@h/?x=secret", URL, "fail", "is http://h, the server"),
        ("http://127.0.0.1:8080", None, "warn", "no server runs"),
        ("nonsense:x:y", URL, "fail", "something that is no URL"),
        ("", URL, "warn", "AWS_ENDPOINT_URL is not set: SDKs call AWS itself"),
    ],
)
def test_the_endpoint_url(home: Path, given: str, url: str | None, verdict: str, words: str) -> None:
    found = only(environment.endpoint_url(around(home, url=url, AWS_ENDPOINT_URL=given)), verdict)
    assert words in found.text
    assert "secret" not in found.text


def test_the_profile_may_name_the_endpoint_url(home: Path) -> None:
    (home / ".aws" / "config").write_text(
        f"[default]\nendpoint_url = {URL}\n[profile there]\nendpoint_url = http://elsewhere\n"
        "[profile deaf]\nignore_configured_endpoint_urls = true\nregion = eu-west-1\n"
    )
    assert "the profile's" in only(environment.endpoint_url(around(home)), "ok").text
    assert "elsewhere" in only(environment.endpoint_url(around(home, AWS_PROFILE="there")), "fail").text
    found = only(environment.ignored(around(home, AWS_PROFILE="deaf", AWS_ENDPOINT_URL=URL)), "fail")
    assert "ignore_configured_endpoint_urls" in found.text
    assert list(environment.ignored(around(home))) == []
    only(environment.profile(around(home, AWS_PROFILE="there")), "ok")
    assert "is in no configuration file" in only(environment.profile(around(home, AWS_PROFILE="none")), "fail").text
    assert only(environment.region(around(home, AWS_PROFILE="deaf")), "ok").text == "eu-west-1"


def test_endpoint_urls_that_are_ignored(home: Path) -> None:
    found = only(environment.ignored(around(home, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="TRUE")), "fail")
    assert found.advice == "unset AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
    assert list(environment.ignored(around(home, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="false"))) == []


def test_endpoint_urls_of_single_services(home: Path) -> None:
    given = {"AWS_ENDPOINT_URL_S3": "http://key:secret@minio:9000", "AWS_ENDPOINT_URL_STS": URL}
    found = only(environment.of_services(around(home, **given)), "warn")
    assert found.text == "AWS_ENDPOINT_URL_S3 is http://minio:9000: calls of that service go there"
    elsewhere = {"AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": "https://aws"}
    assert (
        "unset AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"
        in only(environment.of_services(around(home, **elsewhere)), "warn").advice
    )


@pytest.mark.parametrize(
    ("environ", "verdict"),
    [
        ({}, "ok"),
        ({"http_proxy": "http://u:secret@proxy"}, "fail"),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "intranet"}, "fail"),
        ({"HTTP_PROXY": "http://proxy", "NO_PROXY": "127.0.0.1,localhost"}, "ok"),
        ({"ALL_PROXY": "http://proxy", "no_proxy": "*"}, "ok"),
    ],
)
def test_proxies(home: Path, environ: dict[str, str], verdict: str) -> None:
    found = only(environment.proxies(around(home, **environ)), verdict)
    assert "secret" not in found.text


@pytest.mark.parametrize(
    ("environ", "verdict", "words"),
    [
        ({}, "warn", "none set"),
        ({"AWS_REGION": "eu-west-1"}, "warn", "boto3 reads AWS_DEFAULT_REGION"),
        ({"AWS_DEFAULT_REGION": "eu-west-1", "AWS_REGION": "us-east-1"}, "warn", "clients that read AWS_REGION"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "ok", "us-east-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "ok", "as the server's own us-east-1, are not seen"),
    ],
)
def test_the_region(home: Path, environ: dict[str, str], verdict: str, words: str) -> None:
    assert words in only(environment.region(around(home, status={"region": "us-east-1"}, **environ)), verdict).text


def test_credentials_are_there_and_not_shown(home: Path) -> None:
    assert "any will do" in only(environment.credentials(around(home)), "warn").text
    given = {"AWS_ACCESS_KEY_ID": "AKIASECRET", "AWS_SECRET_ACCESS_KEY": "SECRET"}
    assert "SECRET" not in only(environment.credentials(around(home, **given)), "ok").text.replace(
        "AWS_SECRET_ACCESS_KEY", ""
    )
    only(environment.credentials(around(home, AWS_ACCESS_KEY_ID="AKIA")), "warn")
    (home / ".aws" / "credentials").write_text("[default]\naws_access_key_id = AKIASECRET\n")
    assert only(environment.credentials(around(home)), "ok").text == f"in {home}/.aws/credentials"
    (home / ".aws" / "config").write_text("[profile role]\nrole_arn = arn\n[broken")
    (home / ".aws" / "config").write_text("[profile role]\nrole_arn = arn\n")
    only(environment.credentials(around(home, AWS_PROFILE="role")), "ok")


def test_a_configuration_file_that_cannot_be_read_is_no_reason_to_fail(home: Path) -> None:
    (home / ".aws" / "config").write_bytes(b"\xff[[[")
    only(environment.region(around(home)), "warn")


def test_addresses_show_no_secret() -> None:
    assert address("http://user:secret@[::1]:80/secret?secret#secret") == "http://[::1]:80"
    assert address("http://x:99999") == "something that is no URL"


# The command.


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the programs that take their time, and without this machine's own configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(clients, "_interpreters", lambda environ: [])
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def test_a_line_each_in_a_pipe(fake, quick, capsys) -> None:
    assert main(["doctor", "--url", fake.url]) == 1  # an endpoint of the fake has failed
    out = capsys.readouterr().out
    lines = out.splitlines()
    advice = "`mooring logs twice` and `mooring endpoints events twice` say more;"
    assert f"fail server: endpoint: twice is Failed: no [such] file → {advice}" in out
    assert [line for line in lines if line.startswith("ok   server: server: answers at ")]
    assert [line for line in lines if line.startswith("warn environment: endpoint url: AWS_ENDPOINT_URL is not set")]
    assert lines[-1].split()[1::2] == ["ok,", "warn,", "fail"]
    assert "data directory" not in out, "a server elsewhere has no place here"


def test_json(fake, quick, capsys) -> None:
    assert main(["doctor", "--json", "--url", fake.url]) == 1
    found = json.loads(capsys.readouterr().out)
    assert set(found["findings"][0]) == {"name", "verdict", "text", "advice", "area"}
    assert sum(found["counts"].values()) == len(found["findings"])
    assert found["counts"]["fail"] == 1


def test_nothing_fails_without_a_server(quick, capsys, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MOORING_PORT", "0")
    assert main(["doctor", "--data-dir", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert "warn server: server: none runs with data in" in out
    assert "\nfail" not in out
    assert not (tmp_path / "data").exists(), "it looks and changes nothing"


def test_a_server_that_does_not_answer(fake, quick, capsys) -> None:
    fake.close()
    assert main(["doctor", "--url", fake.url]) == 1
    assert f"fail server: server: no server answers at {fake.url}: Connection refused" in capsys.readouterr().out


def test_a_clock_that_is_wrong(fake, quick, capsys, monkeypatch) -> None:
    real = time.time()
    monkeypatch.setattr(
        email.utils, "parsedate_to_datetime", lambda text: type("D", (), {"timestamp": lambda self: real + 4000})()
    )
    assert main(["doctor", "--url", fake.url]) == 1
    assert "fail server: clock: the server's is 4000 s ahead" in capsys.readouterr().out


def test_a_check_that_breaks_hides_no_other(quick, capsys, monkeypatch, tmp_path: Path) -> None:
    def broken(scene: Scene) -> Iterable[Finding]:
        raise RuntimeError("oh")

    broken.__name__ = "the_thing"
    monkeypatch.setattr(doctor, "CHECKS", (("a", broken), ("b", machine.python)))
    assert main(["doctor", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "warn a: the thing: could not be checked: RuntimeError: oh"


def test_in_a_terminal_a_table_of_at_most_120_columns(fake, quick, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for columns, most in (("300", 120), ("80", 80)):
        monkeypatch.setenv("COLUMNS", columns)
        assert main(["doctor", "--url", fake.url]) == 1
        lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
        assert max(map(len, lines)) <= most
        assert any(line.split()[:2] == ["fail", "endpoint"] for line in lines)


def test_everything_is_examined_for_real(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mooring.cli", "doctor", "--json", "--data-dir", str(tmp_path / "data")],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "MOORING_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    found = json.loads(done.stdout)
    assert [each for each in found["findings"] if "could not be checked" in each["text"]] == []
    assert {each["area"] for each in found["findings"]} == {
        "machine",
        "data",
        "runtimes",
        "server",
        "clients",
        "environment",
    }
