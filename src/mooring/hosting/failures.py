"""FailureReason: AWS's sentences, with what a person can act on behind them."""

from __future__ import annotations

LONGEST_FAILURE_REASON = 1024
"""The model's bound on FailureReason."""


def ping_failure(variant: str, detail: str) -> str:
    """A container that died or never answered `/ping`."""
    return (
        f"The primary container for production variant {variant} did not pass the ping health check. "
        f"Please check CloudWatch logs for this endpoint. ({detail})"
    )


def failure_reason(text: str) -> str:
    """`text` cut to what the field takes, without what a hostile name or exception may have put into it."""
    text = "".join(each if each.isprintable() else " " for each in text)
    return text if len(text) <= LONGEST_FAILURE_REASON else text[: LONGEST_FAILURE_REASON - 1] + "…"
