"""Keys of KMS, as functions on the store: found by any of their names, made, used, rotated, and destroyed when due.

Only here do sealed material and the master key come together. Whether a key may be used is asked of the store each time
that it is, so that a key which was disabled opens nothing more from the moment on at which that was answered.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mooring.control.kms_users import KeyUser
from mooring.errors import KmsError
from mooring.hosting.kms_names import KeyName, alias_arn, key_arn, read_key_name
from mooring.hosting.naming import Scope, partition
from mooring.keys import blobs
from mooring.keys.blobs import Origin
from mooring.keys.key_policies import default_policy, service_policy
from mooring.keys.master import MasterKey
from mooring.keys.sealing import KMS_KEYS, seal, unseal
from mooring.store import Connection, kms_keys, tags
from mooring.store.kms_keys import DISABLED, ENABLED, PENDING_DELETION, Alias, KmsKey, Material

DAY_S = 86_400.0
CREATED, AUTOMATIC, ON_DEMAND = "CREATED", "AUTOMATIC", "ON_DEMAND"
_MOST_OPENED = 1024
_UNREACHABLE = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not "
    "allowed to access."
)


def found(conn: Connection, scope: Scope, key_id: str, now: float) -> KmsKey:
    """The key that a KmsKeyId names. Raises `KmsError` NotFoundException."""
    return of_name(conn, read_key_name(key_id, scope), now)


def of_name(conn: Connection, name: KeyName, now: float) -> KmsKey:
    """The key of a name. Raises `KmsError` NotFoundException."""
    key_id = name.id
    if name.alias:
        alias = kms_keys.alias(conn, name.scope, name.alias)
        if alias is None:
            raise KmsError("NotFoundException", f"Alias {alias_arn(name.scope, name.alias)} is not found.")
        key_id = alias.key_id
    key = kms_keys.get(conn, key_id)
    if key is None or key.scope != name.scope or is_over(key, now):
        raise KmsError("NotFoundException", f"Key '{key_arn(name.scope, key_id)}' does not exist")
    return key


def is_named(conn: Connection, name: KeyName, now: float) -> bool:
    """Whether there is a key of this name."""
    try:
        of_name(conn, name, now)
    except KmsError:
        return False
    return True


def any_due(conn: Connection, now: float) -> bool:
    """Whether a key is to be destroyed or rotated by now."""
    return bool(kms_keys.due(conn, now))


def is_over(key: KmsKey, now: float) -> bool:
    """Whether its deletion is due, though its material may still be there."""
    return key.delete_at is not None and key.delete_at <= now


def require_usable(key: KmsKey) -> None:
    """Raises `KmsError` for a key that is disabled or about to be deleted."""
    arn = key_arn(key.scope, key.id)
    if key.state == DISABLED:
        raise KmsError("DisabledException", f"{arn} is disabled.")
    if key.state != ENABLED:
        raise KmsError("KMSInvalidStateException", f"{arn} is pending deletion.")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a ciphertext held, and the key that it was made with."""

    plaintext: bytes
    key: KmsKey


class KmsKeys:
    """Makes and uses keys. Every method runs within a read or a change of the store."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master
        self._opened: dict[tuple[str, int], bytes] = {}
        """Material that was used lately: whether its key may be used is asked first, and never kept."""

    def create(self, conn: Connection, scope: Scope, now: float, policy: str | None, description: str) -> KmsKey:
        """A new key."""
        given = policy or default_policy(partition(scope.region), scope.account)
        return self._insert(conn, KmsKey("", scope.account, scope.region, ENABLED, None, None, now, given, description))

    def of_service(self, conn: Connection, scope: Scope, service: str, now: float) -> KmsKey:
        """A service's own key, made now if this is its first use."""
        alias = f"alias/aws/{service}"
        if (held := kms_keys.alias(conn, scope, alias)) is not None:
            return of_name(conn, KeyName(scope, id=held.key_id), now)
        policy = service_policy(partition(scope.region), scope.account, scope.region, service)
        text = f"Default key that protects what {service} keeps when no other key is named"
        made = KmsKey("", scope.account, scope.region, ENABLED, None, now + 365 * DAY_S, now, policy, text, by_aws=True)
        key = self._insert(conn, made)
        kms_keys.add_alias(conn, Alias(scope.account, scope.region, alias, key.id, now, now))
        return key

    def _insert(self, conn: Connection, key: KmsKey) -> KmsKey:
        key = replace(key, id=str(uuid.uuid4()))
        kms_keys.insert(conn, key)
        self._renew(conn, key, 1, CREATED, key.created_at)
        return key

    def rotate(self, conn: Connection, key: KmsKey, reason: str, now: float) -> KmsKey:
        """Give a key new material; what the old has encrypted stays readable."""
        turned = replace(key, version=key.version + 1)
        kms_keys.save(conn, turned)
        self._renew(conn, key, turned.version, reason, now)
        return turned

    def _renew(self, conn: Connection, key: KmsKey, version: int, reason: str, now: float) -> None:
        sealed = seal(self._master, os.urandom(blobs.MATERIAL_BYTES), _owner(key.id, version), KMS_KEYS)
        kms_keys.add_material(conn, Material(key.id, version, sealed, now, reason))

    def encrypt(self, conn: Connection, key: KmsKey, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        """The ciphertext under the newest material. Raises `KmsError`."""
        require_usable(key)
        origin = Origin(key.id, key.version)
        return blobs.encrypted(self._material(conn, origin), origin, plaintext, context)

    def decrypt(
        self,
        conn: Connection,
        scope: Scope,
        blob: bytes,
        context: Mapping[str, str],
        now: float,
        user: KeyUser,
        action: str = "Decrypt",
    ) -> Opened:
        """What a ciphertext holds, for who may. Raises `KmsError`, or `Denied`."""
        origin = blobs.origin_of(blob)
        key = kms_keys.get(conn, origin.key_id)
        if key is None or key.scope != scope or is_over(key, now):
            raise KmsError("AccessDeniedException", _UNREACHABLE)
        user.require(key, action, context)
        require_usable(key)
        return Opened(blobs.decrypted(self._material(conn, origin), blob, context), key)

    def _material(self, conn: Connection, origin: Origin) -> bytes:
        opened = self._opened.get(origin)
        if opened is None:
            material = kms_keys.material(conn, origin.key_id, origin.version)
            if material is None:
                raise KmsError("InvalidCiphertextException")
            opened = unseal(self._master, material.sealed, _owner(*origin), KMS_KEYS)
            if len(self._opened) >= _MOST_OPENED:
                self._opened.clear()
            self._opened[origin] = opened
        return opened

    def settle(self, conn: Connection, now: float) -> list[KmsKey]:
        """Do what is due: destroy, or rotate. The keys that it was done to."""
        due = kms_keys.due(conn, now)
        for key in due:
            if is_over(key, now):
                self._opened.clear()
                kms_keys.destroy(conn, key.id)
                tags.delete_all(conn, key_arn(key.scope, key.id))
                continue
            if key.state != PENDING_DELETION:
                key = self.rotate(conn, key, AUTOMATIC, now)
            kms_keys.save(conn, replace(key, rotate_at=now + key.rotation_days * DAY_S))
        return due


def _owner(key_id: str, version: int) -> str:
    return f"{key_id}/{version}"
