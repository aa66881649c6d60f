"""What `mooring explain` asks a server: what the endpoint explains, and an invocation with explanations."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mooring.cli import waiting
from mooring.cli.aws import SageMaker, scope
from mooring.cli.calling import Answer, Caller
from mooring.cli.client import Client
from mooring.cli.explain.inputs import Input
from mooring.cli.terminal import safe
from mooring.errors import BadInput, MooringError, NotFound, Refused, Unavailable
from mooring.wire.signing import signed_headers

TIMEOUT_S = 75.0
"""An explained call may take a minute."""
_ERRORS: dict[str, type[MooringError]] = {"ValidationError": Refused, "ServiceUnavailable": Unavailable}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an endpoint shall be asked."""

    endpoint: str
    expression: str
    accept: str | None


def explainer_of(client: Client, region: str, endpoint: str) -> dict[str, Any]:
    """Its ClarifyExplainerConfig. Raises `Refused` for an endpoint without."""
    described = SageMaker(client.url, region, credentials=client.credentials).call(
        "DescribeEndpoint", EndpointName=endpoint
    )
    found = (described.get("ExplainerConfig") or {}).get("ClarifyExplainerConfig")
    if not isinstance(found, dict):
        raise Refused(
            f'endpoint "{endpoint}" explains nothing: its endpoint config has no ExplainerConfig. Create one with '
            'ExplainerConfig={"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": …}}}} '
            "and update the endpoint to it"
        )
    return found


def explained(client: Client, region: str, wanted: Wanted, given: Input) -> bytes:
    """The body of InvokeEndpoint's answer. Raises its errors with AWS's words."""
    target = f"/endpoints/{quote(wanted.endpoint, safe='')}/invocations"
    headers = {
        "Content-Type": _header("--content-type", given.content_type),
        "X-Amzn-SageMaker-Enable-Explanations": _header("--expression", wanted.expression),
    }
    if wanted.accept is not None:
        headers["Accept"] = _header("--accept", wanted.accept)
    if client.credentials is None:
        headers |= scope("sagemaker", region)
    else:
        digest = hashlib.sha256(given.body).hexdigest().encode()
        headers = signed_headers(client.credentials, "sagemaker", region, "POST", client.url + target, headers, digest)
    with waiting.said(f"explaining at {client.url}"):
        answer = Caller(client.url, TIMEOUT_S).call("POST", target, headers, given.body)
    if answer.status >= 400:
        raise _error(answer, client.url)
    return answer.body


def _header(option: str, value: str) -> str:
    if not value or not value.isascii() or not value.isprintable():
        raise BadInput(f"{option} goes as a header, which has printable characters of ASCII only")
    return value


def _error(answer: Answer, url: str) -> MooringError:
    code = answer.headers.get("x-amzn-errortype", "").partition(":")[0]
    try:
        document = json.loads(answer.body)
        message = document.get("OriginalMessage") or document.get("Message") or document.get("message")
    except (ValueError, AttributeError, RecursionError):
        message = None
    if not isinstance(message, str):
        return Unavailable(f"{url} answered with status {answer.status}")
    message = safe(message)
    if code == "ValidationError" and "not found" in message:
        return NotFound(message)
    return _ERRORS.get(code, MooringError)(message)
