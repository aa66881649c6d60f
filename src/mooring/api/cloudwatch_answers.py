"""What CloudWatch's operations have in common: its errors, page tokens, and how parameters name metrics and times."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

from mooring.control.measuring import metric
from mooring.hosting.naming import Scope
from mooring.metrics.series import Metric
from mooring.store.metric_blocks import Level, level_for
from mooring.wire.errors import WireError

SHORT_PERIODS = (1, 5, 10, 20, 30)
LONGEST_PERIOD_S = 86_400 * 366


def invalid(message: str) -> WireError:
    """A parameter has a value that it cannot have."""
    return WireError("InvalidParameterValue", message, status=400)


def combination(message: str) -> WireError:
    """Parameters that exclude each other, or need each other."""
    return WireError("InvalidParameterCombination", message, status=400)


def missing(message: str) -> WireError:
    """A parameter that is needed."""
    return WireError("MissingParameter", message, status=400)


def unfit(message: str) -> WireError:
    """What most operations say of a request that cannot be."""
    return WireError("ValidationError", message, status=400)


def not_found(message: str) -> WireError:
    """What is named does not exist."""
    return WireError("ResourceNotFound", message, status=404)


def as_token(*values: Any) -> str:
    """Where the next page begins, opaque."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode()


def from_token(token: str, size: int) -> list[Any]:
    """The inverse of `as_token`. Raises InvalidNextToken."""
    try:
        values = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or len(values) != size:
        raise WireError("InvalidNextToken", "The next token specified is invalid.", status=400)
    return values


def metric_of(scope: Scope, params: Mapping[str, Any]) -> Metric:
    """The metric that `Namespace`, `MetricName` and `Dimensions` name. Raises `WireError`."""
    found = metric(scope.account, scope.region, params)
    if len({name for name, _ in found.dimensions}) != len(found.dimensions):
        raise invalid("No parameter Dimensions may have the same Name twice.")
    return found


def require_period(period: int) -> None:
    """Raises InvalidParameterValue."""
    if period not in SHORT_PERIODS and (period % 60 or period > LONGEST_PERIOD_S):
        raise invalid(f"The parameter Period must be {', '.join(map(str, SHORT_PERIODS))} or a multiple of 60.")


def times_of(params: Mapping[str, Any]) -> tuple[int, int]:
    """StartTime and EndTime in whole seconds. Raises `WireError`."""
    start, end = math.floor(params["StartTime"]), math.ceil(params["EndTime"])
    if start >= end:
        raise unfit("The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def period_level(period: int, origin: int) -> Level:
    """The level from which periods that begin at `origin` can be put together."""
    return level_for(math.gcd(period, origin))
