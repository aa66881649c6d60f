"""A model that cannot be loaded because another version made it: said in words, with the line that mends it.

What Python raises then names an attribute or a module that nobody asked for. Known forms of it are recognized by their
text; what made the model comes from its files, where they tell, and what serves it from the modules that are imported.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import Iterator, Mapping

LONGEST_CHAIN = 8


@dataclass(frozen=True)
class Mismatch:
    """One library's way of failing on what another version of it wrote."""

    pattern: re.Pattern[str]
    """For `Type: message`."""
    distribution: str
    module: str
    maker: str
    """What made the model, where its files do not tell more."""
    line: str
    """For requirements.txt; `{release}` is the maker's, as `1.2`."""


KNOWN = (
    Mismatch(
        re.compile(
            r"InconsistentVersionWarning|node array from the pickle has an incompatible dtype|"
            r"Can't get attribute '[^']*' on <module 'sklearn|No module named 'sklearn\.|"
            r"has no attribute '_(?:fill_dtype|RemainderColsList|sklearn_tags)|'__pyx_unpickle_"
        ),
        "scikit-learn", "sklearn", "another version", "scikit-learn=={release}.*",
    ),
    Mismatch(
        re.compile(
            r"XGBoostError.*(?:Invalid serialization file|Check failed: header\[0\]|Unknown construct|"
            r"Invalid model format)",
            re.DOTALL,
        ),
        "xgboost", "xgboost", "a version before 3.1", "xgboost=={release}.*",
    ),
    Mismatch(re.compile(r"No module named 'numpy\._core"), "numpy", "numpy", "2 or newer", "numpy>=2"),
    Mismatch(re.compile(r"No module named 'pandas\.core\.indexes\.numeric'"), "pandas", "pandas", "1", "pandas<2"),
    Mismatch(re.compile(r"numpy\.dtype size changed"), "numpy", "numpy", "1", "numpy<2"),
)  # fmt: skip


def hint(error: BaseException | None, made_with: Mapping[str, str]) -> str | None:
    """What to do about `error`, or None when it is nothing of this kind."""
    for each in _chain(error):
        text = f"{type(each).__name__}: {each}"
        for known in KNOWN:
            if known.pattern.search(text):
                return _hint(known, made_with.get(known.distribution))
    return None


def _hint(known: Mismatch, made: str | None) -> str:
    here = getattr(sys.modules.get(known.module), "__version__", "another version")
    release = re.match(r"\d+\.\d+", made or "")
    told = f"the model was made with {known.distribution} {made if release else known.maker}, and {here} serves it"
    if "{release}" in known.line and release is None:
        return f"{told}: name the version that made it in requirements.txt beside the script"
    line = known.line.format(release=release.group() if release else "")
    return f"{told}: put {line} into requirements.txt beside the script, or set MOORING_IMAGES_VERSIONS=tag"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(LONGEST_CHAIN):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
