"""Endpoints that explain, called with boto3: what a caller gets, whose fault what he does not get is, and faults."""

from __future__ import annotations

import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, Server, wait_until

HOUSE = """
import pathlib, time
SEEN = pathlib.Path({seen!r})
NAME = {name!r}
def model_fn(model_dir):
    return (5000, 150, 10000, 15000, 15000, 15000)
def transform_fn(weights, body, content_type, accept):
    rows = [[float(cell) for cell in line.split(",")] for line in body.strip().splitlines()]
    with SEEN.open("a") as file:
        file.write(f"{{NAME}} {{len(rows)}} {{len(body)}} {{content_type}} {{accept}}\\n")
    {then}
    return "\\n".join(repr(sum(w * x for w, x in zip(weights, row)) - 5000 * 2022) for row in rows), "text/csv"
"""
"""AWS's own example, whose attributions are known: YEAR, SQFT, BED, BATH, LOT, GARAGE."""
BASELINE = "1995,3000,4,2,1,2"
HOUSE_A = "2005,3200,3,2.5,0.9,1"
HEADERS = ["YEAR", "SQFT", "BED", "BATH", "LOT", "GARAGE"]
PHI = [50000, 30000, -10000, 7500, -1500, -15000]
WIDE = """
import math
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    rows = [[float(cell) for cell in line.split(",")] for line in body.strip().splitlines()]
    return "\\n".join(repr(sum(row) + 9 * math.sin(sum(row[:4])) * math.cos(sum(row[2:9]))) for row in rows), "text/csv"
"""
"""Of many features, with interactions that 200 samples do not tell exactly."""


class Explained:
    """Endpoint `e` on a model that knows houses."""

    def __init__(self, own: Deployment, tmp_path: Path) -> None:
        self.own = own
        self.path = tmp_path / "seen"

    def model(self, name: str = "m", then: str = "pass", **container: Any) -> str:
        return self.own.model(name, HOUSE.format(seen=str(self.path), name=name, then=then), **container)

    def create(self, name: str = "e", model: str = "m", count: int = 1, **clarify: Any) -> Explained:
        self.config(name, model, count, **clarify)
        self.own.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.own.wait(name)
        return self

    def config(self, name: str, model: str = "m", count: int = 1, **clarify: Any) -> str:
        shap = {"ShapBaselineConfig": {"ShapBaseline": BASELINE}, **clarify.pop("shap", {})}
        variant = self.own.variant(model, "v", InitialInstanceCount=count)
        explainer = {"ClarifyExplainerConfig": {"ShapConfig": shap, **clarify}}
        return self.own.config(name, variant, ExplainerConfig=explainer)

    def call(self, body: str = HOUSE_A, client: Any = None, **members: Any) -> dict[str, Any]:
        members = {"EndpointName": "e", "ContentType": "text/csv", "Accept": "text/csv", **members}
        return dict((client or self.own.runtime).invoke_endpoint(Body=body, **members))

    def explain(self, body: str = HOUSE_A, **members: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.call(body, **members)["Body"].read())
        return found

    def seen(self) -> list[list[str]]:
        """Of each request to the model: its name, the records, their bytes, the two types."""
        return [line.split(" ") for line in self.path.read_text().splitlines()] if self.path.exists() else []


def attributions(record: list[dict[str, Any]]) -> list[float]:
    return [feature["attributions"][0]["attribution"][0] for feature in record]


@pytest.fixture
def explained(own: Deployment, tmp_path: Path) -> Explained:
    return Explained(own, tmp_path)


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    with pytest.raises(ClientError) as raised:
        call()
    return {**raised.value.response, "status": raised.value.response["ResponseMetadata"]["HTTPStatusCode"]}


def test_a_house_is_explained(explained: Explained) -> None:
    explained.model()
    explained.create(InferenceConfig={"FeatureHeaders": HEADERS})
    response = explained.call(CustomAttributes="a", InferenceId="17")
    assert (response["ContentType"], response["InvokedProductionVariant"]) == ("application/json", "v")
    document = json.loads(response["Body"].read())
    assert document["version"] == "1.0"
    assert document["predictions"] == {"content_type": "text/csv; charset=utf-8", "data": "491000.0"}
    (record,) = document["explanations"]["kernel_shap"]
    assert [feature["feature_header"] for feature in record] == HEADERS
    assert attributions(record) == pytest.approx(PHI, rel=1e-9)
    assert sum(attributions(record)) == pytest.approx(491000 - 430000, rel=1e-12)
    calls = explained.seen()
    assert calls[0][1] == "1"
    assert sum(int(each[1]) for each in calls[1:]) == 2**6 - 2 + 1, "every coalition and the baseline, once"
    assert {(each[3], each[4]) for each in calls} == {("text/csv", "text/csv")}


def test_who_is_explained_is_said_by_the_call_or_the_config(explained: Explained) -> None:
    explained.model()
    explained.create(EnableExplanations="[0]>`450000`")
    other = BASELINE
    both = explained.explain(f"{HOUSE_A}\n{other}\n")
    one, none = both["explanations"]["kernel_shap"]
    assert (attributions(one), none) == (pytest.approx(PHI, rel=1e-9), None)
    assert explained.explain(other)["explanations"] == {}
    all_of_them = explained.explain(f"{HOUSE_A}\n{other}", EnableExplanations="`true`")["explanations"]["kernel_shap"]
    assert attributions(all_of_them[1]) == [0.0] * 6
    plain = explained.call(EnableExplanations="`false`")
    assert plain["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "110"
    assert plain["Body"].read() == (
        b'{"version":"1.0","predictions":{"content_type":"text/csv; charset=utf-8","data":"491000.0"},'
        b'"explanations":{}}'
    )


class TestBadCalls:
    def test_expressions(self, explained: Explained) -> None:
        explained.model()
        explained.create()
        found = refused(lambda: explained.call(EnableExplanations="[0"))
        assert (found["status"], found["Error"]["Code"]) == (400, "ValidationError")
        assert "is not a JMESPath expression" in found["Error"]["Message"]
        assert not explained.seen(), "the model was not asked"
        for expression, words in (
            ("[0]", ("record 0", "491000")),
            ("[0]>'x'", ("record 0",)),
            ("nothing", ("record 0", "nothing")),
        ):
            found = refused(lambda expression=expression: explained.call(EnableExplanations=expression))  # type: ignore[misc]
            assert (found["status"], found["Error"]["Code"], found["OriginalStatusCode"]) == (424, "ModelError", 400)
            assert all(word in found["OriginalMessage"] for word in words), found["OriginalMessage"]

    def test_an_expression_of_the_config_that_gives_no_boolean(self, explained: Explained) -> None:
        explained.model()
        explained.create(EnableExplanations="nope(@)")  # that there is no such function shows with the first record
        found = refused(lambda: explained.call(f"{HOUSE_A}\n{BASELINE}"))
        assert (found["status"], found["Error"]["Code"], found["OriginalStatusCode"]) == (424, "ModelError", 400)
        assert found["OriginalMessage"].startswith(
            "EnableExplanations 'nope(@)': record 0, which the model answered with '491000.0', cannot be evaluated: "
        )
        assert len(explained.explain(EnableExplanations="`true`")["explanations"]["kernel_shap"]) == 1

    def test_an_endpoint_that_explains_nothing(self, explained: Explained) -> None:
        explained.own.simple("plain")
        found = refused(lambda: explained.call("x", EndpointName="plain", EnableExplanations="`true`"))
        assert (found["status"], found["Error"]["Code"]) == (400, "ValidationError")
        assert "has no ExplainerConfig" in found["Error"]["Message"]

    def test_records_that_do_not_fit_the_baseline(self, explained: Explained) -> None:
        explained.model()
        explained.create()
        found = refused(lambda: explained.call("1,2,3"))
        assert (found["status"], found["Error"]["Code"], found["OriginalStatusCode"]) == (424, "ModelError", 400)
        assert found["OriginalMessage"].startswith("Record 0 of the request has 3 features and the baseline has 6: ")

    def test_the_models_own_errors(self, explained: Explained) -> None:
        explained.model(then="assert len(rows) < 3, 'three are too many'")
        explained.create(InferenceConfig={"MaxRecordCount": 2})
        assert attributions(explained.explain()["explanations"]["kernel_shap"][0]) == pytest.approx(PHI, rel=1e-9)
        assert max(int(each[1]) for each in explained.seen()) == 2
        found = refused(lambda: explained.call("\n".join([HOUSE_A] * 3)))
        assert (found["Error"]["Code"], found["OriginalStatusCode"]) == ("ModelError", 500)

    def test_a_container_that_bears_less_is_asked_for_less(self, explained: Explained) -> None:
        explained.model(then="assert len(rows) < 3, 'three are too many'")
        explained.create()
        assert attributions(explained.explain()["explanations"]["kernel_shap"][0]) == pytest.approx(PHI, rel=1e-9)

    def test_a_container_that_bears_no_synthetic_record_at_all(self, explained: Explained) -> None:
        explained.model(then="assert body.strip() == '" + HOUSE_A + "', 'what is this?'")
        explained.create()
        found = refused(explained.call)
        assert (found["status"], found["Error"]["Code"], found["OriginalStatusCode"]) == (424, "ModelError", 500)
        assert found["Error"]["Message"].startswith("Received server error (500) from primary with message")


def test_a_call_as_large_as_those_that_are_published(explained: Explained) -> None:
    """70 records of 14 features, 8 of which are explained: 16,608 synthetic rows besides the baseline."""
    explained.own.model("wide", WIDE)
    shap = {"ShapBaselineConfig": {"ShapBaseline": ",".join("0" * 14)}}
    explained.create(model="wide", shap=shap, EnableExplanations="[0]>`0`")
    rows = [[n + 1 if n % 9 == 0 else -2000, *(n + each for each in range(2, 15))] for n in range(70)]
    document = explained.explain("\n".join(",".join(map(str, row)) for row in rows))
    told = document["explanations"]["kernel_shap"]
    assert [n for n, record in enumerate(told) if record is not None] == [*range(0, 70, 9)]
    scores = [float(line) for line in document["predictions"]["data"].splitlines()]
    for n in range(0, 70, 9):
        assert sum(attributions(told[n])) == pytest.approx(scores[n], rel=1e-12)
    logs = explained.own.server.client("logs")

    def lines() -> list[str]:
        found = logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/e", logStreamNamePrefix="v/explainer")
        return [event["message"] for event in found["events"]]

    wait_until(lambda: bool(lines()), what="a line")
    assert "Explained 8 records with 16609 synthetic records in " in lines()[0]


def test_caps_hold_for_what_the_container_gets(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """Which takes as much as there may be: its time is no bound."""
    explained = Explained(Deployment(make_server(MOORING_EXPLAINER_BATCH_MS="60000").start()), tmp_path)
    explained.model()
    explained.create(InferenceConfig={"MaxRecordCount": 9})
    explained.create("bytes", InferenceConfig={"MaxPayloadInMB": 1})
    house = ",".join(cell + ("" if "." in cell else ".") + "0" * 60_000 for cell in HOUSE_A.split(","))
    for endpoint in ("e", "bytes"):
        found = explained.explain(house, EndpointName=endpoint)
        assert attributions(found["explanations"]["kernel_shap"][0]) == pytest.approx(PHI, rel=1e-9)
    asked = [(int(records), int(size)) for _, records, size, *_ in explained.seen()]
    second = [i for i, (records, size) in enumerate(asked) if (records, size) == (1, len(house))][1]
    of_nine, of_bytes = asked[1:second], asked[second + 1 :]
    assert max(records for records, _ in of_nine) == 9
    assert max(size for _, size in of_nine) > 1 << 20
    assert 1_000_000 - len(house) < max(size for _, size in of_bytes) <= 1 << 20


def test_the_time_that_a_call_may_take(make_server: Callable[..., Server], tmp_path: Path) -> None:
    explained = Explained(Deployment(make_server(MOORING_GATEWAY_INVOCATION_TIMEOUT_S="3").start()), tmp_path)
    explained.model(then="time.sleep(0.5 if len(rows) > 1 else 0)")
    explained.create(InferenceConfig={"MaxRecordCount": 4})
    found = refused(explained.call)
    assert (found["status"], found["Error"]["Code"]) == (424, "ModelError")
    assert "MaxRecordCount" in found["OriginalMessage"]
    asked = len(explained.seen())
    time.sleep(1.5)
    assert len(explained.seen()) <= asked + 1, "the model is still asked"


def test_metrics_logs_and_capture(explained: Explained) -> None:
    explained.model()
    own = explained.own
    shap = {"ShapBaselineConfig": {"ShapBaseline": BASELINE}}
    capture = {
        "EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": f"s3://{own.bucket}/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    }  # fmt: skip
    own.config(
        "e", own.variant("m", "v"), ExplainerConfig={"ClarifyExplainerConfig": {"ShapConfig": shap}},
        DataCaptureConfig=capture,
    )  # fmt: skip
    own.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="e")
    own.wait("e")
    explained.explain(f"{HOUSE_A}\n{HOUSE_A}\n", InferenceId="17")
    cloudwatch, logs = own.server.client("cloudwatch"), own.server.client("logs")
    now = datetime.now(UTC)

    def sum_of(name: str) -> float:
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=name, Statistics=["Sum"], Period=3600,
            Dimensions=[{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}],
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1),
        )  # fmt: skip
        return float(sum(point["Sum"] for point in found["Datapoints"]))

    wait_until(lambda: sum_of("ExplanationsPerInstance") == 2.0, what="ExplanationsPerInstance")
    assert sum_of("Invocations") == 1.0
    group = "/aws/sagemaker/Endpoints/e"

    def lines() -> list[str]:
        found = logs.filter_log_events(logGroupName=group, logStreamNames=["v/explainer"])
        return [event["message"] for event in found["events"]]

    streams = lambda: [each["logStreamName"] for each in logs.describe_log_streams(logGroupName=group)["logStreams"]]  # noqa: E731
    wait_until(lambda: "v/explainer" in streams(), what="the stream")
    (line,) = lines()
    assert "[17] Explained 2 records with " in line
    assert line.endswith(", exactly")
    page = own.server.command("status")
    assert page.returncode == 0
    assert "e: explains all records\n" in page.stdout


def test_metrics_are_told_by_instance_and_scale_out(explained: Explained) -> None:
    """A policy's alarm takes three minutes to ring by itself; the test rings it, with what CloudWatch has."""
    wide, low = (",".join(map(str, [first, *range(2, 15)])) for first in (1, -1000))
    explained.own.model("wide", WIDE)
    shap = {"ShapBaselineConfig": {"ShapBaseline": ",".join("0" * 14)}, "NumberOfSamples": 200, "Seed": 1}
    explained.create(model="wide", count=2, shap=shap, EnableExplanations="[0]>`0`")
    server = explained.own.server
    calls = ([wide] * 3, [wide], [low, wide], [low])
    records = [explained.explain("\n".join(body), InferenceId="17")["explanations"] for body in calls]
    assert [each and [one is None for one in each["kernel_shap"]] for each in records] == [
        [False] * 3, [False], [True, False], {},
    ]  # fmt: skip
    cloudwatch = server.client("cloudwatch")
    where = {
        "Namespace": "AWS/SageMaker", "MetricName": "ExplanationsPerInstance",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}],
    }  # fmt: skip

    def told(name: str) -> dict[str, float]:
        now = datetime.now(UTC)
        found = cloudwatch.get_metric_statistics(
            **{**where, "MetricName": name}, Statistics=["Sum", "SampleCount", "Maximum"], Period=3600,
            StartTime=now - timedelta(hours=1), EndTime=now + timedelta(hours=1),
        )["Datapoints"]  # fmt: skip
        return {name: sum(point[name] for point in found) for name in ("Sum", "SampleCount", "Maximum")}

    wait_until(lambda: told("Invocations")["Sum"] == 4, what="all calls")
    assert told("ExplanationsPerInstance")["Sum"] == 5 / 2, "five records on two instances"
    errors = told("ExplanationRelativeError")
    assert errors["SampleCount"] == 5
    assert 0 < errors["Maximum"] < 1

    logs = server.client("logs")
    said: list[str] = []

    def all_lines() -> bool:
        found = logs.filter_log_events(logGroupName="/aws/sagemaker/Endpoints/e", logStreamNamePrefix="v/explainer")
        said[:] = [event["message"] for event in found["events"]]
        return len(said) == 4

    wait_until(all_lines, what="a line for each call")
    assert [line.partition("[17] ")[2].partition(" with ")[0] for line in said] == [
        "Explained 3 records", "Explained 1 record", "Explained 1 record", "Explained 0 records",
    ]  # fmt: skip
    assert said[0].endswith(f", at most {errors['Maximum']:.1e}")
    assert "relative error about " in said[0]
    assert "error" not in said[3]

    scaling = server.client("application-autoscaling")
    on = {
        "ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }  # fmt: skip
    scaling.register_scalable_target(**on, MinCapacity=1, MaxCapacity=3)
    made = scaling.put_scaling_policy(
        **on, PolicyName="explanations", PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 2.0, "ScaleOutCooldown": 0,
            "CustomizedMetricSpecification": {**where, "Statistic": "Sum"},
        },
    )  # fmt: skip
    high = made["Alarms"][0]["AlarmName"]
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=[high])["MetricAlarms"]
    assert {name: alarm[name] for name in (*where, "Statistic", "Period", "Threshold")} == {
        **where, "Statistic": "Sum", "Period": 60, "Threshold": 2.0,
    }  # fmt: skip
    seen = json.dumps({"recentDatapoints": [told("ExplanationsPerInstance")["Sum"]]})
    cloudwatch.set_alarm_state(AlarmName=high, StateValue="ALARM", StateReason="many", StateReasonData=seen)

    def count() -> int:
        found = explained.own.sagemaker.describe_endpoint(EndpointName="e")
        return int(found["ProductionVariants"][0]["CurrentInstanceCount"])

    wait_until(lambda: count() == 3, 30, "a third instance")
    explained.own.wait("e")
    explained.explain("\n".join([wide] * 3))
    wait_until(lambda: told("Invocations")["Sum"] == 5, what="the last call")
    assert told("ExplanationsPerInstance")["Sum"] == pytest.approx(5 / 2 + 3 / 3, rel=1e-12)


class TestFaults:
    def test_a_killed_solver_is_followed_by_another(self, explained: Explained) -> None:
        explained.model(then="time.sleep(0.2 if len(rows) > 1 else 0)")
        explained.create(InferenceConfig={"MaxRecordCount": 8})
        solver = None
        with ThreadPoolExecutor(1) as pool:
            failing = pool.submit(lambda: refused(explained.call))
            solver = explained.own.server.process("solver 0")
            os.kill(solver, signal.SIGKILL)
            found = failing.result()
        assert (found["status"], found["Error"]["Code"]) == (500, "InternalFailure")
        again = explained.explain()
        assert attributions(again["explanations"]["kernel_shap"][0]) == pytest.approx(PHI, rel=1e-9)
        assert explained.own.server.process("solver 0") != solver

    def test_a_killed_replica_costs_its_callers_time_only(self, explained: Explained) -> None:
        explained.model(then="time.sleep(0.05 if len(rows) > 1 else 0)")
        explained.create(count=2, InferenceConfig={"MaxRecordCount": 2})
        with ThreadPoolExecutor(1) as pool:
            calling = pool.submit(explained.explain)
            wait_until(lambda: len(explained.seen()) > 5, what="synthetic calls")
            victim = explained.own.server.replicas("e")[0]["pid"]
            os.kill(victim, signal.SIGKILL)
            found = calling.result()
        assert attributions(found["explanations"]["kernel_shap"][0]) == pytest.approx(PHI, rel=1e-9)

    def test_the_solver_ends_with_its_gateway(self, explained: Explained) -> None:
        explained.model()
        explained.create()
        explained.explain()
        server = explained.own.server
        solver, gateway = server.process("solver 0"), server.process("gateway 0")
        os.kill(gateway, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{solver}").exists(), what="the solver to end")
        wait_until(lambda: _answers(explained), what="the next gateway")

    def test_an_update_amid_explained_calls_fails_none(self, explained: Explained) -> None:
        explained.model("m", then="time.sleep(0.02 if len(rows) > 1 else 0)")
        explained.model("n", then="time.sleep(0.02 if len(rows) > 1 else 0)")
        explained.create(InferenceConfig={"MaxRecordCount": 4})
        explained.config("e2", "n", InferenceConfig={"MaxRecordCount": 4})
        stop, failures, answers = threading.Event(), list[Exception](), list[dict[str, Any]]()

        def load() -> None:
            client = explained.own.server.client("sagemaker-runtime", read_timeout=60)
            while not stop.is_set():
                try:
                    answers.append(explained.explain(client=client))
                except Exception as error:  # noqa: BLE001 - what fails is what the test looks at
                    failures.append(error)

        threads = [threading.Thread(target=load) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: len(answers) > 2 or bool(failures), what="answers")
            explained.own.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e2")
            explained.own.wait("e")
            wait_until(lambda: any(each[0] == "n" for each in explained.seen()), what="the new model")
            before = len(answers)
            wait_until(lambda: len(answers) > before + 2 or bool(failures), what="answers of the new model")
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)
        assert not failures
        for answer in answers:
            assert attributions(answer["explanations"]["kernel_shap"][0]) == pytest.approx(PHI, rel=1e-9)


def _answers(explained: Explained) -> bool:
    try:
        return bool(explained.explain())
    except Exception:  # noqa: BLE001 - it is being started
        return False


def test_a_response_stream_passes_as_the_model_gave_it(explained: Explained) -> None:
    explained.model()
    explained.create()
    response = explained.own.runtime.invoke_endpoint_with_response_stream(
        EndpointName="e", ContentType="text/csv", Accept="text/csv", Body=HOUSE_A
    )
    streamed = io.BytesIO(b"".join(event["PayloadPart"]["Bytes"] for event in response["Body"]))
    assert streamed.getvalue() == b"491000.0"
    assert len(explained.seen()) == 1


CAT_OR_DOG = """
import json
def model_fn(model_dir):
    return None
def transform_fn(model, body, content_type, accept):
    lines = []
    for line in body.strip().splitlines():
        a, b, c = json.loads(line)["given"]
        cat = 0.5 + 0.1 * a - 0.05 * b + 0.02 * a * c
        lines.append(json.dumps({"labels": ["cat", "dog"], "probabilities": [cat, 1 - cat]}))
    return "\\n".join(lines) + "\\n", "application/jsonlines"
"""


def test_json_lines_two_classes_and_a_baseline_of_several_rows_in_s3(explained: Explained) -> None:
    own = explained.own
    own.model("pets", CAT_OR_DOG)
    rows = [(0, 0, 0), (2, 0, 1)]
    baseline = "".join(json.dumps({"features": row}) + "\n" for row in rows)
    own.s3.put_object(Bucket=own.bucket, Key="baseline.jsonl", Body=baseline)
    explained.create(
        model="pets",
        shap={
            "ShapBaselineConfig": {
                "MimeType": "application/jsonlines", "ShapBaselineUri": f"s3://{own.bucket}/baseline.jsonl",
            }
        },
        InferenceConfig={
            "FeaturesAttribute": "features", "ContentTemplate": '{"given":$features}',
            "ProbabilityAttribute": "probabilities", "LabelAttribute": "labels",
        },
        EnableExplanations="probabilities[0]>`0.6`",
    )  # fmt: skip

    def f(a: float, b: float, c: float) -> float:
        return 0.5 + 0.1 * a - 0.05 * b + 0.02 * a * c

    def v(subset: set[int], x: tuple[float, ...]) -> float:
        mixed = [[x[i] if i in subset else row[i] for i in range(3)] for row in rows]
        return sum(f(*each) for each in mixed) / len(mixed)

    def shapley(i: int, x: tuple[float, ...]) -> float:
        j, k = [each for each in range(3) if each != i]
        parts = [(1 / 3, set[int]()), (1 / 6, {j}), (1 / 6, {k}), (1 / 3, {j, k})]
        return sum(weight * (v({*others, i}, x) - v(others, x)) for weight, others in parts)

    records = [(3.0, 1.0, 2.0), (0.0, 1.0, 0.0), (2.0, 0.0, 5.0)]
    body = "\n".join(json.dumps({"given": record, "features": record}) for record in records)
    document = explained.explain(body, ContentType="application/jsonlines", Accept="application/jsonlines")
    assert document["label_headers"] == ["cat", "dog"]
    one, none, three = document["explanations"]["kernel_shap"]
    assert none is None
    for record, told in ((records[0], one), (records[2], three)):
        for feature, said in enumerate(told):
            cat, dog = said["attributions"][0]["attribution"]
            assert cat == pytest.approx(shapley(feature, record), abs=1e-9)
            assert dog == pytest.approx(-cat, abs=1e-9)


def test_ordinary_calls_go_on_while_explanations_run(explained: Explained) -> None:
    explained.model(then="time.sleep(0.002 * len(rows))")
    explained.create(InferenceConfig={"MaxRecordCount": 8})
    own = explained.own
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(explained.explain, "\n".join([f"{n}{HOUSE_A}"] * 2)) for n in range(1, 4)]
        wait_until(lambda: len(explained.seen()) > 5, what="synthetic calls")
        answered = 0
        while not all(each.done() for each in running):
            plain = explained.call(client=own.runtime, EnableExplanations="`false`")
            assert json.loads(plain["Body"].read())["predictions"]["data"] == "491000.0"
            answered += 1
        assert answered > 3
        for each in running:
            assert len(each.result()["explanations"]["kernel_shap"]) == 2
    assert max(int(seen[1]) for seen in explained.seen()) <= 8
