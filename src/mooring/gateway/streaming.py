"""An answer as an event stream: what InvokeEndpointWithResponseStream writes to its client.

It stands between an invocation and its connection and has the methods that an invocation uses, so that whatever
watches or repeats an invocation need not know of it. An error before the first byte is an answer like any other; after
it, an event that ends the stream, which itself is then whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mooring.gateway.headers import STREAM
from mooring.http1.listening import Listening
from mooring.http1.messages import Headers
from mooring.upstream.call import Failure
from mooring.wire.event_stream import CONTENT_TYPE, failure, payload_parts

if TYPE_CHECKING:
    from mooring.gateway.front import FrontConnection

MODEL_STREAM_ERROR = "ModelStreamError"
INTERNAL_STREAM_FAILURE = "InternalStreamFailure"
_OURS = f"Content-Type: {CONTENT_TYPE}\r\n".encode()
_TIMED_OUT = (
    "ModelInvocationTimeExceeded",
    "The model took longer than it may, between two parts of its response or for all of it.",
)
_STOPPING = "The server is being stopped, and the response of the model took longer than it waits."
_BROKEN = ("StreamBroken", "The response of the model ended before it was complete.")


class EventStream:
    """The client of one invocation."""

    __slots__ = ("_connection", "streaming")

    relayed = STREAM.relayed

    def __init__(self, connection: FrontConnection) -> None:
        self._connection = connection
        self.streaming = False
        """Whether the answer has begun and not ended."""

    @property
    def listening(self) -> Listening:
        return self._connection.listening

    def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """An error: nothing was streamed yet."""
        self._connection.respond(status, headers, body)

    def send(self, head: bytes, body: bytes) -> None:
        """An answer that was whole at once. Its head ends in the body's length, which is not that of the stream."""
        self.begin(head[: head.rindex(b"Content-Length: ")], None)
        self.write(body)
        self.end()

    def begin(self, head: bytes, length: int | None) -> None:
        self.streaming = True
        self._connection.begin(head + _OURS, None)

    def write(self, data: bytes) -> None:
        self._connection.write(payload_parts(data))

    def end(self) -> None:
        self.streaming = False
        self._connection.end()

    def break_off(self, why: Failure) -> None:
        code, message = _TIMED_OUT if why is Failure.TIMED_OUT else _BROKEN
        self._fail(MODEL_STREAM_ERROR, {"Message": message, "ErrorCode": code})

    def give_up(self) -> None:
        """The gateway stops, and the model has done nothing wrong."""
        self._fail(INTERNAL_STREAM_FAILURE, {"Message": _STOPPING})

    def _fail(self, code: str, members: Mapping[str, str]) -> None:
        self.streaming = False
        self._connection.write(failure(code, members))
        self._connection.end_with(code)
