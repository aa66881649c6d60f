"""What the parser lets pass and a server may not: versions, transfer codings, and heads out of bounds.

Called from the parser's callbacks, where the one way out is an exception: `Refused` carries the answer.
"""

from __future__ import annotations

from typing import Any

import httptools

from mooring.http1.listening import Limits, plain_text
from mooring.http1.messages import Request, Response

FRAMING_FACTOR = 8
"""Chunk sizes, extensions and trailers may make a body this many times larger on the wire."""


class Refused(Exception):
    """Raised inside the parser's callbacks; carries the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def check_version(request: Request, version: str) -> None:
    """Take 1.0 for what it is and refuse any other version; 1.1 need not ask."""
    if version != "1.0":
        raise Refused(plain_text(505, "HTTP/1.1 is spoken here."))
    if request.header(b"transfer-encoding") is not None:
        raise Refused(plain_text(400, "HTTP/1.0 has no transfer codings."))
    request.keep_alive = False
    request.is_1_0 = True


def check_head(request: Request, limits: Limits) -> None:
    """Refuse a head that is larger than its limit, by its own bytes."""
    size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
    if size > limits.header_bytes or len(request.headers) > limits.header_count:
        text = f"The head of a request may have {limits.header_bytes} bytes in {limits.header_count} headers."
        raise Refused(plain_text(431, text))


def check_coding(request: Request) -> None:
    """Refuse a chunked body with any other coding beside."""
    if (request.header(b"transfer-encoding") or b"").strip().lower() != b"chunked":
        raise Refused(plain_text(501, "The only transfer coding that is understood is chunked."))


def refusal(error: Any) -> Response:
    """The answer to what the parser, or a callback of ours inside it, did not take."""
    cause = error.__context__ or error.__cause__
    if isinstance(error, httptools.HttpParserCallbackError) and isinstance(cause, Refused):
        return cause.response
    return plain_text(400, "This is not a valid HTTP/1.1 request.")
