"""What KMS's operations have in common: the key that a call names, found and allowed; pages; how a key is told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, TypeVar

from mooring.api.calls import Call, Control
from mooring.control import kms_keys as keys
from mooring.control.kms_keys import KmsKeys
from mooring.control.kms_users import KeyUser
from mooring.errors import KmsError
from mooring.hosting.kms_names import key_arn, read_key_name
from mooring.store import Connection
from mooring.store.kms_keys import ENABLED, PENDING_DELETION, KmsKey

T = TypeVar("T")
ALGORITHM = "SYMMETRIC_DEFAULT"


def keys_of(call: Call) -> KmsKeys:
    """What makes and uses keys."""
    assert call.kms is not None, "control has keys"
    return call.kms


def user_of(call: Call) -> KeyUser:
    """Whoever calls."""
    return KeyUser(call.scope.account, call.settings.account.role, call.key)


def key_of(conn: Connection, call: Call, action: str = "", member: str = "KeyId") -> KmsKey:
    """The key that a member names, which the caller may do `action` with: the operation itself, if none is said.

    Raises `KmsError`, or `Denied`.
    """
    key = keys.found(conn, call.scope, call.input[member], call.now)
    user_of(call).require(key, action or call.operation, call.input.get("EncryptionContext"))
    return key


def key_to_change(conn: Connection, call: Call) -> KmsKey:
    """The same for who changes it: a service's own key is nobody's to change, and a deleted one only to be kept."""
    key = key_of(conn, call)
    arn = key_arn(key.scope, key.id)
    if key.by_aws:
        raise KmsError("UnsupportedOperationException", f"{arn} is a key of AWS's own, which cannot be changed.")
    if key.state == PENDING_DELETION:
        raise KmsError("KMSInvalidStateException", f"{arn} is pending deletion.")
    return key


async def make_service_key(call: Call, control: Control) -> None:
    """A service's own key is made when it is first asked for."""
    try:
        name = read_key_name(call.input["KeyId"], call.scope)
    except KmsError:
        return  # told by the operation
    if name.service and name.scope == call.scope:
        await control.kms_service_key(name.scope, name.service)


def told(key: KmsKey) -> dict[str, Any]:
    """A key as KeyMetadata."""
    return {
        "AWSAccountId": key.account,
        "KeyId": key.id,
        "Arn": key_arn(key.scope, key.id),
        "CreationDate": key.created_at,
        "Enabled": key.state == ENABLED,
        "Description": key.description,
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": key.state,
        "DeletionDate": key.delete_at,
        "Origin": "AWS_KMS",
        "KeyManager": "AWS" if key.by_aws else "CUSTOMER",
        "CustomerMasterKeySpec": ALGORITHM,
        "KeySpec": ALGORITHM,
        "EncryptionAlgorithms": [ALGORITHM],
        "MultiRegion": False,
        "CurrentKeyMaterialId": material_id(key.id, key.version),
    }


def material_id(key_id: str, version: int) -> str:
    """How AWS's answers name a version of a key's material: 64 hexadecimal digits."""
    return hashlib.sha256(f"{key_id}/{version}".encode()).hexdigest()


def paged(call: Call, items: Sequence[T], default: int) -> tuple[Sequence[T], dict[str, Any]]:
    """A page of what is listed, and the members that say where it ends. Raises `KmsError` for a marker of no page."""
    marker = call.input.get("Marker", "0")
    if not (marker.isascii() and marker.isdigit() and len(marker) < 10):
        raise KmsError("InvalidMarkerException", "The marker is not one that a list has ended with.")
    first, most = int(marker), call.input.get("Limit", default)
    more = len(items) > first + most
    return items[first : first + most], {"Truncated": more, "NextMarker": str(first + most) if more else None}
