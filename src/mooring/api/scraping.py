"""`/metrics` for Prometheus, which signs nothing: where access keys are needed it shows a token of the settings."""

from __future__ import annotations

import hmac
import json

from mooring.api.calls import Control
from mooring.http1.messages import Request, Response
from mooring.metrics.exposition import CONTENT_TYPE
from mooring.settings import Settings

_BEARER = b"bearer "


def scraped(request: Request, settings: Settings, control: Control, *, guarded: bool) -> Response:
    """The answer to `GET /metrics`."""
    token = settings.metrics.scrape_token
    if not token and guarded:
        return _refused(
            "Access keys are needed here, and Prometheus has none: set MOORING_METRICS_SCRAPE_TOKEN, and give the same "
            "in Prometheus as the credentials of type Bearer."
        )
    if token and not _shows(request, token):
        return _refused("The header Authorization needs to be Bearer and MOORING_METRICS_SCRAPE_TOKEN.")
    return shown(control)


def shown(control: Control) -> Response:
    """The page, for who may see it."""
    return Response(200, ((b"Content-Type", CONTENT_TYPE),), control.metering.exposition())


def _shows(request: Request, token: str) -> bool:
    given = request.header(b"authorization") or b""
    return given[: len(_BEARER)].lower() == _BEARER and hmac.compare_digest(
        given[len(_BEARER) :].strip(), token.encode()
    )


def _refused(message: str) -> Response:
    body = json.dumps({"message": message}).encode()
    return Response(403, ((b"Content-Type", b"application/json"),), body)
