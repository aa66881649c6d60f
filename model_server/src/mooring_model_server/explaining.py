"""What to do about an error that says only what happened, for the mistakes that are made most often.

Python's own last line stays as it is and comes first; a sentence behind it names the place and the remedy. Nothing is
guessed: where the error does not tell which mistake it was, nothing is added.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from mooring_model_server.output import last_line

MOST_NAMES = 12
CONTAINER_ROOT = "/opt/ml/"
REQUIREMENTS = "requirements.txt"


def explained(error: BaseException, model_dir: str, code_dir: str | None = None) -> str:
    """`Type: message`, as a traceback ends, and the advice behind it when there is one."""
    line = last_line(error)
    advice = _advice(error, model_dir, Path(code_dir or Path(model_dir, "code")))
    return f"{line.rstrip('.')}. {advice}" if advice else line


def _advice(error: BaseException, model_dir: str, code_dir: Path) -> str:
    if isinstance(error, ModuleNotFoundError):
        return _module_advice(error.name or "", code_dir)
    if isinstance(error, FileNotFoundError) and isinstance(error.filename, str):
        return _file_advice(error.filename, Path(model_dir))
    # How a pickle names what its script or notebook defined; here that module is this server's.
    if isinstance(error, AttributeError) and str(error).endswith(f" on {sys.modules['__main__']!r}"):
        return (
            "The model was pickled where that was defined, in a notebook or a script of its own: define it in a module "
            "that lies in code/, import it from there and save the model again."
        )
    if isinstance(error, TypeError) and str(error).endswith("() missing 1 required positional argument: 'context'"):
        return (
            "The images of scikit-learn and XGBoost call a script without a context, as on AWS; those of PyTorch and "
            "Hugging Face pass one."
        )
    return ""


def _module_advice(name: str, code_dir: Path) -> str:
    package = name.partition(".")[0]
    if not package or ("." in name and importlib.util.find_spec(package) is not None):
        return ""  # a part of an installed package: its version is the matter
    if (code_dir / REQUIREMENTS).is_file():
        where = f"code/{REQUIREMENTS} does not bring it: name its distribution there"
    else:
        where = f"name its distribution in code/{REQUIREMENTS}, which is not there"
    return f"If {package} is your own, put it into code/ beside the script; else {where}."


def _file_advice(missing: str, model_dir: Path) -> str:
    if missing.startswith(CONTAINER_ROOT):
        return f"There is no {CONTAINER_ROOT} here: take the model_dir that model_fn is called with, or SM_MODEL_DIR."
    if model_dir not in Path(missing).parents:
        return ""
    return f"In the model directory there {listed(model_dir)}."


def listed(directory: Path, pattern: str = "*") -> str:
    """`are a, b/`: the names in a directory, to be put behind `there`."""
    try:
        found = sorted(directory.glob(pattern))
    except OSError:
        found = []
    names = [path.name + ("/" if path.is_dir() else "") for path in found]
    if not names:
        return "is nothing"
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(names[:MOST_NAMES])}{more}"
