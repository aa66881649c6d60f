"""`mooring env`: the variables with which SageMaker code that knows nothing of Mooring finds a server.

The SageMaker SDK gets no configuration file of ours. A person's own goes on counting, and the SDK is quicker without
any: it checks the schema of one again and again, for a fifth of a second each time.

Everything is found and written before anything is printed: `eval` gets all of it or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mooring.cli import credentials, sts_rules
from mooring.cli.client import client_of
from mooring.cli.finding import Server
from mooring.errors import BadInput, Unavailable
from mooring.processes.files import write_atomically

DIRECT = ("127.0.0.1", "localhost")
BUNDLE = "ca-bundle.pem"
_REGION = re.compile(r"[a-z0-9-]{1,64}")


def variables(server: Server, environ: Mapping[str, str]) -> dict[str, str]:
    """What to add to `environ`; writes the data that they name. Raises `Unavailable` when no server answers."""
    url = server.require_url()
    status = client_of(server).status()
    region = str(status.get("region"))
    if not _REGION.fullmatch(region):
        raise Unavailable(f"{url} does not tell its region")
    data = _botocore_data(server, environ)
    sts_rules.write(data, url)
    direct = _direct(environ, str(urlsplit(url).hostname))
    return {
        "AWS_ENDPOINT_URL": url,
        **_credentials(server, environ),
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_DATA_PATH": _data_path(data, environ),
        **_bundle(server, status, environ),
    }


def _credentials(server: Server, environ: Mapping[str, str]) -> dict[str, str]:
    """Nobody's own credentials are replaced. Where none are set, those that the server needs, or takes."""
    names = (credentials.ID, credentials.SECRET)
    left = credentials.left_by(server.paths)
    if left is None:
        return {name: "mooring" for name in names if not environ.get(name)}
    if all(environ.get(name) for name in names):
        return {}
    token = {credentials.TOKEN: ""} if environ.get(credentials.TOKEN) else {}  # another key's
    return {credentials.ID: left.access_key_id, credentials.SECRET: left.secret, **token}


def script(added: Mapping[str, str], shell: str) -> str:
    """The variables for a shell to evaluate, or as a JSON object."""
    if shell not in SHELLS:
        raise BadInput(f"--shell is one of {', '.join(SHELLS)}, not {shell!r}")
    return SHELLS[shell](added)


def _sh(added: Mapping[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in added.items())


def _fish(added: Mapping[str, str]) -> str:
    # Unlike in sh, a backslash between single quotes is not plain.
    quoted = {name: value.replace("\\", "\\\\").replace("'", "\\'") for name, value in added.items()}
    return "\n".join(f"set -gx {name} '{value}'" for name, value in quoted.items())


def _json(added: Mapping[str, str]) -> str:
    return json.dumps(dict(added), indent=2)


SHELLS: Mapping[str, Callable[[Mapping[str, str]], str]] = {"sh": _sh, "fish": _fish, "json": _json}


def _bundle(server: Server, status: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Issuers to trust, where the server's certificate is signed by none that anybody trusts untold.

    The variable takes one file: what it named before, for other hosts, is copied behind ours.
    """
    if server.paths is None or not (status.get("tls") or {}).get("anchored"):
        return {}
    ours, both = server.paths.certificate, server.paths.botocore_data / BUNDLE
    before = environ.get("AWS_CA_BUNDLE")
    if not before or Path(before) == ours:
        return {"AWS_CA_BUNDLE": str(ours)}
    if Path(before) != both:
        try:
            write_atomically(both, ours.read_bytes() + Path(before).read_bytes())
        except OSError as error:
            raise BadInput(f"AWS_CA_BUNDLE={before}: {error.strerror or error}") from None
    return {"AWS_CA_BUNDLE": str(both)}


def _direct(environ: Mapping[str, str], host: str) -> str:
    """Hosts that no proxy is asked for: those named in either spelling, this machine, and the server's own."""
    named = ",".join([environ.get("NO_PROXY", ""), environ.get("no_proxy", "")]).split(",")
    hosts = dict.fromkeys(each.strip() for each in [*named, *DIRECT, host] if each.strip())
    return "*" if "*" in hosts else ",".join(hosts)  # clients know the star only when it stands alone


def _botocore_data(server: Server, environ: Mapping[str, str]) -> Path:
    """Where botocore's data for this server is kept: with the server's, or in the cache of who calls it by URL."""
    if server.paths is not None:
        return server.paths.botocore_data
    cache = environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    digest = hashlib.sha256(server.where.encode()).hexdigest()[:12]
    return Path(cache).absolute() / "mooring" / "botocore" / digest


def _data_path(ours: Path, environ: Mapping[str, str]) -> str:
    """Ours before those that are named already: the first that has a file wins."""
    named = [path for path in environ.get("AWS_DATA_PATH", "").split(os.pathsep) if path]
    return os.pathsep.join(dict.fromkeys([str(ours), *named]))
