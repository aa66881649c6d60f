"""What a gateway and its solver process say to each other, over a pair of sockets.

A frame is one of the tuples below with its name before it, in a batch as `mooring.processes.attendants` writes them: a
length and `marshal`, which costs least. Both ends are the same interpreter with the same Mooring; what a client or a
container said is bytes in it and nothing more.

A call begins with `Explain`. The solver asks for any number of predictions with `Predict`, each of which is answered by
one `Predicted`; it ends the call with one `Explained` or `Unexplained`. After `Forget` it says nothing more of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Explain(NamedTuple):
    """Gateway to solver: a call was answered by its model, and is to be explained."""

    call: int
    """Unique in the life of this solver process."""
    explainer: str
    """An `ExplainerRoute` as JSON. The same explainer is the same text, by which what was compiled of it is kept."""
    content_type: str
    """Of the caller's request, as it was given; empty for none."""
    expression: str | None
    """EnableExplanations of the call, which takes the place of the configured one."""
    request: bytes
    """The caller's body."""
    answered_type: str
    """The Content-Type of the container's answer, as it was given."""
    answer: bytes
    """The container's body."""
    width: int
    """How many predictions the variant's replicas take at a time, together; at least 1."""
    within_s: float
    """What is left of the call's time."""
    wishes: str = ""
    """What else the model is told, and may go by: a prediction for one call is good for others with the same wishes."""


class Predicted(NamedTuple):
    """Gateway to solver: a container's answer to a synthetic request."""

    call: int
    number: int
    status: int
    """0 when there was none; then `body` is why, as UTF-8 text."""
    content_type: str
    body: bytes
    seconds: float
    """From when it was sent to a replica to its last byte; its wait for a replica is not in it."""


class Forget(NamedTuple):
    """Gateway to solver: nobody waits for this call any more."""

    call: int


class Predict(NamedTuple):
    """Solver to gateway: have the caller's variant predict this body, with the caller's own headers."""

    call: int
    number: int
    """Unique in the call."""
    records: int
    body: bytes


class Explained(NamedTuple):
    """Solver to gateway: the answer for the caller."""

    call: int
    body: bytes
    records: int
    """Explained ones."""
    errors: list[float]
    """Of each of these, the estimated relative error of its attributions (‖φ̂-φ‖/‖φ‖); 0.0 where they are exact."""
    predicted: int
    """Synthetic records that the model was asked for."""
    loading_s: float = 0.0
    """How long the language of its texts was loaded; 0.0 where it was there."""


class Unexplained(NamedTuple):
    """Solver to gateway: there is no explanation."""

    call: int
    kind: str
    """Whose fault it is: `caller` (ValidationError 400), `container` (it answered a synthetic request with `status`,
    which is told as of any other call), `explainer` (ModelError 424: what the model said or was given cannot be
    explained), `mooring` (InternalFailure 500)."""
    status: int
    """The container's, for kind `container`; 0 when it gave no answer."""
    message: str


Frame = Explain | Predicted | Forget | Predict | Explained | Unexplained
KINDS: dict[str, Any] = {kind.__name__: kind for kind in (Explain, Predicted, Forget, Predict, Explained, Unexplained)}


def plain(frame: Frame) -> tuple[object, ...]:
    """A frame for `attendants.batch`: marshal knows no named tuples."""
    return (type(frame).__name__, *frame)


def frame_of(said: tuple[object, ...]) -> Frame:
    """The inverse of `plain`."""
    frame: Frame = KINDS[str(said[0])](*said[1:])
    return frame
