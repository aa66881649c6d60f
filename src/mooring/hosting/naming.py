"""Scopes and ARNs: whose a resource is, and what it is called.

Names keep their case and are unique ignoring it (CreateEndpoint says so; for models and configs the same rule is
taken).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

CALLERS_ROLE_ID = "AROAMOORINGMOORINGMO"
"""The unique id of the role that every caller has; STS and IAM both tell it."""

Kind = Literal["model", "endpoint-config", "endpoint"]

_WORDS: dict[Kind, str] = {
    "model": "model",
    "endpoint-config": "endpoint configuration",
    "endpoint": "endpoint",
}


@dataclass(frozen=True, slots=True)
class Scope:
    """State is kept apart per account and region."""

    account: str
    region: str

    def arn(self, kind: Kind, name: str) -> str:
        """`arn:aws:sagemaker:R:A:kind/name`, with the partition that the region belongs to."""
        return f"arn:{partition(self.region)}:sagemaker:{self.region}:{self.account}:{kind}/{name}"


def callers_arn(account: str, region: str, role: str, session: str) -> str:
    """The ARN of a caller: everyone is a session of one role, named after the key that is called with."""
    return f"arn:{partition(region)}:sts::{account}:assumed-role/{role}/{session}"


def partition(region: str) -> str:
    """The ARN partition of a region: `aws`, `aws-cn` or `aws-us-gov`."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def folded(name: str) -> str:
    """The form under which a name is unique."""
    return name.lower()


def not_found(kind: Kind, arn: str, elsewhere: Sequence[str] = ()) -> str:
    """AWS's text, on whose beginning clients match; behind it the regions that have one of this name."""
    told = f" There is one in {', '.join(elsewhere)}: name that region." if elsewhere else ""
    return f'Could not find {_WORDS[kind]} "{arn}".{told}'


def already_exists(kind: Kind, arn: str) -> str:
    """AWS's text; the SageMaker SDK matches on its beginning."""
    return f'Cannot create already existing {_WORDS[kind]} "{arn}".'


def in_progress(arn: str) -> str:
    """AWS's text for update and delete alike."""
    return f'Cannot update in-progress endpoint "{arn}".'
