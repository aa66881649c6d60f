"""`mooring env`: the variables with which SageMaker code that knows nothing of Mooring finds a server.

The SageMaker SDK's configuration file names the default bucket, which spares its second version a call to an STS host
that it has hard-coded. Everything is found and written before anything is printed: `eval` gets all of it or nothing.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from mooring.cli.client import Client
from mooring.cli.finding import Server
from mooring.errors import BadInput, Unavailable
from mooring.processes.files import write_atomically

DIRECT = ("127.0.0.1", "localhost")
_REGION = re.compile(r"[a-z0-9-]{1,64}")
_ACCOUNT = re.compile(r"\d{12}")


def variables(server: Server, environ: Mapping[str, str]) -> dict[str, str]:
    """What to add to `environ`; writes the SDK's configuration file. Raises `Unavailable` when no server answers."""
    url = server.require_url()
    status = Client(url).status()
    region, account = str(status.get("region")), str(status.get("account"))
    # They become part of a path, and a server elsewhere chose them.
    if not _REGION.fullmatch(region) or not _ACCOUNT.fullmatch(account):
        raise Unavailable(f"{url} does not tell its region and account")
    direct = _direct(environ)
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    return {
        "AWS_ENDPOINT_URL": url,
        **{name: "mooring" for name in keys if not environ.get(name)},
        "AWS_DEFAULT_REGION": region,
        "AWS_REGION": region,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(_sdk_configuration(server, environ, region, account)),
    }


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


def _direct(environ: Mapping[str, str]) -> str:
    """Hosts that no proxy is asked for: those named in either spelling, and this machine."""
    named = ",".join([environ.get("NO_PROXY", ""), environ.get("no_proxy", "")]).split(",")
    hosts = dict.fromkeys(host.strip() for host in [*named, *DIRECT] if host.strip())
    return "*" if "*" in hosts else ",".join(hosts)  # clients know the star only when it stands alone


def _sdk_configuration(server: Server, environ: Mapping[str, str], region: str, account: str) -> Path:
    if server.paths is not None:
        path = server.paths.sdk_configuration
    else:
        cache = environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
        path = Path(cache).absolute() / "mooring" / f"sagemaker-sdk-{region}-{account}.yaml"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [
        "SchemaVersion: '1.0'",
        "SageMaker:",
        "  PythonSDK:",
        "    Modules:",
        "      Session:",
        f"        DefaultS3Bucket: 'sagemaker-{region}-{account}'",
    ]
    write_atomically(path, "\n".join([*lines, ""]).encode())
    return path
