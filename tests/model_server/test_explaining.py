"""Advice stands behind Python's own last line, for the mistakes that are made most often and for no other."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from mooring_model_server.explaining import MOST_NAMES, explained, listed


def raised(action: str, **names: object) -> BaseException:
    try:
        exec(action, names)
    except BaseException as error:  # noqa: BLE001 - whatever it is
        return error
    raise AssertionError(action)


def test_a_module_that_is_not_there(tmp_path: Path) -> None:
    error = raised("import nobodys_module.part")
    line = "ModuleNotFoundError: No module named 'nobodys_module'"
    own = "If nobodys_module is your own, put it into code/ beside the script; else"
    assert explained(error, str(tmp_path)) == (
        f"{line}. {own} name its distribution in code/requirements.txt, which is not there."
    )
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "requirements.txt").touch()
    brought = f"{line}. {own} code/requirements.txt does not bring it: name its distribution there."
    assert explained(error, str(tmp_path)) == brought
    assert explained(error, "/nowhere", str(tmp_path / "code")) == brought


def test_a_part_of_a_package_that_is_there_is_another_matter(tmp_path: Path) -> None:
    error = raised("import json.nobodys_part")
    assert explained(error, str(tmp_path)) == "ModuleNotFoundError: No module named 'json.nobodys_part'"


def test_a_file_that_is_not_in_the_model_directory(tmp_path: Path) -> None:
    (tmp_path / "iris.joblib").touch()
    (tmp_path / "code").mkdir()
    error = raised(f"open({str(tmp_path / 'model.joblib')!r})")
    assert explained(error, str(tmp_path)).endswith(
        "model.joblib'. In the model directory there are code/, iris.joblib."
    )
    elsewhere = explained(raised("open('/nowhere/x')"), str(tmp_path))
    assert elsewhere == "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/x'"


def test_the_path_of_awss_containers(tmp_path: Path) -> None:
    error = raised("open('/opt/ml/model/model.joblib')")
    assert "There is no /opt/ml/ here: take the model_dir" in explained(error, str(tmp_path))


def test_a_class_that_was_pickled_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = type("Scaler", (), {"__module__": "__main__"})
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "Scaler", made, raising=False)
    saved = pickle.dumps(made())
    monkeypatch.delattr(main, "Scaler")
    error = raised("loads(saved)", loads=pickle.loads, saved=saved)
    assert explained(error, str(tmp_path)).startswith("AttributeError: Can't get attribute 'Scaler' on <module '")
    assert "define it in a module that lies in code/" in explained(error, str(tmp_path))


def test_a_context_that_the_image_does_not_pass(tmp_path: Path) -> None:
    def transform_fn(model: object, body: bytes, content_type: str, accept: str, context: object) -> None:
        raise AssertionError

    error = raised("f(1, 2, 3, 4)", f=transform_fn)
    assert "those of PyTorch and Hugging Face pass one" in explained(error, str(tmp_path))
    assert "Hugging Face" not in explained(raised("f(1, 2, 3)", f=transform_fn), str(tmp_path))


@pytest.mark.parametrize("action", ["1 / 0", "raise FileNotFoundError", "raise ModuleNotFoundError", "[].x"])
def test_other_errors_are_left_alone(tmp_path: Path, action: str) -> None:
    text = explained(raised(action), str(tmp_path))
    assert "code/" not in text
    assert "directory there" not in text


def test_what_is_listed_has_an_end(tmp_path: Path) -> None:
    assert listed(tmp_path) == "is nothing"
    (tmp_path / "a").touch()
    assert listed(tmp_path) == "is a"
    for number in range(MOST_NAMES + 2):
        (tmp_path / f"b{number:02}").touch()
    assert listed(tmp_path).endswith(" and 3 more")
    assert listed(tmp_path, "*.py") == "is nothing"
