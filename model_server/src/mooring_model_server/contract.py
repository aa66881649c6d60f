"""What passes between the HTTP side and the model side: an `Invocation` in, an `Answer` out, whole or in parts."""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Sequence

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


class Invocation(NamedTuple):
    """One POST /invocations. Header names are lower case."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str | None:
        """Content-Type as it was sent, or None."""
        return self.headers.get("content-type") or None

    @property
    def accept(self) -> str | None:
        """Accept as it was sent, or None."""
        return self.headers.get("accept") or None


class Answer(NamedTuple):
    """What the container answers."""

    status: int
    content_type: str | None
    body: bytes
    headers: Sequence[tuple[str, str]] = ()
    parts: Iterator[bytes] | None = None
    """What follows `body`, each sent as it comes: user code, that may raise, and is not empty."""


class Model:
    """A loaded model. One thread at a time calls it, always the same one that loaded it."""

    def invoke(self, invocation: Invocation) -> Answer:
        """Answer an invocation; what the script raises becomes an answer, it is never raised."""
        raise NotImplementedError

    def execution_parameters(self) -> Mapping[str, object]:
        """The body of GET /execution-parameters."""
        return {"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}


class LoadFailure(Exception):
    """The model cannot be served; `where` names the function or the step, the cause is what was raised there."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
