"""Which versions serve: the rules, without an environment."""

from __future__ import annotations

import sys

import pytest

from mooring.engines.images import runtime_of
from mooring.engines.pins import Pin, default_python, pinned, running_python
from mooring.engines.versions import SWITCH, Plan, plan, plan_of_requirements
from mooring.errors import StartFailure

HERE = {"scikit-learn": "1.9.1"}
RUNNING = running_python().replace(".", "")


def planned(
    tag: str, made_with: str | None = None, here: dict[str, str] = HERE, *, policy: str = "auto", strict: bool = False
) -> Plan:
    runtime = runtime_of(f"x/sagemaker-scikit-learn:{tag}", {})
    made = {"scikit-learn": made_with} if made_with else {}
    return plan(runtime, made, here, policy=policy, strict=strict)


def xgboost(tag: str, made_with: str, here: str) -> Plan:
    runtime = runtime_of(f"x/sagemaker-xgboost:{tag}", {})
    return plan(runtime, {"xgboost": made_with}, {"xgboost": here}, policy="auto", strict=False)


def test_auto_without_evidence_serves_what_is_installed_and_tells_of_the_tag() -> None:
    assert planned("1.9-1-cpu-py3") == Plan("as installed beside Mooring")
    other = planned("1.2-1-cpu-py3")
    assert not other.own
    assert other.named == f"the image's tag names scikit-learn 1.2 ({SWITCH})"
    assert planned("latest") == Plan("as installed beside Mooring")


def test_auto_follows_what_made_the_model() -> None:
    same = planned("1.2-1-cpu-py3", "1.9.0")
    assert (same.own, same.because) == (False, "since 1.9.0 made the model")
    other = planned("1.2-1-cpu-py3", "1.2.2")
    assert (other.own, other.serves, other.nearest, other.named) == (True, "scikit-learn 1.2", True, "")
    assert other.packages[0] == "scikit-learn==1.2.*"
    assert "numpy<2" in other.packages
    assert "scikit-learn 1.0" in planned("1.0-1-cpu-py3", "1.2.2").named


def test_auto_without_the_framework_makes_an_environment_and_nothing_is_nearest() -> None:
    runtime = runtime_of("x/pytorch-inference:2.6-gpu-py312", {})
    found = plan(runtime, {}, {}, policy="auto", strict=False)
    assert (found.own, found.serves, found.nearest) == (True, "torch 2.6", False)
    assert found.packages == ("torch==2.6.*", "numpy")
    assert found.pythons[0] == ""
    assert set(found.pythons) == {"", "3.12"} - ({"3.12"} if running_python() == "3.12" else set())
    digest = runtime_of(f"x/pytorch-inference@sha256:{'0' * 64}", {})
    assert plan(digest, {}, {}, policy="auto", strict=False).packages == ("torch", "numpy")


@pytest.mark.parametrize("strict", [False, True])
def test_the_tag_decides_where_it_is_asked_to(strict: bool) -> None:
    found = planned("1.2-1-cpu-py3", "1.7.0", policy="tag", strict=strict)
    assert (found.own, found.serves, found.nearest) == (True, "scikit-learn 1.2", not strict)
    assert found.pythons[0] == "3.9"
    assert len(found.pythons) == (1 if strict else 2)


@pytest.mark.parametrize("strict", [False, True])
def test_the_installed_framework_is_the_tags_where_both_agree(strict: bool) -> None:
    assert not planned("1.9-1-cpu-py3", policy="tag", strict=strict).own
    assert not planned(f"1.9-1-py{RUNNING}-cpu-py3", policy="tag", strict=strict).own
    other = planned("1.9-1-py38-cpu-py3", policy="tag", strict=strict)
    assert (other.own, other.pythons) == (True, ("3.8",))


def test_strict_refuses_a_tag_that_names_nothing() -> None:
    with pytest.raises(StartFailure, match="names no version of scikit-learn"):
        planned("latest", strict=True)
    assert not planned("latest", policy="tag").own


def test_a_python_that_is_too_old_for_the_model_server() -> None:
    found = planned("0.20.0-cpu-py3", policy="tag")
    assert (found.own, found.pythons) == (True, (">=3.8,<3.9",))
    with pytest.raises(StartFailure, match=r"names Python 3.7, and the model server needs 3.8"):
        planned("0.20.0-cpu-py3", strict=True)


def test_requirements_that_name_the_framework_go_first() -> None:
    runtime = runtime_of("x/sagemaker-scikit-learn:1.2-1-cpu-py3", {})
    found = plan_of_requirements(runtime, Pin("scikit-learn", "1.1.3"), None, policy="auto", strict=False)
    assert (found.own, found.nearest, found.named) == (True, False, "")
    assert "scikit-learn" not in {package.partition("=")[0] for package in found.packages}
    assert "numpy<2" in found.packages
    strict = plan_of_requirements(runtime, Pin("scikit-learn"), None, policy="auto", strict=True)
    assert strict.pythons == ("3.9",)


@pytest.mark.parametrize(
    ("tag", "made_with", "here", "serves"),
    [
        ("1.7-1", "1.7.6", "3.2.0", "xgboost 1.7"),
        ("1.7-1", "3.2.1", "3.2.0", ""),
        ("1.5-1", "binary", "3.2.0", "xgboost 1.5"),
        ("3.2-0", "binary", "3.2.0", "xgboost 3.0"),
        ("1.5-1", "binary", "2.1.4", ""),
    ],
)
def test_xgboosts_binary_format_needs_a_version_that_reads_it(tag: str, made_with: str, here: str, serves: str) -> None:
    found = xgboost(tag, made_with, here)
    assert (found.own, found.serves) == (bool(serves), serves)


@pytest.mark.parametrize(
    ("pin", "gpu", "packages"),
    [
        (Pin("scikit-learn", "1.7"), False, ("scikit-learn==1.7.*", "pandas")),
        (Pin("scikit-learn", "1.4.1"), False, ("scikit-learn==1.4.1", "pandas", "scipy<1.14")),
        (Pin("scikit-learn"), False, ("scikit-learn", "pandas")),
        (Pin("xgboost", "3.2"), False, ("xgboost-cpu==3.2.*", "scikit-learn", "pandas")),
        (Pin("xgboost", "3.2"), True, ("xgboost==3.2.*", "scikit-learn", "pandas")),
        (Pin("no-such-thing", "1"), False, ("no-such-thing==1.*",)),
    ],
)
def test_what_uv_is_asked_for(pin: Pin, gpu: bool, packages: tuple[str, ...]) -> None:
    assert pinned(pin, gpu=gpu) == packages


def test_an_old_version_asks_for_an_old_python() -> None:
    assert default_python((Pin("scikit-learn", "1.9"),)) == ""
    assert default_python((Pin("scikit-learn", "0.23"),)) == ">=3.8,<3.9"
    older = default_python((Pin("scikit-learn", "1.2"), Pin("torch", "1.12")))
    assert older == ">=3.8,<3.11"
    assert sys.version_info >= (3, 11)
