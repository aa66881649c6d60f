"""Endpoints that cannot come up: `Failed` in time, with a reason that says what and where, and deletable at once."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.failing import PING_FAILURE, XGBOOST, delete, deploys, failed, logged, reason_of
from tests.acceptance.running import ECHO, IMAGE, Deployment, Server, archive


def hostile(name: str, kind: bytes = tarfile.REGTYPE) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.type = kind
        entry.linkname = "/etc/passwd"
        tar.addfile(entry)
    return packed.getvalue()


def test_model_data_deleted_since(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-gone")
    shared.s3.delete_object(Bucket=shared.bucket, Key=f"{name}/model.tar.gz")
    reason = failed(shared, name)
    uri = f"s3://{shared.bucket}/{name}/model.tar.gz"
    assert reason.startswith(f'Failed to download model data for container "container_1" from URL: "{uri}".')


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        ("garbage", b"this is no archive", "not a tar.gz archive"),
        ("outside", hostile("../../outside"), "outside the model directory"),
        ("link", hostile("link", tarfile.SYMTYPE), "symbolic link"),
        ("device", hostile("device", tarfile.CHRTYPE), "neither a file nor a directory"),
    ],
)
def test_a_bad_archive(shared: Deployment, kind: str, data: bytes, words: str) -> None:
    name = shared.model(f"{shared.prefix}-{kind}", data=data)
    assert words in failed(shared, name)


def test_an_archive_over_the_size_bound(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_ARTIFACTS_UNPACKED_LIMIT_BYTES="100000").start()
    deployment = Deployment(server)
    name = deployment.model("bomb", data=archive({"weights": bytes(10_000_000)}))
    assert "larger than the limit" in failed(deployment, name)
    assert not list((server.data / "artifacts").iterdir())


def test_a_download_over_its_time(make_server: Callable[..., Server]) -> None:
    deployment = Deployment(make_server(MOORING_REPLICAS_DOWNLOAD_TIMEOUT_S="0.001").start())
    assert "took longer than ModelDataDownloadTimeoutInSeconds" in failed(deployment, deployment.model("slow"))


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.36.0-lmi27.0.0-cu130", "needs a container"),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/nobody/knows-this:latest", '"knows-this" is none'),
        ("nobody-knows-this", '"nobody-knows-this" is none'),
    ],
)
def test_an_image_that_cannot_run_here(shared: Deployment, image: str, why: str) -> None:
    name = shared.model(f"{shared.prefix}-image", Image=image)
    reason = failed(shared, name)
    assert reason.startswith(f'Image "{image}" cannot run here')
    assert why in reason


def test_a_tag_that_nobody_knows_is_served_by_what_is_installed(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-tag", Image=IMAGE.rpartition(":")[0] + ":99.9-9-cpu-py3")
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    assert shared.invoke(name)["model"] == name


EMPTY = archive({})
ONLY_CODE = archive({"code/inference.py": "def model_fn(d):\n    return open(d + '/weights')\n"})
OTHER_SCRIPT = archive({"code/serve.py": ECHO.format(name="x")})
NAMED = {"SAGEMAKER_PROGRAM": "inference.py"}


@pytest.mark.parametrize(
    ("kind", "data", "container", "words"),
    [
        ("empty", EMPTY, {}, ["provide a model_fn", "There is no script", "code/inference.py"]),
        ("empty-xgboost", EMPTY, {"Image": XGBOOST}, ["there is no model file in "]),
        ("only-code", ONLY_CODE, {}, ["model_fn failed: FileNotFoundError", "/weights"]),
        ("only-code-xgboost", OTHER_SCRIPT, {"Image": XGBOOST}, ["there is no model file in "]),
        ("no-script", OTHER_SCRIPT, {}, ["provide a model_fn", "There is no script", "code/inference.py"]),
        ("no-program", OTHER_SCRIPT, {"Environment": NAMED}, ["the program inference.py is not in ", "/code"]),
        ("no-code", archive({"weights": "x"}), {"Environment": NAMED}, ["the program inference.py is not in any"]),
        ("no-code-xgboost", EMPTY, {"Image": XGBOOST, "Environment": NAMED}, ["the program inference.py is not in"]),
        ("no-xgboost-model", archive({"xgboost-model": "x"}), {"Image": XGBOOST}, ["Error"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_without_what_it_needs(
    shared: Deployment, kind: str, data: bytes, container: dict[str, Any], words: list[str]
) -> None:
    name = shared.model(f"{shared.prefix}-{kind}", data=data, **container)
    reason = reason_of(shared, name)
    assert reason.startswith(PING_FAILURE)
    said = logged(shared, name)
    for word in words:
        assert word in reason
        assert word.removeprefix("model_fn failed: ") in said
    delete(shared, name)


def test_a_script_of_another_name_is_served_when_it_is_named(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-serve", data=OTHER_SCRIPT, Environment={"SAGEMAKER_PROGRAM": "serve.py"})
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    assert shared.invoke(name)["model"] == "x"


def test_two_xgboost_models_are_averaged(shared: Deployment) -> None:
    xgboost, numpy = pytest.importorskip("xgboost"), pytest.importorskip("numpy")
    scores, files = [], {}
    row = numpy.array([[0.3, 0.7]])
    for number in (1, 2):
        data = xgboost.DMatrix(numpy.eye(2), label=numpy.array([0.0, 10.0 * number]))
        booster = xgboost.train({"max_depth": 1, "base_score": 0.0}, data, 2)
        files[f"xgboost-model-{number}"] = bytes(booster.save_raw("ubj"))
        scores.append(float(booster.predict(xgboost.DMatrix(row))[0]))
    name = shared.model(f"{shared.prefix}-two", data=archive(files), Image=XGBOOST)
    shared.endpoint(name, shared.variant(name))
    shared.wait(name)
    response = shared.runtime.invoke_endpoint(EndpointName=name, ContentType="text/csv", Body=b"0.3,0.7")
    assert float(response["Body"].read()) == pytest.approx(sum(scores) / 2)
    assert scores[0] != pytest.approx(scores[1])


def test_a_package_that_does_not_exist(shared: Deployment) -> None:
    requirements = {"code/inference.py": ECHO.format(name="x"), "code/requirements.txt": "a-package-that-nobody-made\n"}
    name = shared.model(f"{shared.prefix}-package", data=archive({**requirements}))
    reason = reason_of(shared, name, timeout=50)
    assert "requirements.txt" in reason
    assert "a-package-that-nobody-made was not found" in reason
    assert "Creating virtual environment" not in reason
    assert "a-package-that-nobody-made was not found" in logged(shared, name)
    delete(shared, name)


def test_a_requirement_that_is_none(shared: Deployment) -> None:
    files: dict[str, str | bytes] = {
        "code/inference.py": ECHO.format(name="x"),
        "code/requirements.txt": "not ~~ one\n",
    }
    reason = failed(shared, shared.model(f"{shared.prefix}-requirement", data=archive(files)))
    assert "Couldn't parse requirement in `requirements.txt`" in reason


def test_the_next_deployment_works_after_failed_ones(shared: Deployment) -> None:
    """All of the above ran on one server; now it is as good as new."""
    bad = shared.model(f"{shared.prefix}-bad", "def model_fn(d): raise RuntimeError('no')")
    failed(shared, bad)
    deploys(shared, f"{shared.prefix}-good")
