"""The decision on a call whose signature is good: what the key's policy says of all that the call asks for.

Decisions are kept by policy, action and resource: a key whose policy has changed has another one, so none is stale.
"""

from __future__ import annotations

from collections.abc import Iterable

from mooring.access.asking import ANY, Asked
from mooring.access.keys import AccessKey
from mooring.access.policies import Policy, Verdict
from mooring.hosting.naming import callers_arn

MOST_KEPT = 10_000


class Denied(Exception):
    """The key may not do this; `str()` is AWS's text."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class Decisions:
    """Decides for one process. `role` is the role that every caller has, see `hosting.naming`."""

    def __init__(self, account: str, role: str) -> None:
        self._account = account
        self._role = role
        self._kept: dict[tuple[Policy, str, str | None], Verdict] = {}

    def require(self, key: AccessKey, asked: Iterable[Asked], region: str) -> None:
        """Raises `Denied` unless everything is allowed."""
        for each in asked:
            verdict = self._verdict(key, each)
            if verdict is not Verdict.ALLOWED:
                raise Denied(self._text(key, each, verdict, region))

    def _verdict(self, key: AccessKey, asked: Asked) -> Verdict:
        if key.policy is None:
            return Verdict.ALLOWED
        question = key.policy, asked.action, asked.resource
        verdict = self._kept.get(question)
        if verdict is None:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            verdict = self._kept[question] = key.policy.decide(asked.action, asked.resource)
        return verdict

    def _text(self, key: AccessKey, asked: Asked, verdict: Verdict, region: str) -> str:
        user = callers_arn(self._account, region, self._role, key.name)
        resource = asked.resource or ANY
        if asked.action.startswith("s3:"):
            resource = f'"{resource}"'
        head = f"User: {user} is not authorized to perform: {asked.action} on resource: {resource}"
        if verdict is Verdict.DENIED:
            return f"{head} with an explicit deny in an identity-based policy"
        return f"{head} because no identity-based policy allows the {asked.action} action"
