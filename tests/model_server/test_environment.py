"""Which variables mean exec instead of fork; and that the package asks for nothing but the standard library."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mooring_model_server
from mooring_model_server.environment import must_exec
from mooring_model_server.frameworks.huggingface import infer_task
from mooring_model_server.negotiation import UnsupportedFormatError, choose, with_charset

SOURCES = sorted(Path(mooring_model_server.__file__).parent.rglob("*.py"))
OPTIONAL = {
    "httptools", "uvloop", "numpy", "scipy", "xgboost", "torch", "transformers", "mlflow", "PIL", "threadpoolctl",
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONPATH", "PYTHONHASHSEED", "LD_PRELOAD",
     "LD_LIBRARY_PATH", "XGBOOST_DEVICE", "CUDA_VISIBLE_DEVICES", "MALLOC_ARENA_MAX", "TORCH_HOME", "HF_HOME",
     "TRANSFORMERS_CACHE", "TOKENIZERS_PARALLELISM", "NUMEXPR_MAX_THREADS", "GLIBC_TUNABLES", "KMP_AFFINITY"],
)  # fmt: skip
def test_variable_that_an_import_reads(name: str) -> None:
    assert must_exec({"A": "b", name: "1"}) == name


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_REGION": "eu-west-1",
            "TZ": "UTC",
            "HOME": "/x",
            "TMPDIR": "/y",
        },
        {"HF_TASK": "fill-mask", "HF_MODEL_ID": "x", "PYTHONUNBUFFERED": "TRUE", "PYTHONDONTWRITEBYTECODE": "1"},
        {"LANG": "C.UTF-8", "LC_ALL": "en_US.utf8", "MY_OMP_NUM_THREADS": "1", "MODEL_PATH": "z"},
    ],
)
def test_variables_that_are_read_when_needed(environment: dict[str, str]) -> None:
    assert must_exec(environment) is None


def test_other_locales_and_the_first_by_name() -> None:
    assert must_exec({"LANG": "de_DE.ISO-8859-1"}) == "LANG"
    assert must_exec({"XGBOOST_X": "1", "CUDA_X": "1"}) == "CUDA_X"


def test_asking_imports_nothing_else() -> None:
    program = (
        "import sys; import mooring_model_server.environment\n"
        "print([m for m in sys.modules if m.startswith('mooring') or m in ('asyncio', 'numpy')])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert said.stdout.strip() == "['mooring_model_server', 'mooring_model_server.environment']"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_source_is_python_38_and_imports_nothing_foreign(source: Path) -> None:
    tree = ast.parse(source.read_text(), feature_version=(3, 8))
    foreign = sys.stdlib_module_names | OPTIONAL | {"mooring_model_server"}
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert {name.partition(".")[0] for name in names} <= foreign
    for node in tree.body:  # at import, only the standard library
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.partition(".")[0] for name in names} & OPTIONAL


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [("text/csv", "text/csv"), ("x/y, TEXT/CSV ; q=1", "text/csv"), ("x/y, */*", "application/json")],
)
def test_accept_lists(accept: str, chosen: str) -> None:
    assert choose(accept, ("application/json", "text/csv")) == chosen


def test_accept_that_nothing_fits() -> None:
    with pytest.raises(UnsupportedFormatError, match="Content type x/y is not supported"):
        choose("x/y", ("text/csv",))


def test_charset_as_flask_says_it() -> None:
    assert with_charset("text/csv") == "text/csv; charset=utf-8"
    assert with_charset("text/csv; charset=latin-1") == "text/csv; charset=latin-1"
    assert with_charset("application/json") == "application/json"


def test_task_of_a_diffusion_model(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    assert infer_task(tmp_path) == "text-to-image"
