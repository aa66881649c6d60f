"""What a gateway and its copier say to each other.

To the copier go batches of these frames (`mooring.processes.attendants`); from it comes JSON, a list of reports a line.
Times are of the monotonic clock, which they share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mooring.upstream.call import Failure

SHADOW, COPY, ORIGINAL, DATA_KEYS = 1, 2, 3, 4
"""What a tuple begins with."""


class Copied(NamedTuple):
    """A call that is to be copied."""

    kind: int
    lane: int
    number: int
    began: float
    sent: float
    """When production's request was on its way."""
    request_id: bytes
    inference_id: bytes
    head: bytes
    body: bytes
    captured: dict[bytes, bytes] | None
    """The headers that a record of it has; None when it is not captured."""
    streams: bool
    """Whether it asked for a response stream, which may be of any length."""


class Original(NamedTuple):
    """How production's call ended."""

    kind: int
    lane: int
    number: int
    status: int
    """0 when there was no answer."""
    failure: str | None
    """The name of a `Failure`."""
    seconds: float | None
    """None when nothing is known: a caller that went away took that along."""
    content_type: bytes
    body: bytes | None
    """None when it is not to be compared."""

    @property
    def reason(self) -> Failure | None:
        """Why there was no answer."""
        return None if self.failure is None else Failure[self.failure]


class Shadow(NamedTuple):
    """A lane: where its shadow is now."""

    kind: int
    lane: int
    replicas: Sequence[tuple[str, str]] | None
    """Ids and addresses; None when the shadow goes."""
    random: bool
    capture: str | None
    """As JSON, what its records need: whose endpoint it is and the route's CaptureRoute."""


class DataKeys(NamedTuple):
    """What captured records of an endpoint are sealed with."""

    kind: int
    message: str
    """As control tells it, in JSON."""


Frame = Copied | Original | Shadow | DataKeys


def frame_of(plain: tuple[Any, ...]) -> Frame:
    """A frame with its names."""
    return _KINDS[plain[0]](*plain)


_KINDS: dict[int, type[Copied | Original | Shadow | DataKeys]] = {
    SHADOW: Shadow,
    COPY: Copied,
    ORIGINAL: Original,
    DATA_KEYS: DataKeys,
}
