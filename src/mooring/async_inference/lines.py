"""A job as a line: of a gateway's segment, and of what it tells control."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from mooring.hosting.async_inference import Job


def line_of(job: Job) -> bytes:
    """One line with its end; the body is in base64."""
    document = job.to_document()
    if job.body is not None:
        document["body"] = b64encode(job.body).decode("ascii")
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def job_of(line: bytes | str) -> Job:
    """The inverse. Raises ValueError or TypeError for what is no such line."""
    document: dict[str, Any] = json.loads(line)
    if not isinstance(document, dict):
        raise TypeError("a job is a JSON object")
    body = document.get("body")
    return Job(**{**document, "body": None if body is None else b64decode(body, validate=True)})
