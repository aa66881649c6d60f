"""KMS's cryptography: data keys, and what is encrypted and decrypted with a key that never leaves control.

They are reads: nothing that they answer is kept, neither for a repeated call nor in any log.
"""

from __future__ import annotations

import os
from typing import Any

from mooring.api.calls import Call
from mooring.api.kms_calls import ALGORITHM, key_of, keys_of, material_id, user_of
from mooring.control import kms_keys as keys
from mooring.control.kms_keys import Opened
from mooring.errors import KmsError
from mooring.hosting.kms_names import key_arn
from mooring.keys.blobs import origin_of
from mooring.store import Connection
from mooring.store.kms_keys import KmsKey

_BYTES = {"AES_256": 32, "AES_128": 16}
_REFUSED = {
    "Recipient": "Mooring runs in no enclave",
    "CustomKeyStoreId": "Mooring has no custom key stores",
}


def encrypt(conn: Connection, call: Call) -> dict[str, Any]:
    _refuse(call)
    key = _key(conn, call)
    blob = keys_of(call).encrypt(conn, key, call.input["Plaintext"], call.input.get("EncryptionContext", {}))
    _end_dry_run(call)
    return {"CiphertextBlob": blob, "KeyId": _arn(key), "EncryptionAlgorithm": ALGORITHM}


def decrypt(conn: Connection, call: Call) -> dict[str, Any]:
    _refuse(call)
    opened = _opened(conn, call, "EncryptionContext", "KeyId", "EncryptionAlgorithm", "Decrypt")
    _end_dry_run(call)
    return {
        "KeyId": _arn(opened.key),
        "Plaintext": opened.plaintext,
        "EncryptionAlgorithm": ALGORITHM,
        "KeyMaterialId": _material_of(call.input["CiphertextBlob"]),
    }


def re_encrypt(conn: Connection, call: Call) -> dict[str, Any]:
    opened = _opened(conn, call, "SourceEncryptionContext", "SourceKeyId", "SourceEncryptionAlgorithm", "ReEncryptFrom")
    _require_symmetric(call, "DestinationEncryptionAlgorithm")
    context = call.input.get("DestinationEncryptionContext", {})
    target = keys.found(conn, call.scope, call.input["DestinationKeyId"], call.now)
    user_of(call).require(target, "ReEncryptTo", context)
    blob = keys_of(call).encrypt(conn, target, opened.plaintext, context)
    _end_dry_run(call)
    return {
        "CiphertextBlob": blob,
        "SourceKeyId": _arn(opened.key),
        "KeyId": _arn(target),
        "SourceEncryptionAlgorithm": ALGORITHM,
        "DestinationEncryptionAlgorithm": ALGORITHM,
        "SourceKeyMaterialId": _material_of(call.input["CiphertextBlob"]),
        "DestinationKeyMaterialId": _material_of(blob),
    }


def generate_data_key(conn: Connection, call: Call) -> dict[str, Any]:
    _refuse(call)
    if ("KeySpec" in call.input) == ("NumberOfBytes" in call.input):
        raise KmsError("ValidationException", "Please specify either number of bytes or key spec.")
    key = _key(conn, call)
    plaintext = os.urandom(call.input.get("NumberOfBytes") or _BYTES[call.input["KeySpec"]])
    blob = keys_of(call).encrypt(conn, key, plaintext, call.input.get("EncryptionContext", {}))
    _end_dry_run(call)
    told = {"CiphertextBlob": blob, "Plaintext": plaintext, "KeyId": _arn(key)}
    return {**told, "KeyMaterialId": _material_of(blob)}


def generate_data_key_without_plaintext(conn: Connection, call: Call) -> dict[str, Any]:
    told = generate_data_key(conn, call)
    del told["Plaintext"]
    return told


def generate_random(_: Connection, call: Call) -> dict[str, Any]:
    _refuse(call)
    if "NumberOfBytes" not in call.input:
        raise KmsError("ValidationException", "NumberOfBytes is required.")
    return {"Plaintext": os.urandom(call.input["NumberOfBytes"])}


def _key(conn: Connection, call: Call) -> KmsKey:
    _require_symmetric(call, "EncryptionAlgorithm")
    key = key_of(conn, call)
    keys.require_usable(key)
    return key


def _opened(conn: Connection, call: Call, context: str, named: str, algorithm: str, action: str) -> Opened:
    _require_symmetric(call, algorithm)
    blob = call.input.get("CiphertextBlob")
    if blob is None:
        raise KmsError("ValidationException", "CiphertextBlob is required.")
    wanted = keys.found(conn, call.scope, call.input[named], call.now) if named in call.input else None
    if wanted is not None and wanted.id != origin_of(blob).key_id:
        raise KmsError(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        )
    bound = call.input.get(context, {})
    return keys_of(call).decrypt(conn, call.scope, blob, bound, call.now, user_of(call), action)


def _require_symmetric(call: Call, member: str) -> None:
    if call.input.get(member, ALGORITHM) != ALGORITHM:
        raise KmsError(
            "InvalidKeyUsageException", f"{member} {call.input[member]} is not for symmetric keys: {ALGORITHM} is."
        )


def _refuse(call: Call) -> None:
    for member, why in _REFUSED.items():
        if member in call.input:
            raise KmsError("UnsupportedOperationException", f"{member} is not supported: {why}.")


def _end_dry_run(call: Call) -> None:
    if call.input.get("DryRun"):
        raise KmsError("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")


def _arn(key: KmsKey) -> str:
    return key_arn(key.scope, key.id)


def _material_of(blob: bytes) -> str:
    origin = origin_of(blob)
    return material_id(origin.key_id, origin.version)
