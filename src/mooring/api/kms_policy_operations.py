"""Policies of KMS's keys, and the rotation of their material."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mooring.api.calls import Call
from mooring.api.kms_calls import key_of, key_to_change, keys_of, material_id, paged, user_of
from mooring.control.kms_keys import CREATED, DAY_S, ON_DEMAND, require_usable
from mooring.errors import BadInput, KmsError
from mooring.hosting.kms_names import key_arn
from mooring.keys.key_policies import KeyPolicy
from mooring.store import Connection, kms_keys
from mooring.store.kms_keys import KmsKey

NAME = "default"
"""The one name that a policy can have."""
MOST_ON_DEMAND = 25


def get_key_policy(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_of(conn, call)
    _require_default(call)
    return {"Policy": key.policy, "PolicyName": NAME}


def list_key_policies(conn: Connection, call: Call) -> dict[str, Any]:
    key_of(conn, call)
    return {"PolicyNames": [NAME], "Truncated": False}


def put_key_policy(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_to_change(conn, call)
    _require_default(call)
    compiled(call, key, call.input["Policy"], "PutKeyPolicy")
    kms_keys.save(conn, replace(key, policy=call.input["Policy"]))
    return {}


def compiled(call: Call, key: KmsKey, text: str, operation: str) -> KeyPolicy:
    """The policy of a text, under which the key can still be changed. Raises `KmsError`."""
    try:
        policy = KeyPolicy(text)
    except BadInput as error:
        raise KmsError("MalformedPolicyDocumentException", f"Mooring cannot follow it in full: {error}") from None
    if not call.input.get("BypassPolicyLockoutSafetyCheck") and not user_of(call).would_keep(policy, key):
        raise KmsError(
            "MalformedPolicyDocumentException",
            "The new key policy will not allow you to update the key policy in the future. "
            f"BypassPolicyLockoutSafetyCheck of {operation} sets it nevertheless.",
        )
    return policy


def _require_default(call: Call) -> None:
    if call.input.get("PolicyName", NAME) != NAME:
        raise KmsError("NotFoundException", f"No such policy exists: its only name is {NAME}")


# Rotation


def enable_key_rotation(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_to_change(conn, call)
    require_usable(key)
    days = call.input.get("RotationPeriodInDays", key.rotation_days)
    kms_keys.save(conn, replace(key, rotation_days=days, rotate_at=call.now + days * DAY_S))
    return {}


def disable_key_rotation(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_to_change(conn, call)
    require_usable(key)
    kms_keys.save(conn, replace(key, rotate_at=None))
    return {}


def get_key_rotation_status(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_of(conn, call)
    on = key.rotate_at is not None
    return {
        "KeyRotationEnabled": on,
        "KeyId": key_arn(key.scope, key.id),
        "RotationPeriodInDays": key.rotation_days if on else None,
        "NextRotationDate": key.rotate_at,
    }


def rotate_key_on_demand(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_to_change(conn, call)
    require_usable(key)
    done = [each for each in kms_keys.materials(conn, key.id) if each.reason == ON_DEMAND]
    if len(done) >= MOST_ON_DEMAND:
        raise KmsError("LimitExceededException", f"A key is rotated on demand {MOST_ON_DEMAND} times at the most.")
    keys_of(call).rotate(conn, key, ON_DEMAND, call.now)
    return {"KeyId": key.id}


def list_key_rotations(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_of(conn, call)
    found = kms_keys.materials(conn, key.id)
    everything = call.input.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
    rows = [
        {
            "KeyId": key.id,
            "KeyMaterialId": material_id(key.id, each.version),
            "KeyMaterialState": "CURRENT" if each is found[-1] else "NON_CURRENT",
            "RotationDate": None if each.reason == CREATED else each.created_at,
            "RotationType": None if each.reason == CREATED else each.reason,
        }
        for each in found
        if everything or each.reason != CREATED
    ]
    shown, end = paged(call, rows, 100)
    return {"Rotations": shown, **end}
