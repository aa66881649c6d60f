"""The keys of KMS that an endpoint config names: one that cannot be used fails the endpoint, and says so."""

from __future__ import annotations

from typing import Any

from mooring.api.calls import Call
from mooring.api.kms_calls import keys_of
from mooring.control import kms_keys as keys
from mooring.errors import KmsError
from mooring.hosting.encryption_rules import named_keys
from mooring.hosting.kms_names import read_key_name
from mooring.store import Connection


def unusable_key(conn: Connection, call: Call, config: dict[str, Any]) -> str | None:
    """The reason why a new endpoint of this config cannot be; None when there is none.

    With an S3 elsewhere the keys are of a KMS elsewhere, which S3 itself asks.
    """
    if call.settings.objects.endpoint_url:
        return None
    capture = config.get("DataCaptureConfig", {})
    idle = {"DataCaptureConfig"} if not capture.get("EnableCapture", True) else set()
    for where, key_id in named_keys({name: value for name, value in config.items() if name not in idle}):
        try:
            _require(conn, call, key_id)
        except KmsError as error:
            return (
                f'The key "{key_id}" ({where}) cannot be used: {str(error).rstrip(".")}. Make it, enable it, or name '
                "another one in a new endpoint configuration."
            )
    return None


def _require(conn: Connection, call: Call, key_id: str) -> None:
    name = read_key_name(key_id, call.scope)
    if name.service and name.scope == call.scope:
        keys_of(call).of_service(conn, call.scope, name.service, call.now)
    keys.require_usable(keys.of_name(conn, name, call.now))
