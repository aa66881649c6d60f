"""Which variables of a model cannot reach a framework that is imported already.

A zygote imports the framework before it knows the model. Most variables are read when they are needed; some are read
once, when Python starts or a library is loaded, and would be ignored in a forked child. A model that sets one of those
must be started with exec, which costs it the import. This module imports nothing but the standard library, cheaply,
since an engine asks it for every replica.
"""

from __future__ import annotations

from typing import Mapping

READ_AT_START = (
    # the dynamic loader and the C library
    "LD_", "DYLD_", "MALLOC_", "GLIBC_TUNABLES", "JEMALLOC", "_RJEM_",
    # the interpreter
    "PYTHON",
    # thread pools and linear algebra
    "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_", "NUMEXPR_", "DNNL_", "ONEDNN_", "TBB_",
    # accelerators
    "CUDA_", "CUDNN_", "CUBLAS_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "HSA_", "NEURON_",
    # frameworks and what they import
    "NPY_", "NUMPY_", "SCIPY_", "SKLEARN_", "JOBLIB_", "LOKY_", "NUMBA_", "ARROW_", "XGBOOST", "DMLC_", "RABIT_",
    "TORCH", "PYTORCH_", "ATEN_", "TRITON_", "TRANSFORMERS_", "HF_", "HUGGINGFACE_", "SAFETENSORS_", "ACCELERATE_",
    "TOKENIZERS_", "DIFFUSERS_", "BITSANDBYTES_", "TF_", "XLA_", "JAX_", "FLAX_", "KERAS_", "USE_TORCH", "USE_TF",
    "USE_JAX", "USE_FLAX", "XDG_CACHE_HOME",
)  # fmt: skip
"""Prefixes of variables that are read once, at start or import."""

READ_WHEN_NEEDED = frozenset(
    {
        "HF_TASK", "HF_MODEL_ID", "HF_MODEL_REVISION", "HF_TOKEN", "HF_API_TOKEN",  # read by this model server
        "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",  # every replica behaves so
    }
)  # fmt: skip
"""Names that a prefix above would catch, though a forked child heeds them."""


def must_exec(environment: Mapping[str, str]) -> str | None:
    """The first variable (by name) that a forked child would ignore, or None when forking is right.

    A locale counts only when it is not a UTF-8 one: the zygote runs in UTF-8.
    """
    for name in sorted(environment):
        if name in READ_WHEN_NEEDED:
            continue
        if name.startswith(READ_AT_START):
            return name
        if (name == "LANG" or name.startswith("LC_")) and not _is_utf8(environment[name]):
            return name
    return None


def _is_utf8(locale: str) -> bool:
    return not locale or locale.upper().replace("-", "").endswith("UTF8")
