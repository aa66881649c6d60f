"""Flags that several commands share."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mooring.settings import ServerSettings

DEFAULTS = ServerSettings()

Url = Annotated[str | None, typer.Option("--url", help="The server's URL.  [env var: MOORING_URL]")]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        help=f"Its data directory, instead of a URL.  [env var: MOORING_DATA_DIR; default: {DEFAULTS.data_dir}]",
    ),
]
Region = Annotated[
    str | None, typer.Option("--region", help="The endpoint's region, when several have one of that name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The answer as JSON.")]


def preferred_region() -> str | None:
    """The region that the environment names."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
