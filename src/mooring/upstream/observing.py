"""Who watches the calls of a variant: what a feature is told of each, and how it may hold the last bytes back.

A gateway tells an observer of a call once the request is on its way to the replica, so that nothing an observer does
comes before it. Of a call that an observer is interested in, its `Observation` hears exactly one of `answered`,
`failed` and `abandoned`. Everything is called from the loop's thread and must return soon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from mooring.hosting.routes import Route, RouteVariant

ReplyHeaders = list[tuple[bytes, bytes]]


class Asked(NamedTuple):
    """A call as its replica gets it."""

    operation: str
    """The runtime's operation, such as `InvokeEndpoint`."""
    headers: Mapping[bytes, bytes]
    """Those of the caller's headers that an invocation looks at; names are lower-cased."""
    head: bytes
    """The request head that the replica gets, whole."""
    body: bytes
    began: float
    """When the request was whole, by `time.perf_counter`."""
    sent: float
    """When it was sent to the replica."""
    request_id: bytes
    """As the caller gets it in `x-amzn-RequestId`, if the call succeeds."""


class ModelAnswer(NamedTuple):
    """What a model answered with 2xx, where its caller gets something else: an explanation, or why there is none."""

    headers: ReplyHeaders
    body: bytes
    at: float
    """When it was there, by `time.perf_counter`."""


class Answer(NamedTuple):
    """A replica's answer with a status of 2xx, whole; or what the caller gets in its place."""

    status: int
    headers: ReplyHeaders
    """Lower-cased names."""
    body: bytes
    size: int
    """Of the whole body, of which `body` is the beginning when it was too large to be kept."""
    model: ModelAnswer | None = None
    """What the replica answered, where this is not it."""


class Failed(NamedTuple):
    """Why there is no such answer."""

    status: int
    """The replica's; 0 when it gave none."""
    reason: str
    headers: ReplyHeaders
    body: bytes | None
    """What the replica said; None when nothing, or too much."""
    model: ModelAnswer | None = None
    """What the replica answered, though its caller gets an error."""


class Observation(Protocol):
    """Of one call, until it hears how the call ended."""

    def answered(self, answer: Answer, go: Callable[[], None]) -> None:
        """The replica has answered. The caller gets its last bytes at `go`, to be called once, here or later."""
        ...

    def failed(self, failed: Failed) -> None:
        """The caller gets an error, or an answer that breaks off."""
        ...

    def abandoned(self) -> None:
        """The caller went away before it had its answer."""
        ...


class Observer(Protocol):
    """Of one variant, for as long as its route is held."""

    def began(self, asked: Asked) -> Observation | None:
        """A call is on its way to a replica; None when its end is of no interest."""
        ...


class Feature(Protocol):
    """Makes the observers of one process. It is asked again with every version of a route."""

    def observer(self, route: Route, variant: RouteVariant) -> Observer | None:
        """What watches this variant; None when nothing of this feature is wanted there, which then costs nothing."""
        ...

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        ...
