"""Endpoints that cannot come up: `Failed` in time, with a reason that says what and where, and deletable at once."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import ECHO, Deployment, Server, archive, wait_until


def failed(deployment: Deployment, name: str, timeout: float = 20) -> str:
    """Deploy the model `name`, see it fail, delete it at once; returns the reason."""
    deployment.endpoint(name, deployment.variant(name, "v"))
    reason: str = deployment.wait(name, status="Failed", timeout=timeout)["FailureReason"]
    assert "ProductionVariants" not in deployment.sagemaker.describe_endpoint(EndpointName=name)
    assert not deployment.server.replicas(name)
    deployment.sagemaker.delete_endpoint(EndpointName=name)
    wait_until(lambda: _gone(deployment, name), what=f"{name} to be deleted")
    return reason


def _gone(deployment: Deployment, name: str) -> bool:
    try:
        deployment.sagemaker.describe_endpoint(EndpointName=name)
    except ClientError as error:
        return "Could not find endpoint" in str(error)
    return False


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


@pytest.mark.parametrize(
    ("kind", "script", "words"),
    [
        ("raises", "def model_fn(d):\n    raise ValueError('no such weights')", ["model_fn", "no such weights"]),
        ("syntax", "def model_fn(d:\n", ["SyntaxError"]),
        ("imports", "import a_package_that_is_not_there", ["a_package_that_is_not_there"]),
        ("nothing", "x = 1", ["model_fn"]),
        ("exits", "import os\ndef model_fn(d): os._exit(9)", ["status 9"]),
        ("dies", "import os\ndef model_fn(d): os.kill(os.getpid(), 9)", ["signal 9"]),
    ],
)
def test_a_script_that_fails(shared: Deployment, kind: str, script: str, words: list[str]) -> None:
    name = shared.model(f"{shared.prefix}-{kind}", script)
    shared.endpoint(name, shared.variant(name, "v"))
    reason = shared.wait(name, status="Failed", timeout=30)["FailureReason"]
    beginning = "The primary container for production variant v did not pass the ping health check. "
    assert reason.startswith(f"{beginning}Please check CloudWatch logs for this endpoint.")
    for word in words:
        assert word in reason
    if kind in ("raises", "syntax", "imports"):
        said = shared.server.command("logs", name).stdout
        assert "Traceback" in said or "SyntaxError" in said
    if kind in ("exits", "dies"):
        assert words[0] in shared.server.command("logs", name).stdout
    shared.sagemaker.delete_endpoint(EndpointName=name)


def test_ping_that_is_never_healthy(make_server: Callable[..., Server]) -> None:
    # AWS's smallest ContainerStartupHealthCheckTimeoutInSeconds is 60; the default is a setting.
    deployment = Deployment(make_server(MOORING_REPLICAS_STARTUP_TIMEOUT_S="1.5").start())
    name = deployment.model("stuck", "import time\ndef model_fn(d): time.sleep(600)")
    assert "/ping did not answer with 200 within 1.5 s" in failed(deployment, name)


def test_a_download_over_its_time(make_server: Callable[..., Server]) -> None:
    deployment = Deployment(make_server(MOORING_REPLICAS_DOWNLOAD_TIMEOUT_S="0.001").start())
    assert "took longer than ModelDataDownloadTimeoutInSeconds" in failed(deployment, deployment.model("slow"))


def test_an_image_that_cannot_run_here(shared: Deployment) -> None:
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/djl-inference:0.36.0-lmi27.0.0-cu130"
    name = shared.model(f"{shared.prefix}-image", Image=image)
    assert f'Image "{image}" cannot run here' in failed(shared, name)


def test_the_next_deployment_works_after_a_failed_one(shared: Deployment) -> None:
    bad = shared.model(f"{shared.prefix}-bad", "def model_fn(d): raise RuntimeError('no')")
    shared.endpoint(bad, shared.variant(bad))
    shared.wait(bad, status="Failed")
    assert shared.invoke(shared.simple(f"{shared.prefix}-good"))["model"].endswith("-good")


def test_a_failing_prediction_is_a_model_error(shared: Deployment) -> None:
    script = ECHO.format(name="x").replace("return data\n", "return 1 / 0\n", 1)
    name = shared.simple(f"{shared.prefix}-predict", script)
    with pytest.raises(ClientError) as error:
        shared.invoke(name)
    answer = error.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert answer["OriginalStatusCode"] == 500
    assert answer["LogStreamArn"].endswith(f"/aws/sagemaker/Endpoints/{name}")
    wait_until(lambda: "ZeroDivisionError" in shared.server.command("logs", name).stdout)
