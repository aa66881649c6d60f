"""The two formats that are explained, CSV and JSON Lines, told by a Content-Type without its parameters."""

from __future__ import annotations

from mooring.explainer.faults import Unexplainable

CSV = "text/csv"
JSON_LINES = "application/jsonlines"
KNOWN = (CSV, JSON_LINES)


def format_of(content_type: str, whose: str, fault: str) -> str:
    """`whose` and `fault` are for the refusal: the request of a caller, or the answer of a model. None said is CSV."""
    found = content_type.partition(";")[0].strip().lower() or CSV
    if found in KNOWN:
        return found
    remedy = "" if fault == "caller" else " The Accept of a call asks the model for one of them."
    raise Unexplainable(
        f"{whose} has the Content-Type {content_type.strip()!r}; only {CSV} and {JSON_LINES} can be explained.{remedy}",
        fault,
    )


def text_of(body: bytes, whose: str, fault: str) -> str:
    """UTF-8, with or without a byte order mark."""
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unexplainable(f"{whose} is not UTF-8 text: byte {error.start} cannot be read.", fault) from None
