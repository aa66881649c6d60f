"""`mooring deploy` where something goes wrong: nothing half-made is left behind, and every mistake is one line."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.cli import events, main
from mooring.cli.deploy import deploying, planning
from mooring.errors import BadInput

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
MISSING = {"DescribeEndpoint": "endpoint", "DescribeModel": "model", "DescribeEndpointConfig": "endpoint configuration"}
BUCKET = "sagemaker-us-east-1-000000000000"


class FakeAws:
    """A server that has nothing, takes everything, and answers as a test says."""

    def __init__(self, fake: Any) -> None:
        self.fake = fake
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.objects: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.answers: dict[str, Callable[[dict[str, Any]], tuple[int, Any]]] = {}
        fake.answers["POST", "/"] = self._call
        fake.answers["GET", "/-/mooring/v1/images/sklearn"] = lambda query, body: (200, {"image": IMAGE})
        fake.answers["GET", "/-/mooring/v1/endpoints/iris/events"] = lambda query, body: (
            200,
            {"events": self._new(query)},
        )
        fake.answers["GET", "/-/mooring/v1/endpoints/iris/logs"] = lambda query, body: (200, {"lines": [], "next": ""})

    def _new(self, query: str) -> list[dict[str, Any]]:
        after = int(re.search(r"after=(\d+)", query)[1])
        return [each for each in self.events if each["position"] > after]

    def _call(self, query: str, body: bytes) -> tuple[int, Any]:
        operation = self.fake.asked[-1][2]["x-amz-target"].partition(".")[2]
        members = json.loads(body)
        self.calls.append((operation, members))
        if operation in self.answers:
            return self.answers[operation](members)
        if operation in MISSING:
            return 400, {"__type": "ValidationException", "message": f'Could not find {MISSING[operation]} "arn".'}
        return 200, {}

    def operations(self) -> list[str]:
        return [operation for operation, _ in self.calls if not operation.startswith("Describe")]


@pytest.fixture
def aws(fake, monkeypatch: pytest.MonkeyPatch) -> FakeAws:
    monkeypatch.setattr(events, "POLL_S", 0.01)
    monkeypatch.setattr(deploying, "POLL_S", 0.01)
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    faked = FakeAws(fake)
    fake.answers["HEAD", f"/{BUCKET}"] = lambda query, body: (404, b"")
    fake.answers["PUT", f"/{BUCKET}"] = lambda query, body: (200, b"")
    fake.answers["DELETE", f"/{BUCKET}"] = lambda query, body: (204, b"")
    return faked


@pytest.fixture
def iris(fake, tmp_path: Path) -> str:
    """A model directory, for whose archive the fake has room."""
    (tmp_path / "iris" / "code").mkdir(parents=True)
    (tmp_path / "iris" / "code" / "inference.py").write_text("import sklearn\ndef model_fn(d): return 1\n")
    key = f"/{BUCKET}/iris/{archive_digest(tmp_path / 'iris')}/model.tar.gz"
    for method in ("PUT", "DELETE"):
        fake.answers[method, key] = lambda query, body: (200, b"")
    return str(tmp_path / "iris")


def archive_digest(directory: Path) -> str:
    from mooring.cli.deploy import packing, sources

    source = sources.of_path(str(directory))
    return packing.pack(source.entries, directory.parent / "x", lambda count: None).digest[:16]


def refused(message: str) -> Callable[[dict[str, Any]], tuple[int, Any]]:
    return lambda members: (400, {"__type": "ValidationException", "message": message})


def endpoint(status: str, **members: Any) -> Callable[[dict[str, Any]], tuple[int, Any]]:
    return lambda asked: (200, {"EndpointStatus": status, **members})


def run(fake, *words: str) -> int:
    return main(["deploy", *words, "--url", fake.url])


def test_a_deployment_that_is_not_waited_for(fake, aws: FakeAws, iris: str, capsys) -> None:
    assert run(fake, iris, "--no-wait", "--env", "A=b=c", "--instances", "2") == 0
    assert aws.operations() == ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"]
    model, config, made = (members for operation, members in aws.calls if operation.startswith("Create"))
    assert model["PrimaryContainer"]["Image"] == IMAGE
    assert model["PrimaryContainer"]["Environment"]["A"] == "b=c"
    assert model["ExecutionRoleArn"] == "arn:aws:iam::000000000000:role/mooring"
    assert model["PrimaryContainer"]["ModelDataUrl"].startswith(f"s3://{BUCKET}/iris/")
    assert config["ProductionVariants"] == [
        {
            "VariantName": "AllTraffic",
            "ModelName": model["ModelName"],
            "InitialInstanceCount": 2,
            "InstanceType": "ml.m5.large",
        }
    ]
    assert made == {"EndpointName": "iris", "EndpointConfigName": config["EndpointConfigName"]}
    out, err = capsys.readouterr()
    assert out.startswith("iris is being created; watch it with `mooring endpoints events iris --follow`\n")
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "source", "framework", "pack", "bucket", "upload", "model", "config", "endpoint",
    ]  # fmt: skip
    assert "framework: sklearn (code/inference.py imports sklearn), image sagemaker-scikit-learn:1.2-1-cpu-py3\n" in err


def test_a_step_that_fails_takes_back_what_was_made(fake, aws: FakeAws, iris: str, capsys) -> None:
    aws.answers["CreateEndpointConfig"] = refused("1 validation error detected: Value 'ml.none' at …")
    aws.answers["DeleteEndpointConfig"] = refused('Could not find endpoint configuration "arn".')
    assert run(fake, iris) == 1
    assert aws.operations() == ["CreateModel", "CreateEndpointConfig", "DeleteEndpointConfig", "DeleteModel"]
    deleted = [path for method, path, _, _ in fake.asked if method == "DELETE"]
    assert deleted[0].startswith(f"/{BUCKET}/iris/")
    assert deleted[1] == f"/{BUCKET}"
    err = capsys.readouterr().err.splitlines()
    assert err[-1] == "mooring: 1 validation error detected: Value 'ml.none' at …"
    assert [line.split()[2] for line in err if line.startswith("clean up: ")][:1] == ["model"]
    assert len([line for line in err if line.endswith(" is deleted again")]) == 3
    assert not [line for line in err if "left behind" in line]


def test_what_was_there_before_is_not_taken_back(fake, aws: FakeAws, iris: str, capsys) -> None:
    aws.answers["DescribeModel"] = lambda members: (200, members)
    fake.answers["HEAD", f"/{BUCKET}"] = lambda query, body: (200, b"")
    aws.answers["CreateEndpoint"] = refused("no")
    assert run(fake, iris) == 1
    assert aws.operations() == ["CreateEndpointConfig", "CreateEndpoint", "DeleteEndpointConfig"]
    assert [path for method, path, _, _ in fake.asked if method == "DELETE"][-1] != f"/{BUCKET}"
    assert "model: iris-" in capsys.readouterr().err


def test_an_interruption_takes_back_what_was_made(fake, aws: FakeAws, iris: str, monkeypatch, capsys) -> None:
    original = deploying.SageMaker.call

    def call(self: Any, operation: str, **members: Any) -> Any:
        answer = original(self, operation, **members)
        if operation == "CreateModel":
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(deploying.SageMaker, "call", call)
    assert run(fake, iris) == 130
    assert aws.operations() == ["CreateModel", "DeleteModel"]
    assert "clean up: model iris-" in capsys.readouterr().err


def test_an_endpoint_whose_answer_was_lost_stays(fake, aws: FakeAws, iris: str, capsys) -> None:
    made: list[str] = []

    def create(members: dict[str, Any]) -> tuple[int, Any]:
        made.append(members["EndpointConfigName"])
        return 500, {"__type": "InternalFailure", "message": "lost"}

    aws.answers["CreateEndpoint"] = create
    found = aws.answers
    found["DescribeEndpoint"] = lambda members: (
        endpoint("Creating", EndpointConfigName=made[0])(members)
        if made
        else refused("Could not find endpoint")(members)
    )
    assert run(fake, iris) == 1
    assert "DeleteModel" not in aws.operations()
    assert "endpoint: iris was created nevertheless, and stays" in capsys.readouterr().err


def test_what_cannot_be_taken_back_is_named(fake, aws: FakeAws, iris: str, capsys) -> None:
    aws.answers["CreateEndpoint"] = refused("no")
    aws.answers["DeleteModel"] = refused("not now")
    assert run(fake, iris) == 1
    err = capsys.readouterr().err
    assert re.search(r"^clean up failed: model iris-[0-9a-f]{8} is left behind: not now$", err, re.MULTILINE)
    assert re.search(r"^clean up: s3://.* is deleted again$", err, re.MULTILINE)


@pytest.mark.parametrize("status", ["InService", "Failed", "Creating"])
def test_a_name_that_is_taken_is_refused_before_anything_is_made(fake, aws: FakeAws, iris: str, capsys, status) -> None:
    aws.answers["DescribeEndpoint"] = endpoint(status)
    assert run(fake, iris) == 1
    assert capsys.readouterr().err == (
        f"mooring: there is an endpoint iris already ({status}): --replace deletes that one first, --name gives this "
        "one another name\n"
    )
    assert aws.operations() == []


@pytest.mark.parametrize(("status", "forced"), [("InService", False), ("Failed", False), ("Creating", True)])
def test_replace_deletes_the_old_one_when_all_else_is_ready(fake, aws: FakeAws, iris: str, status, forced) -> None:
    asked: list[int] = []

    def describe(members: dict[str, Any]) -> tuple[int, Any]:
        asked.append(1)
        gone = len(asked) > 4
        return refused("Could not find endpoint")(members) if gone else endpoint(status)(members)

    aws.answers["DescribeEndpoint"] = describe
    fake.answers["DELETE", "/-/mooring/v1/endpoints/iris"] = lambda query, body: (200, {})
    assert run(fake, iris, "--replace", "--no-wait") == 0
    made = ["CreateModel", "CreateEndpointConfig"]
    assert aws.operations() == [*made, *([] if forced else ["DeleteEndpoint"]), "CreateEndpoint"]
    assert forced == any(
        path.startswith("/-/mooring/v1/endpoints/iris?") for method, path, _, _ in fake.asked if method == "DELETE"
    )


def told(*texts: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"position": number, "kind": kind, "text": text} for number, (kind, text) in enumerate(texts, 1)]


def test_the_steps_of_the_endpoint_are_shown(fake, aws: FakeAws, iris: str, capsys) -> None:
    aws.events = told(
        ("status", "Creating"),
        ("no effect yet", "KmsKeyId: nothing is encrypted"),
        ("step", "AllTraffic: fetching s3://b/k"),
        ("step", "AllTraffic: making an environment from requirements.txt"),
        ("versions", "1.9 serves, not 1.2"),
        ("step", "AllTraffic: replica i-1 was started and loads the model"),
        ("step", "AllTraffic: replica i-1 answers /ping"),
        ("status", "InService"),
    )
    assert run(fake, iris) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("no effect yet"))
    assert [re.sub(r" \(\d.*", "", line) for line in lines[begin:]] == [
        "no effect yet: KmsKeyId: nothing is encrypted",
        "fetch: fetching s3://b/k",
        "environment: making an environment from requirements.txt",
        "versions: 1.9 serves, not 1.2",
        "load: replica i-1 was started and loads the model",
        "ping: replica i-1 answers /ping",
        "service: iris is InService",
    ]
    assert out.startswith("iris is InService, ")
    curl = next(line for line in out.splitlines() if line.startswith("curl "))
    assert shlex.split(curl)[1] == f"{fake.url}/endpoints/iris/invocations"


def test_an_endpoint_that_fails_stays_and_says_why(fake, aws: FakeAws, iris: str, capsys) -> None:
    aws.events = told(
        ("status", "Creating"),
        ("replica", "AllTraffic: replica i-1 went: oh"),
        ("status", "Failed: model_fn failed: oh"),
    )
    lines = [{"variant": "AllTraffic", "replica": "i-1", "text": f"line {number}"} for number in range(50)]
    fake.answers["GET", "/-/mooring/v1/endpoints/iris/logs"] = lambda query, body: (
        200,
        {"lines": [] if "after" in query else lines, "next": "t"},
    )
    assert run(fake, iris) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "replica failed: replica i-1 went: oh\n" in err
    assert "service failed: iris is Failed: model_fn failed: oh (" in err
    assert err.count("  AllTraffic/i-1 | line ") == 20
    assert err.endswith(
        "  AllTraffic/i-1 | line 49\n"
        "next: mend it and run the same with --replace, or `mooring endpoints delete iris`\n"
    )
    assert "DeleteModel" not in aws.operations()


def test_an_endpoint_that_somebody_deletes_meanwhile(fake, aws: FakeAws, iris: str, capsys) -> None:
    answers = [(200, {"events": told(("status", "Creating"))})]
    fake.answers["GET", "/-/mooring/v1/endpoints/iris/events"] = lambda query, body: (
        answers.pop() if answers else (404, {"message": "gone"})
    )
    assert run(fake, iris) == 1
    assert "service failed: iris was deleted meanwhile" in capsys.readouterr().err


def test_waiting_can_be_interrupted_and_takes_nothing_back(fake, aws: FakeAws, iris: str, monkeypatch, capsys) -> None:
    aws.events = told(("status", "Creating"))

    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(events.time, "sleep", interrupted)
    assert run(fake, iris) == 130
    assert "endpoint: iris goes on without being watched; watch it with `mooring" in capsys.readouterr().err
    assert aws.operations()[-1] == "CreateEndpoint"


def test_dry_run_makes_nothing(fake, aws: FakeAws, iris: str, capsys) -> None:
    assert run(fake, iris, "--dry-run") == 0
    assert aws.calls == []
    assert {method for method, _, _, _ in fake.asked} <= {"GET", "HEAD"}
    out = capsys.readouterr().out
    assert out.startswith("# The same with boto3")
    assert "invoke_endpoint" not in out


def test_another_region(fake, aws: FakeAws, iris: str, capsys) -> None:
    bucket = "sagemaker-eu-west-1-000000000000"
    fake.answers["HEAD", f"/{bucket}"] = lambda query, body: (404, b"")
    assert run(fake, iris, "--region", "eu-west-1", "--dry-run") == 0
    out = capsys.readouterr().out
    assert 'boto3.Session(region_name="eu-west-1")' in out
    assert '"LocationConstraint": "eu-west-1"' in out
    assert f"aws s3 mb s3://{bucket} --region eu-west-1" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name what to deploy"),
        (["a", "--variant", "b=c"], "name what to deploy"),
        (["--variant", "a=b", "--variant", "b=c"], "several variants need --name"),
        (["--name", "x", "--variant", "a=b", "--variant", "A=c"], "two of them have the same name"),
        (["--name", "x", "--variant", "a"], "--variant 'a': NAME=SOURCE or NAME=SOURCE:WEIGHT is needed"),
        (["--name", "x", "--variant", "a_b=c"], "--variant 'a_b': letters, digits and hyphens"),
        (["a", "--name", "x_y"], "--name 'x_y': letters, digits and hyphens"),
        (["a", "--name", "x" * 64], "63 at the most"),
        (["a", "--env", "1=2"], "--env '1=2': KEY=VALUE is needed"),
        (["a", "--framework", "tensorflow"], "--framework 'tensorflow': one of sklearn, xgboost, pytorch, huggingface"),
        (["a", "--framework", "b=sklearn"], "--framework 'b=sklearn': there is no variant 'b'"),
        (["a", "--instances", "0"], "--instances"),
    ],
)
def test_wrong_flags_are_one_line_and_need_no_server(capsys, words: list[str], complaint: str) -> None:
    assert main(["deploy", *words, "--url", "http://127.0.0.1:1"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert complaint in err


def test_no_server_says_how_to_get_one(capsys, tmp_path: Path) -> None:
    assert main(["deploy", str(tmp_path), "--data-dir", str(tmp_path / "none")]) == 1
    err = capsys.readouterr().err
    assert "start one with `mooring serve`, put `mooring run --` before the command" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("given", ["https://x/y.tar.gz", "s3://bucket", "s3://bucket/model.joblib", "s3:///x.tar.gz"])
def test_other_uris_are_refused(fake, aws: FakeAws, capsys, given: str) -> None:
    assert run(fake, given, "--name", "x") == 2
    assert capsys.readouterr().err.startswith(f"mooring: {given}: ")


def test_an_object_that_is_not_there(fake, aws: FakeAws, capsys) -> None:
    error = b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
    fake.answers["GET", "/b/model.tar.gz"] = lambda query, body: (404, error)
    assert run(fake, "s3://b/model.tar.gz") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("read failed: s3://b/model.tar.gz (")
    assert lines[1:] == ["mooring: s3://b/model.tar.gz: The specified key does not exist."]


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("models/iris", "iris"),
        ("models/iris_v2.1/", "iris-v2"),
        ("my model.joblib", "my-model"),
        ("out/iris/model.tar.gz", "iris"),
        ("iris.tar.gz", "iris"),
        ("s3://bucket/team/iris/model.tar.gz", "iris"),
        ("s3://bucket/team/iris/", "iris"),
        ("s3://bucket/job-7/output/model.tar.gz", "job-7"),
        ("s3://bucket/model.tar.gz", "model"),
        ("___", "model"),
        ("x" * 80, "x" * 63),
    ],
)
def test_an_endpoint_is_named_after_its_source(given: str, name: str) -> None:
    assert planning.name_of(given) == name
    assert planning.checked_name(name, "--name") == name


def test_a_directory_keeps_what_looks_like_an_ending(tmp_path: Path) -> None:
    (tmp_path / "iris_v2.1").mkdir()
    assert planning.name_of(str(tmp_path / "iris_v2.1")) == "iris-v2-1"


@pytest.mark.parametrize(
    ("text", "given", "weight"),
    [
        ("a=m", "m", 1.0),
        ("a=m:3", "m", 3.0),
        ("a=m:0.5", "m", 0.5),
        ("a=s3://b/k.tar.gz:2", "s3://b/k.tar.gz", 2.0),
        ("a=s3://b/k.tar.gz", "s3://b/k.tar.gz", 1.0),
        ("a=x=y:1", "x=y", 1.0),
        ("a=C:x", "C:x", 1.0),
    ],
)
def test_a_variant_has_a_source_and_a_weight(text: str, given: str, weight: float) -> None:
    (wanted,) = planning.wanted_of(None, [text])
    assert (wanted.variant, wanted.given, wanted.weight) == ("a", given, weight)


def test_home_is_put_in_where_no_shell_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/me")
    (wanted,) = planning.wanted_of(None, ["a=~/models/iris:2"])
    assert (wanted.given, wanted.weight) == ("/people/me/models/iris", 2.0)
    assert planning.wanted_of("s3://b/~/k.tar.gz", [])[0].given == "s3://b/~/k.tar.gz"


def test_values_by_variant() -> None:
    wanted = planning.wanted_of(None, ["a=x", "b=y"])
    assert planning.frameworks_of(["sklearn", "b=xgboost"], wanted) == {"": "sklearn", "b": "xgboost"}
    with pytest.raises(BadInput):
        planning.by_variant("--image", ["c=uri"], wanted)


def test_a_replacement_that_fails_early_keeps_the_old_one(fake, aws: FakeAws, iris: str, capsys) -> None:
    # The old endpoint may have this very config, when nothing but its state is wrong.
    config: list[str] = []
    aws.answers["CreateEndpointConfig"] = lambda members: (
        config.append(members["EndpointConfigName"]) or refused("no")(members)
    )
    aws.answers["DescribeEndpoint"] = lambda members: (
        200,
        {"EndpointStatus": "Failed", "EndpointConfigName": config[0] if config else "other"},
    )
    assert run(fake, iris, "--replace") == 1
    assert "DeleteEndpoint" not in aws.operations()
    assert "DeleteModel" in aws.operations()
    assert "nevertheless" not in capsys.readouterr().err


def test_sigterm_takes_back_what_was_made(fake, aws: FakeAws, iris: str, capsys) -> None:
    def end(members: dict[str, Any]) -> tuple[int, Any]:
        os.kill(os.getpid(), signal.SIGTERM)
        return 200, {}

    aws.answers["CreateModel"] = end
    with pytest.raises(SystemExit) as ended:
        run(fake, iris)
    assert ended.value.code == 128 + signal.SIGTERM
    assert aws.operations()[-1] == "DeleteModel"
    assert "clean up: model iris-" in capsys.readouterr().err
