"""The route of an endpoint: what its record wants routed, as far as replicas are healthy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mooring.control.replica_life import ReplicaLife
from mooring.hosting.async_inference import async_route_of
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.endpoints import EndpointRecord
from mooring.hosting.explaining import ExplainerRoute
from mooring.hosting.rollout.targets import VariantTarget
from mooring.hosting.routes import Route, RouteReplica, RouteShadow, RouteVariant, Version
from mooring.hosting.serverless import BODY_LIMIT_BYTES, ServerlessRoute, is_serverless, max_concurrency, provisioned
from mooring.settings import GatewaySettings, ServerlessSettings


@dataclass(frozen=True, slots=True)
class Routed:
    """A variant of a fleet, with the healthy replicas of it that may take traffic."""

    target: VariantTarget
    lives: Sequence[ReplicaLife]
    generation: int = 1
    """Of the fleet."""
    capture: CaptureRoute | None = None
    """As the fleet's config wants it."""
    explainer: ExplainerRoute | None = None
    """The same."""


def route_of(
    record: EndpointRecord,
    routed: Iterable[Routed],
    gateway: GatewaySettings,
    serverless: ServerlessSettings,
) -> Route:
    """The route, without a version."""
    variants = tuple(_variants(record, list(routed), serverless.hold_s))
    # AWS's limit of serverless endpoints is a smaller one.
    most = BODY_LIMIT_BYTES if any(each.serverless is not None for each in variants) else 0
    return Route(
        scope=record.scope,
        endpoint=record.name,
        version=Version(0, 0),
        variants=variants,
        status=record.status,
        body_limit_bytes=_least(gateway.body_limit_bytes, most),
        invocation_timeout_s=gateway.invocation_timeout_s,
        response_limit_bytes=_least(gateway.response_limit_bytes, most),
        async_inference=async_route_of(record.config, record.scope, record.name, record.uid),
    )


def _least(limit: int, other: int) -> int:
    """The smaller of two limits, of which 0 is none."""
    return min(limit, other) if limit and other else limit or other


def _variants(record: EndpointRecord, routed: list[Routed], hold_s: float) -> Iterable[RouteVariant]:
    by_name: dict[str, list[Routed]] = {}
    mirrors: dict[int, RouteShadow] = {}
    for each in routed:
        if not each.target.variant.shadow:
            by_name.setdefault(each.target.variant.name, []).append(each)
        elif each.target.weight > 0:
            mirrors[each.generation] = _shadow(record.uid, each)
    for entries in by_name.values():
        yield from _of_one_name(record, entries, mirrors, hold_s)


def _config(record: EndpointRecord, generation: int) -> str | None:
    """The config of a fleet, while there is another."""
    if record.rollout is None:
        return None
    return record.rollout.config_name if generation == record.rollout.generation else record.config_name


def _shadow(uid: str, each: Routed) -> RouteShadow:
    return RouteShadow(
        name=each.target.variant.name,
        part=each.target.weight,
        comparison=f"{uid}/{each.generation}",
        replicas=_replicas(each),
        strategy=_strategy(each.target),
        capture=each.capture,
    )


def _of_one_name(
    record: EndpointRecord, entries: list[Routed], mirrors: Mapping[int, RouteShadow], hold_s: float
) -> Iterable[RouteVariant]:
    """Where a fleet's replicas have all died, the other fleet of an update takes its share."""
    taking = [each for each in entries if each.target.share > 0]
    able = [each for each in taking if each.lives or each.target.elastic] or taking or entries[:1]
    shares = sum(each.target.share for each in able) or 1.0
    weights = sum(each.target.weight for each in able)
    whole = sum(each.target.weight for each in entries)
    for each in able:
        target = each.target
        weight = target.weight * whole / weights if weights else whole * target.share / shares
        yield RouteVariant(
            name=target.variant.name,
            weight=weight,
            replicas=_replicas(each),
            strategy=_strategy(target),
            share=target.share / shares,
            config=_config(record, each.generation),
            capture=each.capture,
            shadow=mirrors.get(each.generation),
            serverless=_serverless(record.uid, each, hold_s),
            explainer=each.explainer,
        )


def _serverless(uid: str, each: Routed, hold_s: float) -> ServerlessRoute | None:
    config = each.target.variant.config
    if not is_serverless(config):
        return None
    return ServerlessRoute(uid, max_concurrency(config), provisioned(config), hold_s, each.generation)


def _replicas(each: Routed) -> tuple[RouteReplica, ...]:
    return tuple(
        RouteReplica(life.id, life.replica.address, life.slot) for life in each.lives if life.replica is not None
    )


def _strategy(target: VariantTarget) -> str:
    asked = (target.variant.config.get("RoutingConfig") or {}).get("RoutingStrategy")
    return "RANDOM" if asked == "RANDOM" else "LEAST_OUTSTANDING_REQUESTS"
