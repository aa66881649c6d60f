"""AWS's prebuilt images, from the table beside this module: which repositories there are, and whose accounts hold them.

The table was compiled from what AWS and its SDKs publish; `data/README.md` names the sources.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def table() -> dict[str, Any]:
    """The table as it is: `uri_pattern`, and `images` with framework, repository, registries and versions."""
    found: dict[str, Any] = json.loads(
        files("mooring.engines").joinpath("data/prebuilt_images.json").read_text("utf-8")
    )
    return found


def is_prebuilt(image: str) -> bool:
    """Whether an image is one of AWS's own: a repository of the table in an account that the table names for it."""
    found = re.fullmatch(table()["uri_pattern"], image)
    if found is None:
        return False
    return any(
        group["repository"] == found["repository"] and found["account"] in group["registries"].values()
        for group in table()["images"]
    )
