"""In which of AWS's protocols a request is written, whatever service it is for; and an error in each of them.

The request alone tells the protocol, but for two pairs: the query protocol from EC2's, and REST in JSON from REST in
XML. There the service's own model decides (`mooring.wire.service_index`). Nothing here needs a model, and no input
makes `spoken` raise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mooring.wire import json_protocol, query_protocol, rest_json, rpc_v2_cbor
from mooring.wire.errors import WireError, WireResponse

JSON: Final = "json"
QUERY: Final = "query"
EC2: Final = "ec2"
REST_JSON: Final = "rest-json"
REST_XML: Final = "rest-xml"
CBOR: Final = "smithy-rpc-v2-cbor"
"""The protocols as botocore's models name them."""

_NAME = re.compile(r"[A-Za-z0-9_]{1,128}")
_JSON_TYPES: Final = (b"application/x-amz-json-1.0", json_protocol.CONTENT_TYPE)
_FORM: Final = b"application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Spoken:
    """How a request is written. Members are None where the protocol does not say them outside of a model, or badly."""

    protocol: str
    """One of the above; QUERY may be EC2, and REST_JSON may be REST_XML."""
    operation: str | None = None
    marker: str | None = None
    """What tells services apart that are signed alike: the prefix of the target, or the version."""
    content_type: bytes = json_protocol.CONTENT_TYPE
    """Of AWS JSON, whose versions differ in it."""

    @property
    def unknown(self) -> str:
        """The code for an operation that is not there."""
        return "InvalidAction" if self.protocol in (QUERY, EC2) else "UnknownOperationException"


def spoken(path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> Spoken:
    """The protocol of a request; header names are lower-cased."""
    known = dict(reversed(headers))
    content_type = known.get(b"content-type", b"").partition(b";")[0].strip().lower()
    addressed = rpc_v2_cbor.addressed(path, known.get(rpc_v2_cbor.HEADER))
    if addressed is not None:
        return Spoken(CBOR, operation=addressed[1], marker=addressed[0])
    if (target := known.get(b"x-amz-target")) is not None:
        prefix, _, operation = target.decode("latin-1").strip().rpartition(".")
        said = content_type if content_type in _JSON_TYPES else json_protocol.CONTENT_TYPE
        return Spoken(JSON, _name(operation), prefix, said)
    if b"Action=" in query or content_type == _FORM:
        return _query(query, body if content_type == _FORM else b"")
    return Spoken(REST_JSON)


def _query(query: bytes, body: bytes) -> Spoken:
    try:
        fields = dict(query_protocol.fields(query)) | dict(query_protocol.fields(body))
    except WireError:  # whoever serves the request says what is wrong with it
        fields = {}
    return Spoken(QUERY, _name(fields.get("Action", "")), fields.get("Version"))


def _name(text: str) -> str | None:
    return text if _NAME.fullmatch(text) else None


def failure(said: Spoken, error: WireError, request_id: str) -> WireResponse:
    """An error in the protocol of a request."""
    if said.protocol == JSON:
        return json_protocol.failure(None, error, request_id, content_type=said.content_type)
    if said.protocol == CBOR:
        return rpc_v2_cbor.failure(error, request_id)
    if said.protocol == EC2:
        return query_protocol.ec2_failure(error, request_id)
    if said.protocol in (QUERY, REST_XML):  # but for S3, services in XML word their errors alike
        return query_protocol.failure(None, error, request_id)
    return rest_json.failure(None, error, request_id)
