"""A model that another version made: the failure says which, and what to do."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mooring_model_server.mismatches import hint
from tests.model_server.conftest import Serve


class InconsistentVersionWarning(UserWarning):
    """As scikit-learn calls it."""


class XGBoostError(ValueError):
    """As XGBoost calls it."""


NODES = "node array from the pickle has an incompatible dtype:\n- expected: x\n- got     : y"


@pytest.mark.parametrize(
    ("error", "made_with", "line"),
    [
        (ValueError(NODES), {"scikit-learn": "1.2.2"}, "put scikit-learn==1.2.* into"),
        (AttributeError("Can't get attribute '_RemainderColsList' on <module 'sklearn.compose'>"),
         {"scikit-learn": "1.6.1"}, "put scikit-learn==1.6.* into"),
        (ModuleNotFoundError("No module named 'sklearn.ensemble.forest'"), {}, "name the version that made it"),
        (InconsistentVersionWarning("Trying to unpickle estimator"), {"scikit-learn": "1.0"}, "scikit-learn==1.0.*"),
        (XGBoostError("learner.cc:989: Check failed: header[0] == '{' ("), {"xgboost": "1.2.1"}, "xgboost==1.2.*"),
        (XGBoostError("json.cc:409: Unknown construct"), {"xgboost": "binary"}, "xgboost a version before 3.1, and"),
        (ModuleNotFoundError("No module named 'numpy._core'"), {}, "put numpy>=2 into"),
        (ModuleNotFoundError("No module named 'pandas.core.indexes.numeric'"), {}, "put pandas<2 into"),
    ],
)  # fmt: skip
def test_known_forms(error: Exception, made_with: dict[str, str], line: str) -> None:
    found = hint(error, made_with)
    assert found is not None
    assert line in found
    wrapped = RuntimeError("the script says: it did not work")
    wrapped.__cause__ = error
    assert hint(wrapped, made_with) == found


@pytest.mark.parametrize(
    "error",
    [None, ValueError("no such weights"), ModuleNotFoundError("No module named 'pandas'"), KeyError("numpy._core")],
)
def test_anything_else_has_no_hint(error: Exception | None) -> None:
    assert hint(error, {"scikit-learn": "1.2.2"}) is None


def test_the_failure_that_is_told_says_it(serve: Serve) -> None:
    script = f"def model_fn(model_dir): raise ValueError({NODES!r})"
    failure = serve(script, "sklearn", made_with={"scikit-learn": "1.2.2"}).document("failure.json")
    assert failure["where"] == "model_fn"
    assert failure["reason"].startswith(
        "ValueError: node array from the pickle has an incompatible dtype: (the model was"
    )
    assert "made with scikit-learn 1.2.2, and 1." in failure["reason"]


def test_a_real_pickle_that_names_what_is_not_there(serve: Serve, tmp_path: Path) -> None:
    """As scikit-learn before 0.22 wrote it."""
    (tmp_path / "model.pkl").write_bytes(b"csklearn.ensemble.forest\nRandomForestClassifier\n.")
    script = "import os, pickle\ndef model_fn(d): return pickle.load(open(os.path.join(d, 'model.pkl'), 'rb'))"
    with pytest.raises(ModuleNotFoundError):
        pickle.loads((tmp_path / "model.pkl").read_bytes())
    failure = serve(script, "sklearn", model_dir=str(tmp_path)).document("failure.json")
    assert "name the version that made it in requirements.txt" in failure["reason"]
