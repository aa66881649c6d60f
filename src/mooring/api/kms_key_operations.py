"""KMS's keys: made, shown, turned off and on, tagged, deleted. Symmetric ones; what else KMS has is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mooring.api.calls import Call
from mooring.api.kms_calls import ALGORITHM, key_of, key_to_change, keys_of, paged, told, user_of
from mooring.api.kms_policy_operations import compiled
from mooring.control.kms_keys import DAY_S
from mooring.errors import KmsError, LimitExceeded
from mooring.hosting.kms_names import key_arn
from mooring.store import Connection, kms_keys, tags
from mooring.store.kms_keys import DISABLED, ENABLED, PENDING_DELETION, KmsKey

MOST = 100_000
"""Keys of one account in one region, as on AWS."""
MOST_TAGS = 50
_SHORTEST_DAYS, _LONGEST_DAYS = 7, 30
_ONLY = {
    "KeyUsage": ("ENCRYPT_DECRYPT",),
    "CustomerMasterKeySpec": (ALGORITHM,),
    "KeySpec": (ALGORITHM,),
    "Origin": ("AWS_KMS",),
    "MultiRegion": (False,),
    "CustomKeyStoreId": (),
    "XksKeyId": (),
}
"""What a key can be here."""


def create_key(conn: Connection, call: Call) -> dict[str, Any]:
    for member, values in _ONLY.items():
        if member in call.input and call.input[member] not in values:
            raise KmsError(
                "UnsupportedOperationException",
                f"Mooring has symmetric keys of its own making ({ALGORITHM}, ENCRYPT_DECRYPT, AWS_KMS, one region): "
                f"{member} {call.input[member]} is not supported.",
            )
    if kms_keys.count(conn, call.scope) >= MOST:
        raise LimitExceeded(f"There are {MOST} keys in {call.scope.region}, which is the most.")
    policy = call.input.get("Policy")
    key = keys_of(call).create(conn, call.scope, call.now, policy, call.input.get("Description", ""))
    if policy is not None:
        compiled(call, key, policy, "CreateKey")
    tag(conn, call, key)
    return {"KeyMetadata": told(key)}


def describe_key(conn: Connection, call: Call) -> dict[str, Any]:
    return {"KeyMetadata": told(key_of(conn, call))}


def list_keys(conn: Connection, call: Call) -> dict[str, Any]:
    most, after = call.input.get("Limit", 100), call.input.get("Marker", "")
    found = kms_keys.page(conn, call.scope, after, most + 1)
    shown = found[:most]
    rows = [{"KeyId": key.id, "KeyArn": key_arn(key.scope, key.id)} for key in shown]
    more = len(found) > most
    return {"Keys": rows, "Truncated": more, "NextMarker": shown[-1].id if more else None}


def update_key_description(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_to_change(conn, call)
    kms_keys.save(conn, replace(key, description=call.input["Description"]))
    return {}


def enable_key(conn: Connection, call: Call) -> dict[str, Any]:
    kms_keys.save(conn, replace(key_to_change(conn, call), state=ENABLED))
    return {}


def disable_key(conn: Connection, call: Call) -> dict[str, Any]:
    kms_keys.save(conn, replace(key_to_change(conn, call), state=DISABLED))
    return {}


def schedule_key_deletion(conn: Connection, call: Call) -> dict[str, Any]:
    days = call.input.get("PendingWindowInDays", _LONGEST_DAYS)
    if not _SHORTEST_DAYS <= days <= _LONGEST_DAYS:
        raise KmsError(
            "ValidationException",
            f"PendingWindowInDays {days} is not between {_SHORTEST_DAYS} and {_LONGEST_DAYS}. DisableKey makes a key "
            "useless at once.",
        )
    key = key_to_change(conn, call)
    key = replace(key, state=PENDING_DELETION, delete_at=call.now + days * DAY_S, pending_days=days)
    kms_keys.save(conn, key)
    return {
        "KeyId": key_arn(key.scope, key.id),
        "DeletionDate": key.delete_at,
        "KeyState": key.state,
        "PendingWindowInDays": days,
    }


def cancel_key_deletion(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_of(conn, call)
    arn = key_arn(key.scope, key.id)
    if key.state != PENDING_DELETION:
        raise KmsError("KMSInvalidStateException", f"{arn} is not pending deletion.")
    kms_keys.save(conn, replace(key, state=DISABLED, delete_at=None, pending_days=None))
    return {"KeyId": arn}


# Tags


def tag_resource(conn: Connection, call: Call) -> dict[str, Any]:
    tag(conn, call, key_to_change(conn, call))
    return {}


def untag_resource(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_to_change(conn, call)
    tags.remove(conn, key_arn(key.scope, key.id), call.input["TagKeys"])
    return {}


def list_resource_tags(conn: Connection, call: Call) -> dict[str, Any]:
    key = key_of(conn, call)
    held = [{"TagKey": name, "TagValue": value} for name, value in tags.of(conn, key_arn(key.scope, key.id)).items()]
    shown, end = paged(call, held, 50)
    return {"Tags": shown, **end}


def tag(conn: Connection, call: Call, key: KmsKey) -> None:
    """Give a key the tags of a call. Raises `KmsError`."""
    given = {each["TagKey"]: each["TagValue"] for each in call.input.get("Tags", ())}
    if len(given) != len(call.input.get("Tags", ())):
        raise KmsError("TagException", "Duplicate tag keys")
    if reserved := next((name for name in given if name.lower().startswith("aws:")), None):
        raise KmsError("TagException", f"The tag key {reserved} begins with aws:, which is AWS's own.")
    arn = key_arn(key.scope, key.id)
    if given:
        user_of(call).require(key, "TagResource")
        tags.put(conn, arn, given)
        if len(tags.of(conn, arn)) > MOST_TAGS:
            raise KmsError("LimitExceededException", f"A key has {MOST_TAGS} tags at the most.")
