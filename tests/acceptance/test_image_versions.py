"""The image picks what serves it: by what made the model, by the tag, and the nearest where neither can be had."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.making import interpreter, made_by
from tests.acceptance.running import Deployment, Server, archive

REGISTRY = "683313688378.dkr.ecr.us-east-1.amazonaws.com"
OLD_IMAGE = f"{REGISTRY}/sagemaker-scikit-learn:1.2-1-cpu-py3"
OLD = ("scikit-learn==1.2.2", "numpy<2", "scipy<1.12")
HERE = version("scikit-learn")
TRAIN = """
import json, pickle
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
rows, labels = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=0)).fit(rows, labels)
pickle.dump(model, open("model.pkl", "wb"))
print(json.dumps({"rows": rows[::50].tolist(), "answers": model.predict_proba(rows[::50]).tolist()}))
"""
SCRIPT = """
import json, os, pickle, sys
def model_fn(model_dir):
    with open(os.path.join(model_dir, "model.pkl"), "rb") as file:
        return pickle.load(file)
def input_fn(body, content_type): return json.loads(body)
def predict_fn(rows, model): return model.predict_proba(rows).tolist()
def output_fn(answers, accept):
    import sklearn
    told = {"answers": answers, "version": sklearn.__version__, "python": "%d.%d" % sys.version_info[:2]}
    return json.dumps(told), "application/json"
"""
WHICH = """
import json, sklearn, sys
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept):
    return json.dumps({"version": sklearn.__version__, "python": "%d.%d" % sys.version_info[:2]}), "application/json"
"""


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    """A model of scikit-learn 1.2, which no version since 1.3 can unpickle, and what its maker predicts."""
    files, told = made_by(interpreter(*OLD), TRAIN, tmp_path_factory.mktemp("forest") / "model")
    return archive({**files, "code/inference.py": SCRIPT}), told


def history(deployment: Deployment, name: str, kind: str) -> list[str]:
    said = deployment.server.command("endpoints", "events", name).stdout
    return re.findall(rf"(?m)^\S+  {kind} {{2,}}(.*)$", said)


def deploy(deployment: Deployment, name: str, data: bytes | None = None, *, image: str = OLD_IMAGE) -> str:
    deployment.model(name, WHICH, data=data, Image=image)
    return deployment.endpoint(name, deployment.variant(name, "v"))


def ask(deployment: Deployment, name: str, rows: object = None) -> Any:
    response = deployment.runtime.invoke_endpoint(
        EndpointName=name, ContentType="application/json", Body=json.dumps(rows)
    )
    return json.loads(response["Body"].read())


@pytest.mark.clients
@pytest.mark.timeout(300)
def test_a_pickle_is_served_by_the_version_that_made_it(shared: Deployment, forest: tuple[bytes, Any]) -> None:
    data, told = forest
    first, second = f"{shared.prefix}-first", f"{shared.prefix}-second"
    deploy(shared, first, data)
    deploy(shared, second, data)  # at the same time: made once
    for name in (first, second):
        shared.wait(name, timeout=200)
        found = ask(shared, name, told["rows"])
        assert found["answers"] == told["answers"]
        assert found["version"] == "1.2.2"
    made = [step for name in (first, second) for step in history(shared, name, "step") if "making an env" in step]
    assert len(made) == 1
    assert made[0].startswith("v: making an environment: scikit-learn==1.2.* under Python 3.")
    ready = [step for name in (first, second) for step in history(shared, name, "step") if "is ready after" in step]
    assert len(ready) == 1
    # What serves is what the tag names, but for the Python: the one that runs Mooring is at hand.
    (told,) = history(shared, first, "versions")
    assert told.startswith(f"v: scikit-learn 1.2 serves under Python {sys.version_info[0]}.{sys.version_info[1]}; ")
    assert told.endswith("; the image's tag names 3.9 (MOORING_IMAGES_VERSIONS=tag serves that)")


def test_the_installed_framework_serves_where_no_file_tells_and_the_history_says_so(shared: Deployment) -> None:
    name = deploy(shared, f"{shared.prefix}-installed")
    shared.wait(name)
    assert ask(shared, name)["version"] == HERE
    (told,) = history(shared, name, "versions")
    assert told == (
        f"v: scikit-learn {HERE} serves, as installed beside Mooring; the image's tag names scikit-learn 1.2 "
        f"(MOORING_IMAGES_VERSIONS=tag serves that)"
    )


def test_a_tag_of_the_installed_version_is_nothing_to_tell(shared: Deployment) -> None:
    release = ".".join(HERE.split(".")[:2])
    name = deploy(shared, f"{shared.prefix}-same", image=f"{REGISTRY}/sagemaker-scikit-learn:{release}-1-cpu-py3")
    shared.wait(name)
    assert history(shared, name, "versions") == []


@pytest.mark.clients
@pytest.mark.timeout(300)
def test_the_tag_decides_when_it_is_asked_to(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_IMAGES_VERSIONS="tag", UV_PYTHON_DOWNLOADS="never").start()
    deployment = Deployment(server)
    interpreter(*OLD)  # skips where no index can be reached
    name = deploy(deployment, "by-tag")
    deployment.wait(name, timeout=200)
    found = ask(deployment, name)
    assert found["version"] == "1.2.2"
    told = history(deployment, name, "versions")
    if found["python"] == "3.9":  # as the tag says: there is one on this machine
        assert told == []
    else:
        assert told[0].startswith(f"v: scikit-learn 1.2 serves under Python {found['python']}; an environment with ")
        assert "Python 3.9 could not be made: " in told[0]


@pytest.fixture
def offline(tmp_path: Path) -> dict[str, str]:
    """A server's environment without a package index, and without what was fetched from one before."""
    return {"UV_OFFLINE": "1", "UV_CACHE_DIR": str(tmp_path / "empty"), "UV_PYTHON_DOWNLOADS": "never"}


def test_the_nearest_serves_where_the_tags_version_cannot_be_had(
    make_server: Callable[..., Server], offline: dict[str, str]
) -> None:
    deployment = Deployment(make_server(MOORING_IMAGES_VERSIONS="tag", **offline).start())
    name = deploy(deployment, "nearest")
    deployment.wait(name)
    assert ask(deployment, name)["version"] == HERE
    (told,) = history(deployment, name, "versions")
    assert told.startswith(
        f"v: scikit-learn {HERE} serves, as installed beside Mooring; an environment with scikit-learn 1.2, "
    )
    assert "could not be made: " in told
    torch = f"{REGISTRY}/pytorch-inference:2.6-cpu-py312"
    reason = failed(deployment, deploy(deployment, "torch", image=torch))
    assert reason.startswith(f'Image "{torch}" cannot run here: torch is not installed beside Mooring, and an ')
    assert "torch was not found in the cache" in reason


@pytest.mark.clients  # as the forest is
@pytest.mark.timeout(300)
def test_the_nearest_may_not_be_able_to_load_the_model_and_says_why(
    make_server: Callable[..., Server], offline: dict[str, str], forest: tuple[bytes, Any]
) -> None:
    deployment = Deployment(make_server(**offline).start())
    name = deploy(deployment, "forest", forest[0])
    reason = failed(deployment, name)
    assert f"the model was made with scikit-learn 1.2.2, and {HERE} serves it: put scikit-learn==1.2.* into" in reason
    (told,) = history(deployment, name, "versions")
    assert "an environment with scikit-learn 1.2, since 1.2.2 made the model, could not be made: " in told


def test_strict_serves_the_tags_versions_or_refuses(
    make_server: Callable[..., Server], offline: dict[str, str]
) -> None:
    deployment = Deployment(make_server(MOORING_HOSTING_STRICT="on", **offline).start())
    release = ".".join(HERE.split(".")[:2])
    same = deploy(deployment, "same", image=f"{REGISTRY}/sagemaker-scikit-learn:{release}-1-cpu-py3")
    deployment.wait(same)
    assert ask(deployment, same)["version"] == HERE
    reason = failed(deployment, deploy(deployment, "other"))
    assert reason.startswith(
        f'Image "{OLD_IMAGE}" cannot be served as its tag says (scikit-learn 1.2 under Python 3.9): '
    )
    assert reason.endswith("MOORING_HOSTING_STRICT is on: let uv find what is missing, or turn it off.")
    digest = f"{REGISTRY}/sagemaker-scikit-learn@sha256:{'0' * 64}"
    assert "names no version of scikit-learn" in failed(deployment, deploy(deployment, "digest", image=digest))


def test_requirements_that_cannot_be_installed_are_a_reason(shared: Deployment) -> None:
    files: dict[str, str | bytes] = {"code/inference.py": WHICH, "code/requirements.txt": "flask ==\n"}
    reason = failed(shared, deploy(shared, f"{shared.prefix}-broken", archive(files)))
    assert reason.startswith("Installing requirements.txt failed: ")
    assert "flask ==" in reason


def failed(deployment: Deployment, name: str) -> str:
    reason: str = deployment.wait(name, status="Failed", timeout=40)["FailureReason"]
    return reason
