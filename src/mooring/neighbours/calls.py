"""A call in the one form in which moto is asked and the journal keeps it, whatever protocol it came in.

What moto would find in two places is in one here, so that what a call is taken for is what moto does: a form has one
`Action` and no query beside it, and the JSON of a message cannot pass for a form. Of the credential only the region and
the key's id are left, which moto looks at; no signature is kept.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from mooring.http1.messages import Request
from mooring.settings import AccountSettings
from mooring.wire import json_values, query_protocol, rpc_v2_cbor
from mooring.wire.dialects import CBOR, JSON, QUERY, Spoken
from mooring.wire.errors import WireError, serialization_exception, unknown_operation
from mooring.wire.recognition import recognize

IN_CBOR = "monitoring"
"""The only one of the services that speaks it."""
FORM = "application/x-www-form-urlencoded"
JSON_1_0 = "application/x-amz-json-1.0"
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_AWS = b".amazonaws.com"
"""moto would take the region from such a host."""
_QUEUE_PATH = re.compile(rb"/[0-9]{12}/[A-Za-z0-9_.-]{1,80}")
_NOT_OF_THE_CALL = ("X-Amz-", "AWSAccessKeyId", "Signature")
"""Of a presigned URL."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of one service."""

    service: str
    """By its signing name."""
    account: str
    region: str
    access_key_id: str
    operation: str
    host: str
    """As the client names this server: queue URLs begin with it."""
    path: str
    """`/`, or that of a queue."""
    content_type: str
    body: str

    def to_document(self) -> dict[str, Any]:
        """For JSON; `from_document` is the inverse."""
        return asdict(self)

    @staticmethod
    def from_document(document: dict[str, Any]) -> Call:
        """Raises TypeError when it is not one."""
        return Call(**document)


def read(request: Request, said: Spoken, body: bytes, account: AccountSettings, host: str) -> Call:
    """The call that a request makes, which is written as `said`. Raises `WireError`."""
    who = recognize(request.method, request.path, request.query, request.headers, body)
    if said.protocol == CBOR and who.service != IN_CBOR:
        raise unknown_operation()
    given = request.header(b"host") or b""
    operation, content_type, text = _asked(said, request, body)
    return Call(
        service=who.service,
        account=account.id,
        region=who.region or account.region,
        access_key_id=who.access_key_id or "",
        operation=operation,
        host=given.decode("ascii") if _HOST.fullmatch(given) and not given.endswith(_AWS) else host,
        path=request.path.decode("ascii") if _QUEUE_PATH.fullmatch(request.path) else "/",
        content_type=content_type,
        body=text,
    )


def _asked(said: Spoken, request: Request, body: bytes) -> tuple[str, str, str]:
    """Operation, content type and body, as moto gets them."""
    if said.protocol == QUERY:
        return _form(request, body)
    if not said.operation or said.protocol not in (JSON, CBOR):
        raise WireError("MissingAction", "Could not find Action in the request.", status=400)
    if said.protocol == JSON:
        return said.operation, said.content_type.decode("ascii"), _json(json_values.loaded(body))
    return said.operation, JSON_1_0, _json(rpc_v2_cbor.parameters(body))


def _form(request: Request, body: bytes) -> tuple[str, str, str]:
    is_form = (request.header(b"content-type") or b"").lower().startswith(FORM.encode())
    fields = [*query_protocol.fields(request.query), *query_protocol.fields(body if is_form else b"")]
    actions = [value for name, value in fields if name == "Action"]
    if len(actions) != 1:
        raise WireError("MissingAction", "Could not find one Action in the request.", status=400)
    kept = [(name, value) for name, value in fields if not name.startswith(_NOT_OF_THE_CALL)]
    return actions[0], FORM, urlencode(kept)


def _json(document: Any) -> str:
    if not isinstance(document, dict):
        raise serialization_exception("Start of list found where not expected.")
    try:
        text = json.dumps(document, default=_base64, allow_nan=False)
    except (ValueError, RecursionError):
        raise serialization_exception() from None
    # moto reads JSON as a form first, and would take "&Action=DeleteQueue" in a message for what is to be done.
    return text.replace("&", "\\u0026")


def _base64(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise ValueError(value)
