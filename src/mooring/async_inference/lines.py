"""A job as a line: of a gateway's segment, and of what it tells control.

What a disk gives back may be anything, so a line is a job only when each member is of its kind: the queue could not
hold another, and would stumble over it again and again.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any, get_args, get_type_hints

from mooring.hosting.async_inference import Job

LARGEST_NUMBER = 1e11
"""More seconds than any clock has, or any call may wait."""
_KINDS: dict[str, tuple[type, ...]] = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(Job).items()}


def line_of(job: Job) -> bytes:
    """One line with its end; the body is in base64."""
    document = job.to_document()
    if job.body is not None:
        document["body"] = b64encode(job.body).decode("ascii")
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def job_of(line: bytes | str) -> Job:
    """The inverse. Raises ValueError or TypeError for what is no such line."""
    try:
        document: dict[str, Any] = json.loads(line)
    except RecursionError:
        raise ValueError("a job is not so deep") from None
    if not isinstance(document, dict):
        raise TypeError("a job is a JSON object")
    body = document.get("body")
    members = {**document, "body": None if body is None else b64decode(body, validate=True)}
    for name, value in members.items():
        _check(name, value)
    return Job(**members)


def _check(name: str, value: Any) -> None:
    kinds, kind = _KINDS.get(name, ()), type(value)
    if kind not in kinds and not (kind is int and float in kinds):
        raise TypeError(f"a job has no {name} of the type {kind.__name__}")
    if kind is str:
        value.encode()  # a ValueError for what is no text
    elif kind in (int, float) and not abs(value) <= LARGEST_NUMBER:
        raise ValueError(f"{name} is too large")
