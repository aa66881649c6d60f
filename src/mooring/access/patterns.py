"""IAM's patterns: `*` for any run of characters and `?` for any one of them, in actions and in ARNs.

Matching takes time linear in the text for each star, whoever wrote the text: after a star the first place where its
literal fits is as good as any later one.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mooring.errors import BadInput

Matches = Callable[[str], bool]
ARN_PARTS = 6
"""`arn`, partition, service, region, account, and the resource, which may hold colons."""

_ACTION = re.compile(r"\*|\*:\*|[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128}")


def action_pattern(text: str) -> Matches:
    """Whether an action is one of a pattern's; case is ignored. Raises `BadInput`."""
    if _ACTION.fullmatch(text) is None:
        raise BadInput(f'the action {text!a} is not of the form "service:Action", such as "sagemaker:InvokeEndpoint"')
    if text in ("*", "*:*"):
        return _anything
    compiled = re.compile(_translated(text), re.IGNORECASE)
    return lambda action: compiled.fullmatch(action) is not None


def text_pattern(text: str) -> Matches:
    """Whether a text is one of a pattern's."""
    compiled = re.compile(_translated(text), re.DOTALL)
    return lambda value: compiled.fullmatch(value) is not None


def resource_pattern(text: str) -> Matches:
    """Whether an ARN is one of a pattern's: `*` alone, or part by part. Raises `BadInput`."""
    if text == "*":
        return _anything
    if "${" in text:
        raise BadInput(
            f"the resource {text!a} has a policy variable, and these are not supported: write the name itself"
        )
    parts = text.split(":", ARN_PARTS - 1)
    if len(parts) < ARN_PARTS or parts[0] != "arn":
        raise BadInput(
            f'the resource {text!a} is neither "*" nor an ARN of six parts, "arn:aws:SERVICE:REGION:ACCOUNT:NAME"'
        )
    compiled = [re.compile(_translated(part), re.DOTALL) for part in parts]

    def matches(arn: str) -> bool:
        found = arn.split(":", ARN_PARTS - 1)
        return len(found) == ARN_PARTS and all(
            pattern.fullmatch(part) for pattern, part in zip(compiled, found, strict=True)
        )

    return matches


def _anything(_: str) -> bool:
    return True


def _translated(pattern: str) -> str:
    first, *rest = [_literal(piece) for piece in re.split(r"\*+", pattern)]
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>.*?{piece})" for piece in middle) + ".*" + last


def _literal(piece: str) -> str:
    return "".join("." if each == "?" else re.escape(each) for each in piece)
