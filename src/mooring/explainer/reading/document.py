"""The document that every call of an endpoint with an explainer is answered with, but for what explains it.

A call that says by itself that it explains nothing needs nobody to look at any record. The gateway answers such a call
here, so that plain predictions wait for no explanation, and are there also while none can be made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mooring.explainer.faults import Unexplainable
from mooring.explainer.reading.formats import format_of

VERSION = "1.0"
PLAIN_BYTES = 64 * 1024
"""An answer up to here is put into a document by a gateway; larger ones would hold up its loop."""


def document(answered_type: str, answer: bytes, labels: list[str] | None) -> dict[str, Any]:
    """Without `explanations`, which come last."""
    said: dict[str, Any] = {
        "version": VERSION,
        "predictions": {"content_type": answered_type, "data": answer.decode("utf-8", "replace")},
    }
    if labels is not None:
        said["label_headers"] = labels
    return said


def written(said: Mapping[str, Any]) -> bytes:
    """As the service writes it."""
    try:
        return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair in a text of the caller's
        return json.dumps(said, separators=(",", ":")).encode()


def plain_document(config: Mapping[str, Any], content_type: str, answered_type: str, answer: bytes) -> bytes | None:
    """The answer to a call that explains nothing; None where somebody has to look into it, or to refuse it.

    `config` is the ClarifyExplainerConfig.
    """
    inference = config.get("InferenceConfig") or {}
    if len(answer) > PLAIN_BYTES or "LabelIndex" in inference or "LabelAttribute" in inference:
        return None
    try:
        format_of(content_type, "The request", "caller")
    except Unexplainable:
        return None
    return written({**document(answered_type, answer, inference.get("LabelHeaders")), "explanations": {}})
