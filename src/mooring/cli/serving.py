"""`mooring serve`, without Typer: flags in their plain form, then the supervisor in this very process."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from mooring.errors import SettingsError
from mooring.settings import RESOLVED, load

FLAGS: Mapping[str, type[int | str]] = {
    "host": str,
    "port": int,
    "data_dir": str,
    "workers": int,
    "log_level": str,
    "certificate": str,
    "key": str,
}
"""The settings that are flags: most of the topic `server`, and two of `tls`."""
SWITCHES = frozenset(("insecure",))
"""Flags without a value."""


def plain_flags(words: Sequence[str]) -> dict[str, object] | None:
    """`--name value` and `--name=value` by field; None when there is anything else, which Typer shall judge."""
    flags: dict[str, object] = {}
    waiting = list(words)
    while waiting:
        name, given, value = waiting.pop(0).partition("=")
        field = name.removeprefix("--").replace("-", "_")
        if name.startswith("--") and field in SWITCHES and not given:
            flags[field] = True
            continue
        if not name.startswith("--") or "_" in name or field not in FLAGS:
            return None
        if not given:
            if not waiting:
                return None
            value = waiting.pop(0)
        try:
            flags[field] = FLAGS[field](value)
        except ValueError:
            return None
    return flags


def serve(flags: Mapping[str, object]) -> int:
    """Serve in the foreground until told to stop."""
    from mooring import supervisor

    # Settings that were resolved for another server's children would override every flag.
    environ = {name: value for name, value in os.environ.items() if name != RESOLVED}
    settings = load(environ, **flags)
    if settings.traces.endpoint and find_spec("opentelemetry") is None:
        raise SettingsError(
            "MOORING_TRACES_ENDPOINT is set and OpenTelemetry is not installed: `pip install mooring[traces]`"
        )
    return supervisor.run(settings)
