"""Why a job failed: AWS's words, with what a person can act on.

What may be tried again is no failure of a job; those are told apart by where they are raised (`Away`, `Problem`).
"""

from __future__ import annotations

from mooring.errors import MooringError, Unavailable

_SEE = "See the SageMaker Endpoint logs in your account for more information."
BROKEN = (
    "ClientError: Received server error (0) from model: it closed the connection before its answer was complete. "
    f"{_SEE}"
)
MALFORMED = f"ClientError: Received server error (0) from model: its response is not valid HTTP. {_SEE}"
ENDED = "The endpoint does not exist any more, or takes no asynchronous invocations since an update."


class Problem(MooringError):
    """A job fails for good; the text is its `failureReason`."""


class Away(Unavailable):
    """Something that the job needs is not there just now: the same again, later."""


def model_error(status: int) -> str:
    """The model answered with an error."""
    side = "client" if 400 <= status < 500 else "server"
    return f"ClientError: Received {side} error ({status}) from model. {_SEE}"


def timed_out(timeout_s: int) -> str:
    """The model did not answer within the job's InvocationTimeoutSeconds."""
    return (
        f"ClientError: Your invocation timed out while waiting for a response from model: it took more than {timeout_s}"
        f" seconds (InvocationTimeoutSeconds). {_SEE}"
    )


def lost(times: int) -> str:
    """Every instance that had the job ended during the call."""
    return f"ClientError: The instance ended while it processed the request, {times} times. {_SEE}"


def answer_too_long(limit: int) -> str:
    """The model's answer is larger than a payload may be."""
    return (
        f"ClientError: The response of the model is larger than {limit} bytes, which is the most for a payload. {_SEE}"
    )


def expired(ttl_s: int) -> str:
    """The job waited for longer than its RequestTTLSeconds."""
    return f"ClientError: The request was not processed within {ttl_s} seconds (RequestTTLSeconds) and has expired."


def no_input(location: str, why: str) -> str:
    """The input cannot be read."""
    return f"ClientError: Failed to download the input from {location}: {why}."


def input_too_long(location: str, length: int, limit: int) -> str:
    """The input is larger than a payload may be."""
    return no_input(location, f"it has {length} bytes, and {limit} are the most for a payload")


def not_written(location: str, why: str) -> str:
    """S3 refuses the output."""
    return f"ClientError: Failed to upload the response of the model to {location}: {why}."


def unwritten(reason: str, location: str, why: str) -> str:
    """S3 refuses the failure object too, where the caller looks for it."""
    return f"{reason} This failure could not be written to {location}: {why}."
