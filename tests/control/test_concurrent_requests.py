"""ConcurrentRequestsPerModel: what gateways say, added up, by the instances that there are."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from mooring.control.concurrent_requests import STALE_S, ConcurrentRequests
from mooring.control.publishing import GatewayLink, RoutePublisher
from mooring.gateway.outstanding import Outstanding
from mooring.hosting.endpoints import EndpointStatus
from mooring.hosting.routes import route_key
from tests.store.making import HERE, an_endpoint


class Clock:
    now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def serving(count: int, **members: Any) -> Any:
    record = an_endpoint(status=EndpointStatus.IN_SERVICE, **members)
    return replace(record, variants=tuple(replace(each, current_count=count) for each in record.variants))


def test_gateways_are_added_up_and_quiet_is_zero() -> None:
    clock = Clock()
    publisher = SimpleNamespace(heeded={}, left=[])
    metric = ConcurrentRequests(cast(Any, None), cast(RoutePublisher, publisher), lambda _: None, clock)
    key = route_key(HERE, "e")
    one, two = (cast(GatewayLink, object()) for _ in range(2))
    say = publisher.heeded["outstanding"]
    metric._samples.append(metric._outstanding())
    say(one, {"outstanding": [[key, "v", 3]]})
    say(two, {"outstanding": [[key, "v", 5], [key, "gone", 1]]})
    metric._samples.append(metric._outstanding())
    publisher.left[0](two)
    metric._samples.append(metric._outstanding())
    clock.now += STALE_S + 1
    metric._samples.append(metric._outstanding())
    (point,) = metric.points([serving(2)], 1009)
    assert point.series.name == "ConcurrentRequestsPerModel"
    assert (point.at, point.seen.count, point.seen.total) == (1009, 4, 4.0 + 1.5)
    assert metric.points([serving(2)], 1019) == []  # nothing was looked at since
    metric._samples.append({})
    queue = {"AsyncInferenceConfig": {"OutputConfig": {}}}
    assert metric.points([serving(0), serving(1, config=queue)], 1029) == []


def test_a_gateway_says_once_that_nobody_calls() -> None:
    busy: dict[tuple[str, str], int] = {("r", "v"): 2}
    told: list[dict[str, Any]] = []

    def tell(message: dict[str, Any]) -> bool:
        told.append(message)
        return True

    concurrency = Outstanding(lambda: busy, tell)
    concurrency.report()
    busy.clear()
    for _ in range(3):
        concurrency.report()
    assert told == [{"outstanding": [["r", "v", 2]]}, {"outstanding": []}]
