"""IAM's policy documents, as far as they mean something here; what would be ignored is refused when a policy is set.

A policy answers one question: whether an action on a resource is allowed, explicitly denied, or not mentioned. An
explicit deny goes before every allow.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mooring.access.patterns import Matches, action_pattern, resource_pattern
from mooring.errors import BadInput

LONGEST = 6144
"""Characters, white space aside: AWS's bound of a managed policy."""
VERSIONS = ("2012-10-17", "2008-10-17")
_ELEMENTS = frozenset(("Version", "Id", "Statement"))
_STATEMENT_ELEMENTS = frozenset(("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource"))


class Verdict(enum.Enum):
    """What a policy says of one action on one resource."""

    ALLOWED = enum.auto()
    DENIED = enum.auto()
    NOT_ALLOWED = enum.auto()


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. A `NotAction` or `NotResource` is its list with the answer turned round."""

    allows: bool
    actions: tuple[Matches, ...]
    but_actions: bool
    resources: tuple[Matches, ...]
    but_resources: bool
    all_resources: bool
    """Whether no resource is outside, also one that is not known."""

    def is_about(self, action: str, resource: str | None) -> bool:
        """Whether it speaks of this; an unknown resource is any that would do harm."""
        if any(matches(action) for matches in self.actions) is self.but_actions:
            return False
        if resource is None:
            return self.all_resources or not self.allows
        return any(matches(resource) for matches in self.resources) is not self.but_resources


class Policy:
    """A policy document, compiled. Two of the same text are equal."""

    __slots__ = ("_statements", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._statements = tuple(_statements(text))

    def decide(self, action: str, resource: str | None) -> Verdict:
        """What it says of `action` on the ARN `resource`; None is one that cannot be told."""
        verdict = Verdict.NOT_ALLOWED
        for statement in self._statements:
            if statement.is_about(action, resource):
                if not statement.allows:
                    return Verdict.DENIED
                verdict = Verdict.ALLOWED
        return verdict

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Policy({self.text!r})"


def policy_of(document: Mapping[str, Any]) -> Policy:
    """The policy of a document that is a JSON object already."""
    return Policy(json.dumps(document, separators=(",", ":")))


def _statements(text: str) -> Iterable[Statement]:
    return [
        _statement(each, f"statement {number} of the policy") for number, each in enumerate(parsed(text, LONGEST), 1)
    ]


def parsed(text: str, longest: int) -> list[Any]:
    """The statements of a policy's JSON, unread. Raises `BadInput`."""
    if len("".join(text.split())) > longest:
        raise BadInput(f"the policy is longer than {longest} characters")
    try:
        document = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the policy is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadInput("the policy is not a JSON object with a Statement")
    refuse_unknown(document, _ELEMENTS, "the policy", _WHY)
    if (version := document.get("Version", VERSIONS[1])) not in VERSIONS:
        raise BadInput(f'the policy has the Version {version!a}; "{VERSIONS[0]}" is supported')
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise BadInput("the policy has no Statement")
    return statements


def _statement(document: object, where: str) -> Statement:
    if not isinstance(document, dict):
        raise BadInput(f"{where} is not a JSON object")
    refuse_unknown(document, _STATEMENT_ELEMENTS, where, _WHY)
    effect = document.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise BadInput(f"{where} has no Effect that is Allow or Deny")
    but_actions, actions = either(document, "Action", where)
    but_resources, resources = either(document, "Resource", where)
    try:
        return Statement(
            effect == "Allow",
            tuple(map(action_pattern, actions)),
            but_actions,
            tuple(map(resource_pattern, resources)),
            but_resources,
            not but_resources and "*" in resources,
        )
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def either(document: Mapping[str, Any], name: str, where: str) -> tuple[bool, Sequence[str]]:
    """Whether the element is the `Not` one, and its patterns. Raises `BadInput`."""
    given = [each for each in (name, f"Not{name}") if each in document]
    if len(given) != 1:
        raise BadInput(f"{where} needs {name} or Not{name}, and only one of them")
    value = document[given[0]]
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(each, str) for each in values):
        raise BadInput(f"the {given[0]} of {where} is neither a string nor a list of strings")
    return given[0] != name, values


def refuse_unknown(document: Mapping[str, Any], known: frozenset[str], where: str, why: Mapping[str, str]) -> None:
    """Raises `BadInput` for an element that is none of those `known`."""
    for name in document:
        if name not in known:
            raise BadInput(f"{where} has the element {name!a}, which is not supported: {why.get(name, _UNKNOWN)}")


_UNKNOWN = "it would be ignored"
_WHY = {
    "Condition": "the statement would hold without it. Write what it should narrow down as Action and Resource",
    "Principal": "a policy here belongs to one key, which is its principal",
    "NotPrincipal": "a policy here belongs to one key, which is its principal",
}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an element is there twice")
    return found
