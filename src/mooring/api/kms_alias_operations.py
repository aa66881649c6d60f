"""KMS's aliases: other names of keys, each of one account in one region."""

from __future__ import annotations

import re
from typing import Any

from mooring.api.calls import Call
from mooring.api.kms_calls import key_of, paged
from mooring.errors import KmsError
from mooring.hosting.kms_names import SERVICES, alias_arn, key_arn
from mooring.store import Connection, kms_keys
from mooring.store.kms_keys import PENDING_DELETION, Alias, KmsKey

_NAME = re.compile(r"alias/[a-zA-Z0-9/_-]{1,250}")
_RESERVED = "alias/aws/"


def create_alias(conn: Connection, call: Call) -> dict[str, Any]:
    name = _name(call)
    key = _target(conn, call)
    made = Alias(call.scope.account, call.scope.region, name, key.id, call.now, call.now)
    if not kms_keys.add_alias(conn, made):
        arn = alias_arn(call.scope, name)
        raise KmsError("AlreadyExistsException", f"An alias with the name {arn} already exists")
    return {}


def update_alias(conn: Connection, call: Call) -> dict[str, Any]:
    name = _name(call)
    held = _held(conn, call, name)
    key = _target(conn, call)
    key_of(conn, _at(call, held.key_id))
    kms_keys.point_alias(conn, call.scope, name, key.id, call.now)
    return {}


def delete_alias(conn: Connection, call: Call) -> dict[str, Any]:
    name = _name(call)
    key_of(conn, _at(call, _held(conn, call, name).key_id))
    kms_keys.remove_alias(conn, call.scope, name)
    return {}


def list_aliases(conn: Connection, call: Call) -> dict[str, Any]:
    key_id = None
    if "KeyId" in call.input:
        if call.input["KeyId"].startswith("alias/") or ":alias/" in call.input["KeyId"]:
            raise KmsError("ValidationException", "KeyId is an alias: the id or the ARN of a key is needed.")
        key_id = key_of(conn, call).id
    found = kms_keys.aliases(conn, call.scope, key_id)
    rows = [
        {
            "AliasName": each.name,
            "AliasArn": alias_arn(call.scope, each.name),
            "TargetKeyId": each.key_id,
            "CreationDate": each.created_at,
            "LastUpdatedDate": each.updated_at,
        }
        for each in found
    ]
    if key_id is None:
        held = {each.name for each in found}
        unmade = [f"{_RESERVED}{service}" for service in SERVICES if f"{_RESERVED}{service}" not in held]
        rows += [{"AliasName": name, "AliasArn": alias_arn(call.scope, name)} for name in unmade]
    rows.sort(key=lambda row: str(row["AliasName"]))
    shown, end = paged(call, rows, 50)
    return {"Aliases": shown, **end}


def _name(call: Call) -> str:
    name: str = call.input["AliasName"]
    if name.startswith(_RESERVED):
        raise KmsError("NotAuthorizedException", f"{_RESERVED} is for the keys of AWS's own services.")
    if not name.startswith("alias/"):
        raise KmsError("ValidationException", "Invalid identifier: an alias begins with alias/.")
    if _NAME.fullmatch(name) is None:
        raise KmsError("InvalidAliasNameException", f"{name} is not alias/ and letters, digits, /, _ and -.")
    return name


def _held(conn: Connection, call: Call, name: str) -> Alias:
    held = kms_keys.alias(conn, call.scope, name)
    if held is None:
        raise KmsError("NotFoundException", f"Alias {alias_arn(call.scope, name)} is not found.")
    return held


def _target(conn: Connection, call: Call) -> KmsKey:
    """The key that the alias is to name: by its id or its ARN."""
    target = call.input["TargetKeyId"]
    if target.startswith("alias/") or ":alias/" in target:
        raise KmsError("ValidationException", "Aliases must refer to keys. Not aliases")
    key = key_of(conn, call, member="TargetKeyId")
    arn = key_arn(key.scope, key.id)
    if key.by_aws or key.scope != call.scope:
        raise KmsError("NotAuthorizedException", f"{arn} is a key of AWS's own.")
    if key.state == PENDING_DELETION:
        raise KmsError("KMSInvalidStateException", f"{arn} is pending deletion.")
    return key


def _at(call: Call, key_id: str) -> Call:
    """The same call, about the key that the alias names now: whoever takes a name from a key must be allowed to."""
    return Call(call.scope, call.operation, {"KeyId": key_id}, call.now, call.settings, call.caller, call.key, call.kms)
