"""FailureReason: AWS's sentences, with what a person can act on behind them."""

from __future__ import annotations

from collections.abc import Sequence

LOG_ENDS = " Its log ends: "
LONGEST_FAILURE_REASON = 1024
"""The model's bound on FailureReason."""


def ping_failure(variant: str, detail: str) -> str:
    """A container that died or never answered `/ping`."""
    return (
        f"The primary container for production variant {variant} did not pass the ping health check. "
        f"Please check CloudWatch logs for this endpoint. ({detail})"
    )


def topic_refused(role: str, topic: str, detail: str) -> str:
    """A topic of an asynchronous endpoint that cannot be told anything."""
    return (
        f'The provided role "{role}" is invalid. Please ensure the role exists, that its trust relationship policy '
        'allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com", and has "sns:Publish" '
        f'permissions for topic "{topic}". ({detail})'
    )


def baseline_refused(uri: str, detail: str) -> str:
    """A baseline in S3 that cannot be had."""
    return (
        f'Failed to load the SHAP baseline from URL: "{uri}". Please ensure that there is an object located at the URL '
        f"and that the role passed to CreateModel has permissions to download the object. ({detail})"
    )


def baseline_unusable(uri: str, detail: str) -> str:
    """A baseline in S3 that is none."""
    return f'The SHAP baseline at "{uri}" cannot be used: {detail}'


def with_last_lines(failure: str, lines: Sequence[str]) -> str:
    """A failure, and behind it as many of the last lines of the replica's log as FailureReason has room for."""
    told = ""
    for line in reversed(lines):
        longer = f"{line.strip()} | {told}" if told else line.strip()
        if len(failure) + len(LOG_ENDS) + len(longer) > LONGEST_FAILURE_REASON:
            break
        told = longer
    return f"{failure}{LOG_ENDS}{told}" if told else failure


def failure_reason(text: str) -> str:
    """`text` cut to what the field takes, without what a hostile name or exception may have put into it."""
    text = "".join(each if each.isprintable() else " " for each in text)
    return text if len(text) <= LONGEST_FAILURE_REASON else text[: LONGEST_FAILURE_REASON - 1] + "…"
