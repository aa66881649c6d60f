"""What a serverless variant promises: ServerlessConfig, as gateways and control need it.

A variant has slots 0 to MaxConcurrency - 1. A replica has one slot, a slot at most one replica, and a call holds one
slot from the moment that it is admitted to its end: that is the limit, whoever admits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BODY_LIMIT_BYTES = 4 * 1024 * 1024
"""AWS's 4 MB, of a request and of an answer."""
MB_PER_VCPU = 1769
"""As AWS Lambda has it: for serverless endpoints AWS says "proportional" and no number."""


@dataclass(frozen=True, slots=True)
class ServerlessRoute:
    """Of one variant."""

    uid: str
    """The endpoint's: names what gateways share to count slots."""
    max_concurrency: int
    provisioned: int
    """Replicas that are kept while nobody calls."""
    hold_s: float
    """How long a call may wait for a replica that is being started."""

    @staticmethod
    def from_document(document: dict[str, Any] | None) -> ServerlessRoute | None:
        """The inverse of `dataclasses.asdict`."""
        return None if document is None else ServerlessRoute(**document)
