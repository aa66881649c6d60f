"""Endpoints with an explainer, made and updated with boto3: what fails them, and what becomes of their baselines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, Server, wait_until
from tests.acceptance.test_access import keyed
from tests.acceptance.updating import HALF, routed

ROWS = b"1,2,3\n4,5,6\n"
WITHOUT = """
import sys
sys.modules["{module}"] = None
"""
"""As sitecustomize it makes a module one that is not installed."""


SUM = """
def model_fn(d):
    return 1
def input_fn(body, content_type):
    return [[float(cell) for cell in line.split(",")] for line in body.splitlines()]
def predict_fn(rows, model):
    return [sum(row) for row in rows]
def output_fn(sums, accept):
    return "".join(f"{each}\\n" for each in sums), "text/csv"
"""
"""A feature's attribution is how far it is from the mean of the baseline."""


def explainer(baseline: dict[str, Any] | None = None, inference: dict[str, Any] | None = None, **more: Any) -> Any:
    shap = {"ShapBaselineConfig": baseline or {"ShapBaseline": "1,2,3"}, **more.pop("shap", {})}
    clarify = {"ShapConfig": shap, **more}
    if inference is not None:
        clarify["InferenceConfig"] = inference
    return {"ExplainerConfig": {"ClarifyExplainerConfig": clarify}}


class Explained:
    """A model, and endpoints of it with explainers."""

    def __init__(self, own: Deployment) -> None:
        self.own = own
        own.model("m", SUM)

    def attributions(self, name: str, record: str = "10,20,30", **members: Any) -> list[float]:
        """Of the features of a record; none where the call wants none."""
        call = {"EndpointName": name, "ContentType": "text/csv", "Body": record, **members}
        answer = json.loads(self.own.runtime.invoke_endpoint(**call)["Body"].read())
        assert float(answer["predictions"]["data"]) == sum(map(float, record.split(",")))
        slots = answer["explanations"].get("kernel_shap", [[]])
        return [round(each["attributions"][0]["attribution"][0], 6) for each in slots[0]]

    def config(self, name: str, **members: Any) -> str:
        return self.own.config(name, self.own.variant("m"), **members)

    def create(self, name: str, **members: Any) -> str:
        self.config(name, **members)
        self.own.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        return name

    def failed(self, name: str, **members: Any) -> str:
        found: str = self.own.wait(self.create(name, **members), status="Failed")["FailureReason"]
        return found

    def put(self, key: str = "base.csv", body: bytes = ROWS, **members: Any) -> str:
        self.own.s3.put_object(Bucket=self.own.bucket, Key=key, Body=body, **members)
        return f"s3://{self.own.bucket}/{key}"

    def kept(self) -> list[Path]:
        """What lies below the directory of baselines."""
        return sorted(path for path in (self.own.server.data / "baselines").rglob("*") if path.is_file())

    def told(self, name: str) -> list[str]:
        """The endpoint's history, as far as it is about its explainer."""
        done = self.own.server.command("endpoints", "events", name)
        return [line for line in done.stdout.splitlines() if "  explainer  " in line]

    def forget(self, name: str) -> None:
        self.own.sagemaker.delete_endpoint(EndpointName=name)
        wait_until(lambda: not _there(self.own, name), what=f"{name} to go")


def _there(own: Deployment, name: str) -> bool:
    try:
        own.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError:
        return False
    return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explained]:
    server = Server(tmp_path_factory.mktemp("shared") / "data")
    try:
        yield Explained(Deployment(server.start()))
    finally:
        server.end()


@pytest.fixture
def explained(own: Deployment) -> Explained:
    return Explained(own)


def test_an_expression_that_does_not_compile_fails_the_endpoint_with_its_place(explained: Explained) -> None:
    """On AWS too the config is made."""
    found = explained.failed("e", **explainer(EnableExplanations="[0]> `0.8"))
    assert "EnableExplanations" in found
    assert "at position 5" in found
    for name in ("FeaturesAttribute", "ProbabilityAttribute", "LabelAttribute"):
        found = explained.failed(name.lower(), **explainer(inference={name: "data..features"}))
        assert name in found
        assert "at position 5" in found
    (told,) = explained.told("e")
    assert "at position 5" in told


def test_a_baseline_that_cannot_be_had_fails_the_endpoint_with_bucket_key_and_reason(explained: Explained) -> None:
    where = f"s3://{explained.own.bucket}/none.csv"
    found = explained.failed("missing", **explainer({"ShapBaselineUri": where}))
    assert f'Failed to load the SHAP baseline from URL: "{where}"' in found
    assert f"({where}: there is no such object" in found
    found = explained.failed("elsewhere", **explainer({"ShapBaselineUri": "s3://no-such-bucket-here/k"}))
    assert "s3://no-such-bucket-here/k: there is no such bucket" in found
    assert explained.kept() == []


LINES = {"MimeType": "application/jsonlines"}
UNUSABLE = {
    "empty": (b"", {}, {}, "has no records"),
    "blank": (b"\n\r\n", {}, {}, "has no records"),
    "spaces": (b"  \n\t\n", {}, {}, "has no records"),
    "indented": (b"[\n  1,\n  2\n]\n", LINES, {}, "each record is on one line of its own"),
    "ragged": (b"1,2,3\n4,5\n", {}, {}, "has 2 features and record 0 has 3"),
    "open": (b'1,"2\n', {}, {}, "is not CSV"),
    "binary": (b"1,\xff\n", {}, {}, "is not UTF-8 text: byte 2"),
    "lines": (b"1,2,3\n", LINES, {}, "is not JSON"),
    "flat": (
        b"[1,2]\n",
        {"MimeType": "application/jsonlines"},
        {"FeaturesAttribute": "data.f"},
        "not a list of features",
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_baseline_that_is_none_fails_the_endpoint_wherever_it_is(shared: Explained, name: str) -> None:
    body, kind, inference, words = UNUSABLE[name]
    where = shared.put(name, body)
    found = shared.failed(f"{name}-s3", **explainer({"ShapBaselineUri": where, **kind}, inference))
    assert f'The SHAP baseline at "{where}" cannot be used' in found
    assert words in found
    assert shared.kept() == []
    if body and name != "binary":
        found = shared.failed(name, **explainer({"ShapBaseline": body.decode(), **kind}, inference))
        assert "ShapBaseline" in found
        assert words in found


@pytest.mark.parametrize(
    ("inference", "words"),
    [
        (
            {"FeatureHeaders": ["a", "b"]},
            "FeatureHeaders has 2 entries and the baseline 3 features: they must be as many.",
        ),
        (
            {"FeatureTypes": ["text", "numerical", "numerical", "numerical"]},
            "FeatureTypes has 4 entries and the baseline 3 features: they must be as many.",
        ),
    ],
    ids=["headers", "types"],
)
def test_headers_and_types_that_are_not_as_many_fail_the_endpoint_wherever_the_baseline_is(
    shared: Explained, inference: dict[str, Any], words: str
) -> None:
    (name,) = inference
    shap = {"TextConfig": {"Language": "en", "Granularity": "token"}} if name == "FeatureTypes" else {}
    found = shared.failed(f"{name}-inline", **explainer(inference=inference, shap=shap))
    assert found.endswith(f"ExplainerConfig cannot be used: {words}")
    where = shared.put("counts.csv")
    found = shared.failed(f"{name}-s3", **explainer({"ShapBaselineUri": where}, inference, shap=shap))
    assert f'The SHAP baseline at "{where}" cannot be used' in found
    assert words in found
    assert shared.kept() == []


def test_a_baseline_larger_than_the_setting_is_not_loaded(make_server: Callable[..., Server]) -> None:
    explained = Explained(Deployment(make_server(MOORING_EXPLAINER_BASELINE_LIMIT_BYTES="1000").start()))
    explained.put("most.csv", b"1,2,3,4\n" * 125)
    explained.own.wait(explained.create("most", **explainer({"ShapBaselineUri": explained.put("most.csv")})))
    more = explained.put("more.csv", b"1,2,3,4\n" * 125 + b"\n")
    found = explained.failed("more", **explainer({"ShapBaselineUri": more}))
    assert f"{more} has 1001 bytes, and 1000 are the most" in found


def test_a_baseline_is_loaded_once_kept_private_and_forgotten_with_the_endpoint(explained: Explained) -> None:
    given = explainer({"ShapBaselineUri": explained.put(), "MimeType": "text/csv"})
    described = explained.own.wait(explained.create("e", **given))
    assert described["ExplainerConfig"] == given["ExplainerConfig"]
    (path,) = explained.kept()
    assert path.read_bytes() == ROWS
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    (told,) = explained.told("e")
    assert "2 records, 12 bytes" in told
    explained.put(body=b"7,8,9\n")
    os.kill(explained.own.server.process("control"), signal.SIGKILL)
    wait_until(lambda: _answers(explained, "e"), what="control to come back")
    assert path.read_bytes() == ROWS
    explained.forget("e")
    assert explained.kept() == []
    assert list((explained.own.server.data / "baselines").iterdir()) == []


def test_an_encrypted_baseline_and_one_by_the_https_form_of_its_address(explained: Explained) -> None:
    kms = explained.own.server.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    explained.put("sealed.csv", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    address = f"https://{explained.own.bucket}.s3.us-east-1.amazonaws.com/sealed.csv"
    explained.own.wait(explained.create("e", **explainer({"ShapBaselineUri": address})))
    assert [path.read_bytes() for path in explained.kept()] == [ROWS]
    kms.disable_key(KeyId=key)
    found = explained.failed("closed", **explainer({"ShapBaselineUri": address}))
    assert f"s3://{explained.own.bucket}/sealed.csv" in found
    assert len(explained.kept()) == 1


def test_an_update_to_an_explainer_that_cannot_be_turns_back_and_the_old_one_stays(explained: Explained) -> None:
    explained.own.wait(explained.create("e", **explainer({"ShapBaselineUri": explained.put()})))
    (before,) = explained.kept()
    bad = {
        "syntax": explainer(EnableExplanations="a["),
        "count": explainer(inference={"FeatureHeaders": ["a"]}),
        "gone": explainer({"ShapBaselineUri": f"s3://{explained.own.bucket}/none"}),
    }
    words = {"syntax": "position 2", "count": "1 entry and the baseline 3", "gone": "there is no such object"}
    for name, given in bad.items():
        explained.config(name, **given)
        explained.own.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=name)
        found = explained.own.wait("e")
        assert found["EndpointConfigName"] == "e"
        assert words[name] in found["FailureReason"]
        assert explained.kept() == [before]
        assert explained.attributions("e") == [7.5, 16.5, 25.5]
    explained.config("good", **explainer({"ShapBaselineUri": explained.put("new.csv", b"7,8,9\n")}))
    explained.own.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="good")
    assert "FailureReason" not in explained.own.wait("e")
    wait_until(lambda: [path.read_bytes() for path in explained.kept()] == [b"7,8,9\n"], what="the old one to go")
    assert explained.attributions("e") == [3, 12, 21]
    assert explained.attributions("e", EnableExplanations="`false`") == []
    assert "solver" in {each["name"].split()[0] for each in explained.own.server.status()["processes"]}
    explained.config("plain")
    explained.own.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="plain")
    explained.own.wait("e")
    wait_until(lambda: explained.kept() == [], what="the last one to go")


def test_each_fleet_of_an_update_explains_by_its_own_baseline(explained: Explained) -> None:
    two = {"InitialInstanceCount": 2}
    explained.own.config("e", explained.own.variant("m", **two), **explainer({"ShapBaselineUri": explained.put()}))
    explained.own.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="e")
    explained.own.wait("e")
    other = explained.put(body=b"7,8,9\n")  # the same address
    explained.own.config("f", explained.own.variant("m", **two), **explainer({"ShapBaselineUri": other}))
    explained.own.sagemaker.update_endpoint(
        EndpointName="e",
        EndpointConfigName="f",
        DeploymentConfig=routed("CANARY", 3, CanarySize=HALF),
    )
    found = set()

    def called() -> bool:
        found.add(tuple(explained.attributions("e")))
        status: str = explained.own.sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"]
        return status == "InService" and len(found) > 1

    wait_until(called, what="the update to be over")
    assert found == {(7.5, 16.5, 25.5), (3, 12, 21)}
    assert explained.attributions("e") == [3, 12, 21]


def test_a_baseline_whose_file_has_gone_is_loaded_again_once_s3_gives_it(explained: Explained) -> None:
    server, where = explained.own.server, explained.put()
    explained.own.wait(explained.create("e", **explainer({"ShapBaselineUri": where})))
    (path,) = explained.kept()
    explained.own.s3.delete_object(Bucket=explained.own.bucket, Key="base.csv")
    server.stop()
    path.unlink()
    server.start()
    explained = _again(explained, server)
    explained.own.wait("e")
    wait_until(lambda: "calls that need it fail" in str(explained.told("e")), what="its loss to be told")
    assert explained.kept() == []
    wait_until(lambda: "ShapBaselineUri" in _refusal(explained, "e"), what="a call to be told of the loss")
    assert explained.attributions("e", EnableExplanations="`false`") == []
    assert explained.attributions("e", EnableExplanations="[0]>`1000`") == []
    explained.put()
    wait_until(lambda: explained.kept() == [path], what="the baseline to come back")
    assert path.read_bytes() == ROWS
    assert explained.attributions("e") == [7.5, 16.5, 25.5]
    explained.forget("e")
    assert explained.kept() == []


def test_a_baseline_of_an_endpoint_that_is_deleted_while_it_is_sought(explained: Explained) -> None:
    explained.own.wait(explained.create("e", **explainer({"ShapBaselineUri": explained.put()})))
    (path,) = explained.kept()
    explained.own.s3.delete_object(Bucket=explained.own.bucket, Key="base.csv")
    path.unlink()
    os.kill(explained.own.server.process("control"), signal.SIGKILL)
    wait_until(lambda: "calls that need it fail" in str(explained.told("e")), what="its loss to be told")
    explained.forget("e")
    explained.put()
    explained.own.simple("other")
    assert explained.kept() == []


def test_a_baseline_in_an_s3_elsewhere_that_verifies_signatures(make_server: Callable[..., Server]) -> None:
    other = keyed(make_server("other", MOORING_ACCESS_MODE="keys").start())
    access = {"MOORING_OBJECTS_ACCESS_KEY_ID": other.key[0], "MOORING_OBJECTS_SECRET_ACCESS_KEY": other.key[1]}
    server = make_server("here", **access, MOORING_OBJECTS_ENDPOINT_URL=other.url).start()
    own = Deployment(other)  # its objects are there, and all else here
    own.server, own.sagemaker, own.runtime = server, server.client("sagemaker"), server.client("sagemaker-runtime")
    explained = Explained(own)
    explained.own.wait(explained.create("e", **explainer({"ShapBaselineUri": explained.put("in put/a+%.csv")})))
    assert [path.read_bytes() for path in explained.kept()] == [ROWS]
    missing = f"s3://{own.bucket}/none"
    assert f"({missing}: there is no such object" in explained.failed("none", **explainer({"ShapBaselineUri": missing}))


def test_a_control_that_is_killed_while_a_baseline_is_fetched_is_followed_by_one_that_has_it(
    explained: Explained,
) -> None:
    server, where = explained.own.server, explained.put()
    with server.frozen("objects"):
        explained.create("e", **explainer({"ShapBaselineUri": where}))
        wait_until(lambda: _fetching(server), what="the baseline to be fetched")
        os.kill(server.process("control"), signal.SIGKILL)
    explained.own.wait("e")
    wait_until(lambda: not _fetching(server), what="the one before to be done")
    assert [(path.name, path.read_bytes()) for path in explained.kept()] == [("baseline", ROWS)]


@pytest.mark.parametrize(("module", "extra"), [("numpy", "explainer"), ("spacy", "text")])
def test_an_extra_that_is_not_installed_fails_the_endpoint(
    make_server: Callable[..., Server], tmp_path: Path, module: str, extra: str
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "sitecustomize.py").write_text(WITHOUT.format(module=module))
    explained = Explained(Deployment(make_server(PYTHONPATH=str(tmp_path / "without")).start()))
    text = {"TextConfig": {"Language": "en", "Granularity": "token"}}
    found = explained.failed("e", **explainer({"ShapBaseline": '"<MASK>"'}, shap=text if extra == "text" else {}))
    assert f"install mooring[{extra}] there" in found


def _fetching(server: Server) -> bool:
    """Whether a child of this server's fetches a baseline."""
    return any(str(server.data).encode() in _told(each) for each in Path("/proc").glob("[0-9]*"))


def _told(process: Path) -> bytes:
    """The settings of a process that fetches a baseline."""
    with contextlib.suppress(OSError):
        if b"mooring.explainer.preparing.fetching" in (process / "cmdline").read_bytes():
            return (process / "environ").read_bytes()
    return b""


def _answers(explained: Explained, name: str) -> bool:
    try:
        return bool(explained.own.sagemaker.describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService")
    except ClientError:
        return False


def _refusal(explained: Explained, name: str) -> str:
    with pytest.raises(ClientError) as caught:
        explained.attributions(name)
    return str(caught.value)


def _again(explained: Explained, server: Server) -> Explained:
    """The same after a restart, which gave the server another port."""
    renewed = object.__new__(Explained)
    renewed.own = Deployment(server)
    return renewed
