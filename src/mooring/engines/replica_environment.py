"""The environment variables of a replica: the contract's, what AWS's clients need, and the model's own.

Nothing of Mooring's own environment but its path and language gets in. A model that calls boto3 reaches this
Mooring, in its endpoint's region, as on AWS it would reach its account with the role's credentials; it must not
find credentials of the person who started the server, nor the real AWS. What the model says itself comes last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from mooring.engines.limits import THREADS
from mooring.engines.zygotes import QUIET_THREADS
from mooring.paths import Paths
from mooring.settings import Settings

_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True, slots=True)
class ClientKey:
    """An access key for AWS's clients in a replica."""

    id: str
    secret: str = field(repr=False)


ANY_KEY = ClientKey("mooring-replica", "mooring-replica")
"""For a server that takes any."""


def replica_environment(
    settings: Settings,
    own: Mapping[str, str],
    *,
    model_dir: Path,
    work: Path,
    region: str,
    shared: Mapping[str, str],
    key: ClientKey = ANY_KEY,
    threads: int | None = None,
) -> dict[str, str]:
    """The whole environment of a replica. `own` is the container's Environment, `key` what AWS's clients sign with.

    `threads` is how many threads libraries shall have, where that is less than there are processors.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    contract = {
        "HOME": str(work),
        "TMPDIR": str(work),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SM_MODEL_DIR": str(model_dir),
        "SAGEMAKER_REGION": region,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    counts = dict.fromkeys(THREADS, str(threads)) if threads is not None else {}
    return {**inherited, **QUIET_THREADS, **counts, **shared, **contract, **_clients(settings, key), **own}


def shared_places(paths: Paths) -> dict[str, str]:
    """What replicas keep together, so that none downloads what another has: read by libraries when imported."""
    return {"HF_HOME": str(paths.hub)}


def trusted_issuers(settings: Settings, paths: Paths) -> dict[str, str]:
    """What AWS's clients need to trust this server where nobody else has signed its certificate."""
    if not settings.tls.certificate:
        return {}
    from mooring.processes.certificates import facts  # ssl, which control has no other need of

    known = facts(paths)
    return {"AWS_CA_BUNDLE": str(paths.certificate)} if known is not None and known.anchored else {}


def _clients(settings: Settings, key: ClientKey) -> dict[str, str]:
    """For AWS's clients inside the replica: this server's URL, and credentials that it takes."""
    found = {
        "AWS_ENDPOINT_URL": settings.url,
        "AWS_ACCESS_KEY_ID": key.id,
        "AWS_SECRET_ACCESS_KEY": key.secret,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": f"{urlsplit(settings.url).hostname},localhost",
    }
    if settings.objects.endpoint_url:
        # Of the other S3 the replica is told where it is; its keys are the operator's to give.
        found["AWS_ENDPOINT_URL_S3"] = settings.objects.endpoint_url
    return found
