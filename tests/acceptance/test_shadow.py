"""Shadow variants through boto3: they get copies and callers notice nothing, whatever the shadow does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Deployment, Load, Server, wait_until
from tests.acceptance.updating import running

SCRIPT = """
import json, os, time, pathlib
SEEN = pathlib.Path({seen!r})
def model_fn(model_dir):
    return {answer!r}
def transform_fn(model, body, content_type, accept):
    with SEEN.open("ab") as file:
        file.write((body if isinstance(body, bytes) else body.encode()) + b"\\n")
    {then}
    return model, "application/json"
"""


class Shadowed:
    """An endpoint with a production variant `p` and a shadow `s`, and what each of them has seen."""

    def __init__(self, deployment: Deployment, tmp_path: Path, name: str = "e") -> None:
        self.deployment = deployment
        self.tmp_path = tmp_path
        self.name = name

    def model(self, name: str, answer: Any = None, then: str = "pass") -> str:
        answer = {"score": 1.0} if answer is None else answer
        script = SCRIPT.format(seen=str(self.tmp_path / name), answer=json.dumps(answer), then=then)
        return self.deployment.model(name, script)

    def config(self, name: str, production: dict[str, Any], shadow: dict[str, Any] | None) -> str:
        members = {"ShadowProductionVariants": [shadow]} if shadow is not None else {}
        return self.deployment.config(name, production, **members)

    def create(self, weight: float = 1.0, **shadow: Any) -> Shadowed:
        """With the models `p` and `s`, which have been made."""
        variant = self.deployment.variant
        self.config(f"{self.name}-c", variant("p"), variant("s", InitialVariantWeight=weight, **shadow))
        self.deployment.sagemaker.create_endpoint(EndpointName=self.name, EndpointConfigName=f"{self.name}-c")
        self.deployment.wait(self.name)
        return self

    def seen(self, model: str) -> list[str]:
        path = self.tmp_path / model
        return path.read_text().splitlines() if path.exists() else []

    def invoke(self, body: str = "x", **members: Any) -> dict[str, Any]:
        return dict(
            self.deployment.runtime.invoke_endpoint(
                EndpointName=self.name, ContentType="text/csv", Body=body, **members
            )
        )

    def report(self) -> dict[str, Any]:
        """The only comparison that there is, once there is one."""
        found: list[dict[str, Any]] = []

        def told() -> bool:
            done = self.deployment.server.command("shadow", "report", self.name, "--json")
            assert done.returncode == 0, done.stderr
            found[:] = json.loads(done.stdout)["comparisons"]
            return bool(found)

        wait_until(told, what="a comparison")
        return found[0]

    def reported(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """A report that says so."""
        last: dict[str, Any] = {}

        def holds() -> bool:
            last.clear()
            last.update(self.report())
            return condition(last)

        try:
            wait_until(holds, 30)
        except AssertionError:
            raise AssertionError(last) from None
        return last


@pytest.fixture
def shadowed(own: Deployment, tmp_path: Path) -> Shadowed:
    return Shadowed(own, tmp_path)


def test_a_shadow_gets_what_production_gets(shadowed: Shadowed) -> None:
    shadowed.model("p", {"scores": [0.5, 1.0]})
    shadowed.model("s", {"scores": [0.5, 1.0 + 1e-9]})
    shadowed.create()
    found = shadowed.deployment.sagemaker.describe_endpoint(EndpointName="e")
    assert [each["VariantName"] for each in found["ShadowProductionVariants"]] == ["s"]
    shadow = found["ShadowProductionVariants"][0]
    assert (shadow["CurrentInstanceCount"], shadow["CurrentWeight"]) == (1, 1.0)
    bodies = [f"row {number}" for number in range(30)]
    for body in bodies:
        answer = shadowed.invoke(body, InferenceId=f"id {body}")
        assert (answer["InvokedProductionVariant"], answer["Body"].read()) == ("p", b'{"scores": [0.5, 1.0]}')
    wait_until(lambda: len(shadowed.seen("s")) == 30, what="30 copies")
    assert (sorted(shadowed.seen("s")), shadowed.seen("p")) == (sorted(bodies), bodies)
    report = shadowed.reported(lambda it: it["agreement"]["equal"] == 30)
    assert report["names"] == {"production": "p", "shadow": "s"}
    assert (report["copied"], sum(report["dropped"].values()), report["examples"]) == (30, 0, [])
    for side in ("production", "shadow"):
        assert report[side]["answers"] == 30
        assert 0 < report[side]["p50_ms"] <= report[side]["p99_ms"]
    text = shadowed.deployment.server.command("shadow", "report", "e").stdout
    assert "100.0 % the same values" in text
    with pytest.raises(shadowed.deployment.runtime.exceptions.ValidationError, match="Variant s does not exist"):
        shadowed.invoke(TargetVariant="s")
    status = shadowed.deployment.server.command("status").stdout
    assert "s (shadow)" in status
    assert "no effect" not in status


def test_answers_that_differ_are_told_of(shadowed: Shadowed) -> None:
    shadowed.model("p", {"class": "cat"})
    shadowed.model("s", {"class": "dog"})
    shadowed.create()
    for number in range(30):
        shadowed.invoke(InferenceId=f"call-{number}")
    report = shadowed.reported(lambda it: it["agreement"]["different"] == 30)
    assert len(report["examples"]) == 20
    assert report["examples"][-1]["what"] == '$.class: "cat" and "dog"'
    assert report["examples"][-1]["inference_id"].startswith("call-")
    text = shadowed.deployment.server.command("shadow", "report", "e").stdout
    assert '$.class: "cat" and "dog"' in text


def test_a_part_is_copied_and_weights_change_it(shadowed: Shadowed) -> None:
    for name in "ps":
        shadowed.model(name)
    shadowed.create(weight=0.5)
    for _ in range(300):
        shadowed.invoke()
    wait_until(lambda: len(shadowed.seen("s")) == shadowed.report()["copied"])
    assert 90 <= len(shadowed.seen("s")) <= 210
    sagemaker = shadowed.deployment.sagemaker

    def change(**wanted: Any) -> None:
        sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "s", **wanted}]
        )
        shadowed.deployment.wait("e")

    change(DesiredWeight=0.0)
    before = len(shadowed.seen("s"))
    for _ in range(30):
        shadowed.invoke()
    change(DesiredWeight=7.0, DesiredInstanceCount=2)
    found = sagemaker.describe_endpoint(EndpointName="e")["ShadowProductionVariants"][0]
    assert (found["CurrentWeight"], found["CurrentInstanceCount"]) == (7.0, 2)
    assert len(shadowed.deployment.server.replicas("e")) == 3
    for _ in range(30):
        shadowed.invoke()
    wait_until(lambda: len(shadowed.seen("s")) >= before + 30)
    assert len(shadowed.seen("s")) == before + 30


@pytest.mark.parametrize("then", ["time.sleep(0.5)", "os._exit(3)", "raise ValueError(body)"])
def test_callers_notice_nothing_of_a_bad_shadow(shadowed: Shadowed, then: str) -> None:
    shadowed.model("p")
    shadowed.model("s", then=then)
    shadowed.create()
    with Load(shadowed.deployment, "e") as load:
        load.wait_for_more(300)
    assert not load.failures
    shadow = shadowed.reported(
        lambda it: (
            it["production"]["answers"] >= 300
            and sum(it["shadow"][each] for each in ("answers", "errors_5xx", "broken")) > 0
        )
    )
    if "exit" in then:
        assert shadow["shadow"]["broken"]
        # An update of numbers ends though the shadow dies all the time.
        shadowed.deployment.sagemaker.update_endpoint_weights_and_capacities(
            EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "p", "DesiredInstanceCount": 2}]
        )
        shadowed.deployment.wait("e")
    shadowed.deployment.sagemaker.delete_endpoint(EndpointName="e")
    wait_until(lambda: not running(shadowed.deployment.server), what="the end of all replicas")


def test_a_shadow_that_cannot_come_up_fails_its_endpoint(shadowed: Shadowed) -> None:
    shadowed.model("p")
    shadowed.deployment.model("s", "raise RuntimeError('no such weights')")
    variant, sagemaker = shadowed.deployment.variant, shadowed.deployment.sagemaker
    shadowed.config("c", variant("p"), variant("s"))
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    found = shadowed.deployment.wait("e", status="Failed")
    assert "variant s" in found["FailureReason"]
    assert "no such weights" in found["FailureReason"]
    # Nor is an endpoint updated to it: what serves goes on.
    shadowed.config("plain", variant("p"), None)
    sagemaker.create_endpoint(EndpointName="f", EndpointConfigName="plain")
    shadowed.deployment.wait("f")
    sagemaker.update_endpoint(EndpointName="f", EndpointConfigName="c")
    found = shadowed.deployment.wait("f")
    assert found["EndpointConfigName"] == "plain"
    assert "no such weights" in found["FailureReason"]
    assert "ShadowProductionVariants" not in found


def test_copies_wait_for_the_successor_of_a_killed_shadow(shadowed: Shadowed) -> None:
    for name in "ps":
        shadowed.model(name)
    shadowed.create()
    server = shadowed.deployment.server
    for _ in range(10):
        shadowed.invoke("before")
    wait_until(lambda: len(shadowed.seen("s")) == 10)
    variants = server.status()["endpoints"][0]["variants"]
    victim = next(each for each in variants if each["name"] == "s")["replicas"][0]["pid"]
    os.kill(victim, signal.SIGKILL)
    for _ in range(50):
        shadowed.invoke("after")
    report = shadowed.reported(lambda it: it["shadow"]["answers"] + it["shadow"]["broken"] == 60)
    # Broken is only what the dead one had in its hands, which it may take from while it dies.
    assert (report["shadow"]["broken"] <= 20, sum(report["dropped"].values())) == (True, 0)
    assert len(shadowed.seen("p")) == 60


@pytest.mark.timeout(180)
def test_updates_that_add_promote_and_remove_a_shadow(shadowed: Shadowed) -> None:
    for name in "ps":
        shadowed.model(name, {"model": name})
    variant, sagemaker = shadowed.deployment.variant, shadowed.deployment.sagemaker
    shadowed.config("plain", variant("p"), None)
    shadowed.config("shadowed", variant("p"), variant("s"))
    shadowed.config("promoted", variant("s"), None)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="plain")
    shadowed.deployment.wait("e")

    def update(config: str) -> dict[str, Any]:
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=config)
        return shadowed.deployment.wait("e", timeout=60)

    with Load(shadowed.deployment, "e") as load:
        found = update("shadowed")
        assert found["ShadowProductionVariants"][0]["CurrentInstanceCount"] == 1
        wait_until(lambda: len(shadowed.seen("s")) > 20, what="copies")
        first = shadowed.reported(lambda it: it["agreement"]["different"] > 20)
        assert update("promoted")["ProductionVariants"][0]["VariantName"] == "s"
        load.wait_for_more(20)
        assert {each["variant"] for each in load.answers[-5:]} == {"s"}
        assert "it has no shadow variant" in shadowed.deployment.server.command("shadow", "report", "e").stdout
        # A config that is deployed again is compared anew.
        update("shadowed")
        again = shadowed.report()
        assert again["copied"] < first["copied"] + len(load.answers)
        assert len(shadowed.deployment.server.replicas("e")) == 2
    assert not load.failures


def test_a_report_outlives_gateways_and_control(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server().start("--workers", "2")
    shadowed = Shadowed(Deployment(server), tmp_path)
    for name in "ps":
        shadowed.model(name)
    shadowed.create()
    for _ in range(40):
        shadowed.invoke()
    shadowed.reported(lambda it: it["agreement"]["same"] == 40)
    for name in ("gateway 0", "gateway 1"):
        os.kill(server.process(name), signal.SIGKILL)
    shadowed.deployment.runtime = server.client("sagemaker-runtime", retries=5)
    for _ in range(40):
        shadowed.invoke()
    shadowed.reported(lambda it: it["agreement"]["same"] == 80)
    counts = server.data / "shadow-counts.json"
    wait_until(lambda: counts.exists() and counts.read_text().count('"same":') >= 3, what="the counts on disk")
    os.kill(server.process("control"), signal.SIGKILL)
    report = shadowed.reported(lambda it: it["agreement"]["same"] >= 80)
    assert report["agreement"]["same"] == 80


def test_a_killed_copier_is_followed_by_another_and_streams_are_copied_by_setting(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = make_server(MOORING_SHADOW_STREAMS="true").start()
    shadowed = Shadowed(Deployment(server), tmp_path)
    for name in "ps":
        shadowed.model(name)
    shadowed.create()
    assert not [each for each in server.status()["processes"] if each["name"].startswith("exporter")]
    stream = shadowed.deployment.runtime.invoke_endpoint_with_response_stream(EndpointName="e", Body=b"streamed")
    assert b"".join(each["PayloadPart"]["Bytes"] for each in stream["Body"]) == b'{"score": 1.0}'
    wait_until(lambda: shadowed.seen("s") == ["streamed"], what="the copy of a stream")
    shadowed.reported(lambda it: it["agreement"]["same"] == 1)
    with Load(shadowed.deployment, "e") as load:
        victim = server.process("copier 0")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: server.process("copier 0") != victim, what="another copier")
        seen = len(shadowed.seen("s"))
        wait_until(lambda: len(shadowed.seen("s")) > seen + 20, what="copies again")
        load.wait_for_more(20)
    assert not load.failures
    report = shadowed.reported(lambda it: it["agreement"]["same"] > 20)
    assert report["agreement"]["different"] == 0


@pytest.mark.parametrize("sealed", [False, True])
def test_both_sides_are_captured_and_joined_by_the_inference_id(
    make_server: Callable[..., Server], tmp_path: Path, sealed: bool
) -> None:
    server = make_server(MOORING_CAPTURE_FLUSH_INTERVAL_S="0.3", MOORING_CAPTURE_DISK_LIMIT_PERCENT="100").start()
    shadowed = Shadowed(Deployment(server), tmp_path)
    for name in "ps":
        shadowed.model(name, {"model": name})
    deployment = shadowed.deployment
    key = {"KmsKeyId": server.client("kms").create_key()["KeyMetadata"]["KeyId"]} if sealed else {}
    deployment.config(
        "c",
        deployment.variant("p"),
        ShadowProductionVariants=[deployment.variant("s")],
        DataCaptureConfig={
            **key,
            "InitialSamplingPercentage": 50,
            "DestinationS3Uri": f"s3://{deployment.bucket}/captured",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
        },
    )
    deployment.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
    deployment.wait("e")
    for number in range(60):
        shadowed.invoke(f"row {number}", InferenceId=f"id {number}")

    def records(variant: str) -> dict[str, dict[str, Any]]:
        listed = deployment.s3.list_objects_v2(Bucket=deployment.bucket, Prefix=f"captured/e/{variant}/")
        keys = [each["Key"] for each in listed.get("Contents", ())]
        bodies = [deployment.s3.get_object(Bucket=deployment.bucket, Key=key)["Body"].read() for key in keys]
        found = [json.loads(line) for body in bodies for line in body.splitlines()]
        return {each["eventMetadata"]["inferenceId"]: each for each in found}

    shadowed.reported(lambda it: it["shadow"]["answers"] == 60)
    wait_until(lambda: records("p") and records("p").keys() == records("s").keys(), what="both sides in S3")
    production, shadow = records("p"), records("s")
    assert 10 <= len(production) <= 50
    for name, record in production.items():
        other = shadow[name]
        assert record["captureData"]["endpointInput"] == other["captureData"]["endpointInput"]
        assert record["captureData"]["endpointInput"]["data"] == name.replace("id", "row")
        assert record["captureData"]["endpointOutput"]["data"] == '{"model": "p"}'
        assert other["captureData"]["endpointOutput"]["data"] == '{"model": "s"}'
        assert record["eventMetadata"]["eventId"] != other["eventMetadata"]["eventId"]


def test_a_hanging_shadow_is_bounded(make_server: Callable[..., Server], tmp_path: Path) -> None:
    bounds = {"QUEUE": "5", "IN_FLIGHT": "2", "TIMEOUT_S": "1", "WAIT_S": "2"}
    server = make_server(**{f"MOORING_SHADOW_{name}": value for name, value in bounds.items()}).start()
    shadowed = Shadowed(Deployment(server), tmp_path)
    shadowed.model("p")
    shadowed.model("s", then="time.sleep(3600)")
    shadowed.create()
    for _ in range(30):
        shadowed.invoke()

    def settled(it: dict[str, Any]) -> bool:
        return bool(it["shadow"]["timeouts"] + sum(it["dropped"].values()) == 30)

    report = shadowed.reported(settled)
    assert report["dropped"]["full"] >= 20
    assert report["shadow"]["timeouts"] >= 2
