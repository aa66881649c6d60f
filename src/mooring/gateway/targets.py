"""Paths of the runtime: `/endpoints/NAME/API`, and the operation that each API is."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from mooring.gateway.headers import ASYNC, INVOKE, STREAM, Api

SERVED = {b"invocations": INVOKE, b"invocations-response-stream": STREAM, b"async-invocations": ASYNC}
NOT_YET = {b"invocations-bidirectional-stream": "InvokeEndpointWithBidirectionalStream"}

_BEGIN = b"POST /endpoints/"
_PLAIN = b"/invocations HTTP/1.1\r\n"
_STREAM = b"/invocations-response-stream HTTP/1.1\r\n"
_ASYNC = b"/async-invocations HTTP/1.1\r\n"
_LONGEST_NAME = 63
_PLAIN_BEFORE = len(_BEGIN) + _LONGEST_NAME + len(_PLAIN)
_STREAM_BEFORE = len(_BEGIN) + _LONGEST_NAME + len(_STREAM)
_ASYNC_BEFORE = len(_BEGIN) + _LONGEST_NAME + len(_ASYNC)


def begins_invocation(data: bytes) -> bool:
    """Whether bytes begin as nearly every request here does: an invocation under a plain name."""
    if not data.startswith(_BEGIN):
        return False
    return (
        data.find(_PLAIN, 17, _PLAIN_BEFORE) > 0
        or data.find(_STREAM, 17, _STREAM_BEFORE) > 0
        or data.find(_ASYNC, 17, _ASYNC_BEFORE) > 0
    )


def operation_of(api: bytes) -> str | None:
    """The runtime's operation behind the last part of an endpoint's path."""
    served: Api | None = SERVED.get(api)
    return NOT_YET.get(api) if served is None else served.operation


def endpoint_and_api(target: bytes) -> tuple[bytes, bytes] | None:
    """The raw endpoint name and the last part of `/endpoints/NAME/API`; None for any other path."""
    parts = target.partition(b"?")[0].split(b"/")
    if len(parts) != 4 or parts[1] != b"endpoints" or not parts[2]:
        return None
    return unquote_to_bytes(parts[2]), parts[3]
