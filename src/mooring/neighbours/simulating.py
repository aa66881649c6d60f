"""IAM's policy simulation, which moto lacks and the SageMaker SDK v3 asks before it takes a role.

It tells what holds here: roles and their policies are kept and never enforced, so each is allowed whatever is asked.
Only of a principal that is not there nothing is said.
"""

from __future__ import annotations

import importlib
from typing import Any

_MOST_AT_A_TIME = 1000
_AT_A_TIME = 100


def add_to(responses: type[Any]) -> None:
    """Give moto's IAM the two operations."""
    responses.simulate_principal_policy = _simulate_principal_policy
    responses.simulate_custom_policy = _results


def _simulate_principal_policy(self: Any) -> Any:
    arn = self._get_param("PolicySourceArn") or ""
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    if kind == "role":
        self.backend.get_role_by_arn(arn)
    elif kind == "user":
        self.backend.get_user(name.rpartition("/")[2])
    elif kind == "group":
        self.backend.get_group(name.rpartition("/")[2])
    else:
        message = f"Invalid Entity Arn: {arn} does not clearly define entity type and name."
        raise _module("moto.iam.exceptions").InvalidInput(message)
    return _results(self)


def _results(self: Any) -> Any:
    actions = self._get_param("ActionNames") or []
    resources = self._get_param("ResourceArns") or ["*"]
    count = len(actions) * len(resources)
    start = min(_number(self, "Marker", 0), count)
    end = min(start + min(_number(self, "MaxItems", _AT_A_TIME), _MOST_AT_A_TIME), count)
    answer = {
        "EvaluationResults": [
            {
                "EvalActionName": actions[index // len(resources)],
                "EvalResourceName": resources[index % len(resources)],
                "EvalDecision": "allowed",
                "MatchedStatements": [],
                "MissingContextValues": [],
            }
            for index in range(start, end)
        ],
        "IsTruncated": end < count,
    }
    return _module("moto.core.responses").ActionResult({**answer, "Marker": str(end)} if end < count else answer)


def _number(self: Any, member: str, otherwise: int) -> int:
    given = str(self._get_param(member) or "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 20 and int(given) else otherwise


def _module(name: str) -> Any:
    return importlib.import_module(name)
