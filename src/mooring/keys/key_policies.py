"""Key policies: KMS's own, which lie with a key and name who may use it. What would be ignored is refused when set.

A statement that allows the account (`arn:aws:iam::ACCOUNT:root`, or its number) hands the decision on to the policies
of access keys; one that names a role, a session of it, or `*` allows by itself; an explicit deny goes before both.
"""

from __future__ import annotations

import enum
import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mooring.access.patterns import Matches, action_pattern, resource_pattern, text_pattern
from mooring.access.policies import either, parsed, refuse_unknown
from mooring.errors import BadInput

LONGEST = 32_768
_ELEMENTS = frozenset(("Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition"))
_WHY = {"NotPrincipal": "name who may, as Principal"}
_CONTEXT = "kms:encryptioncontext:"
_PRINCIPAL = re.compile(
    r"\*|\d{12}|arn:aws[a-z-]*:iam::\d{12}:(root|role/[!-~]+)|arn:aws[a-z-]*:sts::\d{12}:assumed-role/[!-~]+/[!-~]+"
)


class Ruling(enum.Enum):
    """What a key's policy says of one use of the key."""

    DENIED = enum.auto()
    NOTHING = enum.auto()
    DELEGATED = enum.auto()
    """Whoever the account's own policies allow it."""
    ALLOWED = enum.auto()


@dataclass(frozen=True, slots=True)
class KeyUse:
    """Who wants to do what with a key."""

    action: str
    key_arn: str
    account: str
    principals: frozenset[str]
    """All names of the caller but `*`: the account, its root, the role, and the session."""
    via: str = ""
    """The service that calls in the caller's name, such as `s3.us-east-1.amazonaws.com`."""
    context: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str | None:
        """What a condition's key, in lower case, is for this use."""
        if name == "kms:calleraccount":
            return self.account
        if name == "kms:viaservice":
            return self.via or None
        return next((v for k, v in self.context.items() if _CONTEXT + k.lower() == name), None)


@dataclass(frozen=True, slots=True)
class _Statement:
    allows: bool
    principals: frozenset[str]
    actions: tuple[Matches, ...]
    but_actions: bool
    resources: tuple[Matches, ...]
    but_resources: bool
    conditions: tuple[Callable[[KeyUse], bool], ...]

    def is_about(self, use: KeyUse) -> bool:
        return (
            any(matches(use.action) for matches in self.actions) is not self.but_actions
            and any(matches(use.key_arn) for matches in self.resources) is not self.but_resources
            and ("*" in self.principals or not self.principals.isdisjoint(use.principals))
            and all(holds(use) for holds in self.conditions)
        )

    def ruling(self, use: KeyUse) -> Ruling:
        if not self.allows:
            return Ruling.DENIED
        named = self.principals & use.principals
        whole = all(each == use.account or each.endswith(":root") for each in named)
        return Ruling.DELEGATED if whole and "*" not in self.principals else Ruling.ALLOWED


class KeyPolicy:
    """A key policy, compiled. Raises `BadInput` for one that would not be heard in full."""

    def __init__(self, text: str) -> None:
        self._statements = [
            _statement(each, f"statement {number} of the policy")
            for number, each in enumerate(parsed(text, LONGEST), 1)
        ]

    def rule(self, use: KeyUse) -> Ruling:
        """What it says of one use."""
        found = [each.ruling(use) for each in self._statements if each.is_about(use)]
        for ruling in (Ruling.DENIED, Ruling.ALLOWED, Ruling.DELEGATED):
            if ruling in found:
                return ruling
        return Ruling.NOTHING


@functools.lru_cache(maxsize=1024)
def key_policy(text: str) -> KeyPolicy:
    """The compiled policy of a text; those in use are kept."""
    return KeyPolicy(text)


def default_policy(partition: str, account: str) -> str:
    """What AWS gives a key that is made without one: the account's own policies decide."""
    everything = _allow("Enable IAM User Permissions", f"arn:{partition}:iam::{account}:root", "kms:*")
    return _text("key-default-1", everything)


def service_policy(partition: str, account: str, region: str, service: str) -> str:
    """AWS's policy of a service's own key: everyone of the account may use it through that service, and only so."""
    through = {"kms:CallerAccount": account, "kms:ViaService": f"{service}.{region}.amazonaws.com"}
    use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    root, look = f"arn:{partition}:iam::{account}:root", ["kms:Describe*", "kms:Get*", "kms:List*"]
    return _text(
        f"auto-{service}-2",
        {**_allow(f"Allow access through {service}", "*", use), "Condition": {"StringEquals": through}},
        _allow("Allow direct access to key metadata to the account", root, look),
    )


def _allow(sid: str, principal: str, actions: str | list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions, "Resource": "*"}


def _text(policy_id: str, *statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Id": policy_id, "Statement": statements}, indent=2)


def _statement(document: object, where: str) -> _Statement:
    if not isinstance(document, dict):
        raise BadInput(f"{where} is not a JSON object")
    refuse_unknown(document, _ELEMENTS, where, _WHY)
    effect = document.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise BadInput(f"{where} has no Effect that is Allow or Deny")
    but_actions, actions = either(document, "Action", where)
    but_resources, resources = either(document, "Resource", where)
    try:
        return _Statement(
            effect == "Allow",
            frozenset(_principals(document.get("Principal"))),
            tuple(map(action_pattern, actions)),
            but_actions,
            tuple(map(resource_pattern, resources)),
            but_resources,
            tuple(_conditions(document.get("Condition", {}))),
        )
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _principals(document: object) -> list[str]:
    if document == "*":
        return ["*"]
    if not isinstance(document, dict) or document.keys() != {"AWS"}:
        raise BadInput('its Principal is neither "*" nor {"AWS": …}: nobody else calls here')
    named = document["AWS"]
    texts = [named] if isinstance(named, str) else named
    if not isinstance(texts, list) or not texts:
        raise BadInput("its Principal names nobody")
    for each in texts:
        if not isinstance(each, str) or not _PRINCIPAL.fullmatch(each):
            raise BadInput(f'the principal {each!a} is neither "*" nor an account, its root, a role or a session')
    return texts


def _conditions(document: object) -> list[Callable[[KeyUse], bool]]:
    if not isinstance(document, dict):
        raise BadInput("its Condition is not a JSON object")
    found = []
    for operator, wanted in document.items():
        if operator not in ("StringEquals", "StringLike") or not isinstance(wanted, dict):
            raise BadInput(f"the condition {operator!a} is not supported: StringEquals and StringLike are")
        for name, values in wanted.items():
            known = name.lower()
            if known not in ("kms:calleraccount", "kms:viaservice") and not known.startswith(_CONTEXT):
                raise BadInput(
                    f"the condition key {name!a} is not supported: kms:CallerAccount, kms:ViaService and "
                    "kms:EncryptionContext:KEY are"
                )
            found.append(_condition(known, _texts(values, name), like=operator == "StringLike"))
    return found


def _condition(name: str, values: list[str], *, like: bool) -> Callable[[KeyUse], bool]:
    wanted: list[Matches] = [text_pattern(value) if like else value.__eq__ for value in values]

    def holds(use: KeyUse) -> bool:
        value = use.value(name)
        return value is not None and any(matches(value) for matches in wanted)

    return holds


def _texts(values: Any, name: str) -> list[str]:
    texts = [values] if isinstance(values, str) else values
    if not isinstance(texts, list) or not texts or not all(isinstance(each, str) for each in texts):
        raise BadInput(f"the condition key {name!a} has no text, or list of texts")
    return texts
