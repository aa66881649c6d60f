"""Where a key may be named, and how: AWS documents four forms of a KmsKeyId."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mooring.hosting.instance_types import has_local_storage
from mooring.hosting.rules import Members
from mooring.hosting.variant_rules import instance_types_of, variants_of

_ID = r"(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|mrk-[0-9a-f]{32})"
_ALIAS = r"alias/[a-zA-Z0-9/_-]{1,250}"
_ARN = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:"
_KEY = re.compile(rf"{_ID}|{_ALIAS}|{_ARN}key/{_ID}|{_ARN}{_ALIAS}", re.IGNORECASE)


def a_key_is_named_in_one_of_four_forms(config: Members) -> str | None:
    for _, key in named_keys(config):
        if _KEY.fullmatch(key) is None:
            return (
                f'Invalid KmsKeyId "{key}": a key ID, the ARN of a key, a name beginning with alias/, or the ARN of an '
                "alias is needed."
            )
    return None


def a_key_is_not_for_local_storage(config: Members) -> str | None:
    """The storage of these types is encrypted by the hardware, with a key of its own."""
    if "KmsKeyId" not in config:
        return None
    for variant in variants_of(config):
        for instance_type in instance_types_of(variant):
            if has_local_storage(instance_type):
                return (
                    f"KmsKeyId is not supported for instance type {instance_type} because it uses local instance "
                    "storage."
                )
    return None


RULES = (a_key_is_named_in_one_of_four_forms, a_key_is_not_for_local_storage)


def named_keys(members: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Every KmsKeyId of a config, each with its place, such as `DataCaptureConfig.KmsKeyId`."""
    if isinstance(members, dict):
        for name, value in members.items():
            place = f"{where}.{name}" if where else name
            if name == "KmsKeyId":
                yield place, value
            else:
                yield from named_keys(value, place)
    elif isinstance(members, list):
        for each in members:
            yield from named_keys(each, where)
