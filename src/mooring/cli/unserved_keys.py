"""Access keys of a data directory that no server serves: a server on the network does not start without one.

A short-lived process does it under the lock of the directory, so no server starts meanwhile; it is started by name, as
a command knows nothing of the store.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

from mooring import errors
from mooring.errors import MooringError
from mooring.paths import Paths
from mooring.settings import RESOLVED, load
from mooring.supervisor import directory


def ask(paths: Paths, method: str, page: str, document: dict[str, Any] | None) -> dict[str, Any]:
    """What the admin API would answer. Raises `MooringError` as its client does."""
    environ = {name: value for name, value in os.environ.items() if name != RESOLVED}
    settings = load(environ, data_dir=str(paths.root))
    resolved = dataclasses.replace(settings, server=dataclasses.replace(settings.server, data_dir=str(paths.root)))
    os.umask(0o077)
    with directory.held(paths) as lock:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "mooring.api.unserved_keys"],
            input=json.dumps({"method": method, "page": page, "document": document}),
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(lock,),
            env={**environ, RESOLVED: resolved.to_json()},
            check=False,
        )
    try:
        answer = json.loads(done.stdout)
        kind, message, answered = answer.get("error"), str(answer.get("message")), answer.get("answered")
    except (ValueError, AttributeError):
        raise MooringError(f"the keys in {paths.root} could not be reached (exit code {done.returncode})") from None
    if kind is None and isinstance(answered, dict):
        return answered
    raise getattr(errors, str(kind), MooringError)(message)
