"""With which access key a command of ours calls a server: as its owner by a private file, else as any AWS client would.

A server that needs keys leaves one in its data directory, for commands of the user that it runs as. Without that the
user's own AWS credentials count: those of the environment, else those that their profile holds.
"""

from __future__ import annotations

import configparser
import json
import os
from collections.abc import Mapping
from pathlib import Path

from mooring.cli.finding import Server
from mooring.paths import Paths
from mooring.processes.files import read_small
from mooring.wire.signing import Credentials

ID, SECRET, TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"
ADVICE = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that `mooring keys create` has made there."


def credentials_for(server: Server, environ: Mapping[str, str] | None = None) -> Credentials | None:
    """What to sign calls of `server` with; None when there is nothing, which does where any credentials are taken."""
    environ = os.environ if environ is None else environ
    return left_by(server.paths) or _of_environment(environ) or _of_profile(environ)


def left_by(paths: Paths | None) -> Credentials | None:
    """What the server of a data directory has left there for its owner; None when it needs no keys."""
    if paths is None:
        return None
    try:
        found = json.loads(read_small(paths.local_credentials))
        return Credentials(str(found["access_key_id"]), str(found["secret_access_key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _of_environment(environ: Mapping[str, str]) -> Credentials | None:
    key, secret = environ.get(ID), environ.get(SECRET)
    return Credentials(key, secret, environ.get(TOKEN)) if key and secret else None


def _of_profile(environ: Mapping[str, str]) -> Credentials | None:
    home = environ.get("HOME") or "~"
    file = Path(environ.get("AWS_SHARED_CREDENTIALS_FILE") or Path(home, ".aws", "credentials")).expanduser()
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    read = configparser.RawConfigParser(strict=False, default_section="")
    try:
        read.read(file, "utf-8")
        section = dict(read.items(profile))
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None
    key, secret = section.get("aws_access_key_id"), section.get("aws_secret_access_key")
    return Credentials(key, secret, section.get("aws_session_token")) if key and secret else None
