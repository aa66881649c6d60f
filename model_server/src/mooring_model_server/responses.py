"""What a script may return, turned into an answer.

Bytes, text, `(body, content_type)`, anything that looks like a Flask, Werkzeug, Starlette or requests response, or
(where a default would have encoded it) any other object as JSON. A generator, or any other iterator, of bytes or text
is a body that is sent as it comes; how it begins decides whether the call succeeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mooring_model_server.contract import Answer
from mooring_model_server.formats import plain
from mooring_model_server.negotiation import media_type


def answer_of(result: Any, accept: str) -> Answer:
    """The answer for what output_fn or transform_fn returned, in the type that was wanted unless it names its own."""
    content_type = accept.partition(",")[0].strip()
    if not isinstance(result, (bytes, str)) and _is_response(result):
        return _from_response(result, content_type)
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], str):
        result, content_type = result
    if is_stream(result):
        parts = _parts(result)
        return Answer(200, content_type, next(parts, b""), parts=parts)
    return Answer(200, content_type, body_of(result, content_type))


def is_stream(result: Any) -> bool:
    """Whether a script's result is a body that comes in parts; a file does not."""
    return isinstance(result, Iterator) and not hasattr(result, "read")


def body_of(result: Any, content_type: str) -> bytes:
    """Bytes of what a script returned as a body."""
    if result is None:
        return b""
    if isinstance(result, (bytes, bytearray, memoryview)):
        return bytes(result)
    if isinstance(result, str):
        return result.encode("utf-8")
    if hasattr(result, "read"):
        return body_of(result.read(), content_type)
    try:
        return json.dumps(result, default=plain).encode("utf-8")
    except TypeError as error:
        kind = media_type(content_type)
        raise TypeError(f"the script returned a {type(result).__name__} for {kind}: {error}") from error


def _parts(result: Iterator[Any]) -> Iterator[bytes]:
    """What there is of each item; closing this closes the script's generator."""
    try:
        for each in result:
            if not isinstance(each, (bytes, bytearray, memoryview, str)):
                raise TypeError(f"a {type(each).__name__} is in the script's stream: bytes or text are needed")
            part = body_of(each, "")
            if part:
                yield part
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def _is_response(result: Any) -> bool:
    if not isinstance(getattr(result, "status_code", None), int):
        return False
    return any(hasattr(result, name) for name in ("get_data", "body", "content"))


def _from_response(response: Any, content_type: str) -> Answer:
    if hasattr(response, "get_data"):
        body = response.get_data()
    else:
        body = response.body if hasattr(response, "body") else response.content
    pairs = list(response.headers.items()) if hasattr(getattr(response, "headers", None), "items") else []
    stated = next((value for name, value in pairs if name.lower() == "content-type"), None)
    for name in ("content_type", "mimetype", "media_type"):
        stated = stated or getattr(response, name, None)
    headers = tuple((str(name), str(value)) for name, value in pairs if name.lower() != "content-type")
    stated = str(stated) if stated else content_type
    return Answer(response.status_code, stated, body_of(body, content_type), headers)
