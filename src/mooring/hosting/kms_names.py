"""What keys of KMS are called: ids, aliases, their ARNs, and which of them a KmsKeyId means."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mooring.errors import KmsError
from mooring.hosting.naming import Scope, partition

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_ID = re.compile(rf"{_UUID}|mrk-[0-9a-f]{{32}}", re.IGNORECASE)
_ALIAS = re.compile(r"alias/[a-zA-Z0-9/_-]{1,250}")
_ARN = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):(key/[^:]+|alias/[^:]+)")
SERVICES = ("s3", "sagemaker")
"""Those that have a key of their own, which they make at its first use."""


@dataclass(frozen=True, slots=True)
class KeyName:
    """A KmsKeyId, read: the id of a key, or an alias with its prefix."""

    scope: Scope
    id: str = ""
    alias: str = ""

    @property
    def service(self) -> str:
        """The service whose own key this alias means; empty when it means none."""
        service = self.alias.removeprefix("alias/aws/")
        return service if service in SERVICES and service != self.alias else ""


def read_key_name(text: str, scope: Scope) -> KeyName:
    """What a text of any of the four forms means to a caller in `scope`. Raises `KmsError` for any other text."""
    owner, rest = scope, text
    if text.startswith("arn:"):
        found = _ARN.fullmatch(text)
        if found is None:
            raise KmsError("InvalidArnException", f"{text} is not a valid ARN of a key or an alias")
        owner, rest = Scope(found[2], found[1]), found[3].removeprefix("key/")
        if owner.region != scope.region:
            raise KmsError("NotFoundException", f"Invalid arn {owner.region}")
    if _ALIAS.fullmatch(rest):
        return KeyName(owner, alias=rest)
    if _ID.fullmatch(rest):
        return KeyName(owner, id=rest.lower())
    raise KmsError("NotFoundException", f"Invalid keyId '{text}'")


def key_arn(scope: Scope, key_id: str) -> str:
    """`arn:aws:kms:REGION:ACCOUNT:key/ID`."""
    return f"arn:{partition(scope.region)}:kms:{scope.region}:{scope.account}:key/{key_id}"


def alias_arn(scope: Scope, alias: str) -> str:
    """`arn:aws:kms:REGION:ACCOUNT:alias/NAME`; the alias has its prefix."""
    return f"arn:{partition(scope.region)}:kms:{scope.region}:{scope.account}:{alias}"
