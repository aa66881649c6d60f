"""What pipelines are compiled with, besides their route: counters, and the features that watch calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mooring.explainer.edge.explanation import Explainer, Explainers
from mooring.gateway.counting import Counting
from mooring.hosting.routes import Route, RouteVariant
from mooring.metrics.registry import Registry
from mooring.serverless.admission import Admission
from mooring.upstream.observing import Feature, Observer
from mooring.upstream.replica import Replica


@dataclass(frozen=True, slots=True)
class Instruments:
    """One for all pipelines of a gateway."""

    counting: Counting = field(default_factory=Counting)
    features: tuple[Feature, ...] = ()
    admission: Admission | None = None
    """Of serverless variants' calls."""
    explainers: Explainers | None = None
    """Of calls whose answers are explained; without it none are."""
    registry: Registry = field(default_factory=Registry)
    """What this process tells of itself on `/metrics`."""

    def observers(self, route: Route, variant: RouteVariant) -> tuple[Observer, ...]:
        """Who watches the calls of a variant."""
        found = (feature.observer(route, variant) for feature in self.features)
        return tuple(observer for observer in found if observer is not None)

    def explainer(self, route: Route, variant: RouteVariant, replicas: Sequence[Replica]) -> Explainer | None:
        """What explains the answers of a variant, which has these replicas."""
        return None if self.explainers is None else self.explainers.explainer(route, variant, replicas)

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        self.counting.forget(route_key)
        if self.admission is not None:
            self.admission.forget(route_key)
        if self.explainers is not None:
            self.explainers.forget(route_key)
        for feature in self.features:
            feature.forget(route_key)
