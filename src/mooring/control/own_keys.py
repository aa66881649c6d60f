"""The keys that Mooring makes for itself, in no listing: for this user's commands, and for AWS's clients in replicas.

The first is new with every server and lies in a file of this user's, `run/credentials.json`; a control that is started
again under the same supervisor keeps it, so that a `mooring run` goes on. Replicas outlive servers, so theirs is
derived from the master key, and is the same each time.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from typing import Any

from mooring.access.keys import AccessKey
from mooring.access.policies import policy_of
from mooring.engines.replica_environment import ClientKey
from mooring.keys.master import MasterKey
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.files import read_small, write_atomically

LOCAL, REPLICA = "local", "replica"
RESERVED_NAMES = frozenset((LOCAL, REPLICA, "session"))
_LOCAL_PREFIX, _REPLICA_PREFIX = "MKIL", "MKIR"

REPLICAS_MAY = policy_of(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": [
                "s3:*", "sagemaker:Invoke*", "sagemaker:Describe*", "sagemaker:List*", "sts:*", "sns:Publish", "sqs:*",
                "kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:DescribeKey",
                "logs:*", "cloudwatch:PutMetricData", "cloudwatch:GetMetric*", "cloudwatch:ListMetrics",
            ],
            "Resource": "*",
        },
    }
)  # fmt: skip
"""What a model's own code may do: data, also encrypted, other endpoints, logs and metrics, but change no endpoint and
no key. A key of KMS that models shall not use says so in its policy."""


def replicas_key(master: MasterKey) -> AccessKey:
    """What replicas sign with."""
    key_id = _REPLICA_PREFIX + base64.b32encode(master.derive("replica key id")[:10]).decode()
    return AccessKey(key_id, master.derived_text("replica key secret"), REPLICA, REPLICAS_MAY)


def client_key(key: AccessKey) -> ClientKey:
    """The same as an engine hands it on."""
    return ClientKey(key.id, key.signing.secret)


def local_key(paths: Paths) -> AccessKey:
    """What this user's own commands sign with; it is in its file when this returns."""
    supervisor = identity.of(os.getppid())
    owner = None if supervisor is None else supervisor.to_document()
    held = _held(paths)
    if held.get("server") != owner or not isinstance(held.get("access_key_id"), str):
        held = {
            "access_key_id": _LOCAL_PREFIX + base64.b32encode(os.urandom(10)).decode(),
            "secret_access_key": base64.b64encode(secrets.token_bytes(30)).decode(),
            "server": owner,
        }
        write_atomically(paths.local_credentials, json.dumps(held).encode())
    return AccessKey(held["access_key_id"], held["secret_access_key"], LOCAL, None)


def forget_local_key(paths: Paths) -> None:
    """No commands need one."""
    paths.local_credentials.unlink(missing_ok=True)


def _held(paths: Paths) -> dict[str, Any]:
    try:
        found = json.loads(read_small(paths.local_credentials))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
