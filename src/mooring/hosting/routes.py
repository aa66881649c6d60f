"""The route: the one document per endpoint that control publishes and gateways serve from.

A gateway never asks control while it serves. It holds the newest route that it saw of each endpoint, and refuses an
older one: `Version` is (control epoch, generation), where the epoch grows with every start of control and the
generation within one control's life, so routes of a control that was replaced lose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from mooring.hosting.async_inference import AsyncRoute
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.explaining import ExplainerRoute
from mooring.hosting.naming import Scope
from mooring.hosting.serverless import ServerlessRoute


class Version(NamedTuple):
    """Ordered: a higher epoch wins, then a higher generation."""

    epoch: int
    generation: int


def route_key(scope: Scope, endpoint: str) -> str:
    """`account/region/endpoint`: what a route is known by, also when it is withdrawn."""
    return f"{scope.account}/{scope.region}/{endpoint}"


@dataclass(frozen=True, slots=True)
class RouteReplica:
    """A replica that may be called: it has passed `/ping`."""

    id: str
    address: str
    """Path of its Unix socket, or `host:port`."""
    slot: int | None = None
    """Of a serverless variant's, the one that it fills."""


@dataclass(frozen=True, slots=True)
class RouteShadow:
    """The shadow variant of a fleet, which gets copies of the calls of that fleet's production variant."""

    name: str
    part: float
    """Of the calls, those that are copied: more than 0, and 1 at the most."""
    comparison: str
    """What answers are compared under: an update begins another."""
    replicas: tuple[RouteReplica, ...]
    strategy: str = "LEAST_OUTSTANDING_REQUESTS"
    capture: CaptureRoute | None = None
    """What of its copies is captured."""

    @staticmethod
    def from_document(document: dict[str, Any]) -> RouteShadow:
        """The inverse of `asdict`."""
        replicas = tuple(RouteReplica(**replica) for replica in document["replicas"])
        capture = CaptureRoute.from_document(document.get("capture"))
        return RouteShadow(**{**document, "replicas": replicas, "capture": capture})


@dataclass(frozen=True, slots=True)
class RouteVariant:
    """One production variant of one fleet, as the gateway sees it; an update has two of a name."""

    name: str
    weight: float
    replicas: tuple[RouteReplica, ...]
    strategy: str = "LEAST_OUTSTANDING_REQUESTS"
    """`RANDOM` when RoutingConfig asks for it."""
    container: str = "primary"
    """What AWS calls the container in error messages."""
    share: float = 1.0
    """Of the calls that name this variant; the weight is of those that do not."""
    config: str | None = None
    """The endpoint config of its fleet while an update is under way, so that the fleets' metrics can be told apart."""
    capture: CaptureRoute | None = None
    """What of its calls is captured."""
    shadow: RouteShadow | None = None
    serverless: ServerlessRoute | None = None
    """Set for a variant that may have no replica, and gets one when it is called."""
    explainer: ExplainerRoute | None = None
    """Set for a variant whose answers are explained."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a gateway needs to serve one endpoint."""

    scope: Scope
    endpoint: str
    version: Version
    variants: tuple[RouteVariant, ...]
    status: str
    """EndpointStatus at publication; an endpoint that is not serving yet has no replicas."""
    body_limit_bytes: int
    invocation_timeout_s: float
    response_limit_bytes: int = 0
    """0 is no limit."""
    async_inference: AsyncRoute | None = None
    """Set for an endpoint that takes calls into its queue, and no others."""

    def replicas(self) -> Iterator[RouteReplica]:
        """All that may be called: production's, and those of shadows."""
        for variant in self.variants:
            yield from variant.replicas
            if variant.shadow is not None:
                yield from variant.shadow.replicas

    @property
    def key(self) -> str:
        """Unique among routes, and safe as a file name once quoted."""
        return route_key(self.scope, self.endpoint)

    def to_document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @staticmethod
    def from_document(document: dict[str, Any]) -> Route:
        """The inverse of `to_document`. Raises KeyError or TypeError for what is not a route."""
        variants = tuple(
            replace(
                RouteVariant(**{**variant, "replicas": ()}),
                replicas=tuple(RouteReplica(**replica) for replica in variant["replicas"]),
                capture=CaptureRoute.from_document(variant.get("capture")),
                shadow=RouteShadow.from_document(variant["shadow"]) if variant.get("shadow") else None,
                serverless=ServerlessRoute.from_document(variant.get("serverless")),
                explainer=ExplainerRoute.from_document(variant.get("explainer")),
            )
            for variant in document["variants"]
        )
        queue = document.get("async_inference")
        return Route(
            **{
                **document,
                "async_inference": None if queue is None else AsyncRoute(**queue),
                "scope": Scope(**document["scope"]),
                "version": Version(*document["version"]),
                "variants": variants,
            }
        )
