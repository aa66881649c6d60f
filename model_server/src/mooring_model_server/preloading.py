"""What a zygote imports before it forks, and what it must not do: compute.

An OpenMP or BLAS thread pool that ran once does not survive fork; XGBoost then hangs in the child. So frameworks are
imported and nothing is called, and OpenBLAS is told to start no threads, which a child takes back with
`ThreadPools.raise_in_child`. OMP_NUM_THREADS is left alone: OpenMP starts its threads at first use, in the child.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import threading
from typing import Any

FRAMEWORK_MODULES = {
    "none": (),
    "generic": (),
    "sklearn": ("sklearn",),
    "xgboost": ("xgboost",),
    "pytorch": ("torch",),
    "huggingface": ("transformers",),
    "mlflow": ("mlflow.pyfunc.scoring_server",),
}
"""Must be importable, or the zygote is of no use."""

COMPANIONS = {
    "sklearn": (
        "joblib", "numpy", "scipy.sparse", "scipy.special", "pandas", "sklearn.linear_model", "sklearn.ensemble",
        "sklearn.pipeline", "sklearn.compose", "sklearn.preprocessing", "sklearn.impute", "sklearn.svm",
        "sklearn.neighbors", "sklearn.cluster", "sklearn.decomposition", "sklearn.naive_bayes",
        "sklearn.neural_network", "sklearn.feature_extraction.text",
    ),
    "xgboost": ("numpy", "scipy.sparse", "pandas", "joblib"),
    "pytorch": ("numpy",),
    "huggingface": ("numpy", "torch", "transformers.pipelines"),
    "mlflow": ("numpy", "pandas"),
}  # fmt: skip
"""Imported when they are there: what scripts and pickles of that framework mostly name."""

OWN = (
    "mooring_model_server.server", "mooring_model_server.connections", "mooring_model_server.loading",
    "mooring_model_server.frameworks.scikit_learn", "mooring_model_server.frameworks.generic",
    "mooring_model_server.frameworks.xgboost_script", "mooring_model_server.frameworks.xgboost_algorithm",
    "mooring_model_server.frameworks.pytorch", "mooring_model_server.frameworks.huggingface",
    "csv", "pickle", "tempfile", "random", "json", "resource",
)  # fmt: skip

AT_IMPORT = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Thread counts that are pinned to one while the zygote imports."""


class ThreadPools:
    """The BLAS pools that were loaded with one thread."""

    def __init__(self) -> None:
        self._libraries: list[Any] = []
        self._openmp: list[Any] = []
        with contextlib.suppress(ImportError):  # without threadpoolctl a child keeps one BLAS thread
            from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped,unused-ignore]

            found = ThreadpoolController()
            self._libraries = list(found.select(user_api="blas").lib_controllers)
            self._openmp = list(found.select(user_api="openmp").lib_controllers)

    def raise_in_child(self, workers: int, threads: int | None = None) -> None:
        """Give BLAS the processors that this replica may use, divided among its workers; OpenMP no more than `threads`.

        OpenMP has read the variable that says so when it was loaded, before anybody knew of this replica.
        """
        share = max(1, min(processors(), threads or processors()) // workers)
        if share > 1:
            for library in self._libraries:
                library.set_num_threads(share)
        if threads is not None:
            for library in self._openmp:
                library.set_num_threads(share)
            if "torch" in sys.modules:
                sys.modules["torch"].set_num_threads(share)


def processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def preload(name: str) -> tuple[dict[str, str], ThreadPools]:
    """Import a framework and this server; returns the versions and the pools. Raises ImportError and the like."""
    held = {variable: os.environ.get(variable) for variable in AT_IMPORT}
    os.environ.update(dict.fromkeys(AT_IMPORT, "1"))
    for module in OWN:
        importlib.import_module(module)
    versions = {}
    for module in FRAMEWORK_MODULES[name]:
        versions[module] = str(getattr(importlib.import_module(module), "__version__", "unknown"))
    for module in COMPANIONS.get(name, ()):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    pools = ThreadPools()
    for variable, value in held.items():
        if value is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = value
    gc.collect()
    gc.freeze()  # what is here now is never collected, so children do not copy its pages
    return versions, pools


def threads() -> int:
    """How many threads this process has; a zygote must have one."""
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208
    except OSError:
        return threading.active_count()
