"""Content types: what was sent, what is wanted, and the error when nothing fits.

AWS's scikit-learn and XGBoost containers compare types exactly, so `text/csv; charset=utf-8` is unsupported there. The
defaults here drop parameters before they compare and try each type of an Accept list in turn. A script's own functions
still get the headers as they were sent.
"""

from __future__ import annotations

import os
from typing import Iterable

JSON = "application/json"
JSON_LINES = "application/jsonlines"
CSV = "text/csv"
NPY = "application/x-npy"
NPZ = "application/x-npz"
ANY = "*/*"
UTF8_TYPES = (JSON, CSV)
DEFAULT_ACCEPT = "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"


class UnsupportedFormatError(Exception):
    """A content type that the defaults cannot read or write. The class's name is on the wire."""

    def __init__(self, content_type: str | None, supported: Iterable[str] = ()) -> None:
        known = ", ".join(supported)
        super().__init__(
            f"Content type {content_type} is not supported by this framework.\n\n"
            "Please implement input_fn to to deserialize the request data or an output_fn to\n"
            "serialize the response. For more information, see the SageMaker Python SDK README."
            + (f"\n\nWithout them these are: {known}." if known else "")
        )


def media_type(content_type: str | None) -> str:
    """A content type in lower case and without its parameters."""
    return (content_type or "").partition(";")[0].strip().lower()


def wanted(accept: str | None, fallback: str = JSON) -> str:
    """The Accept header, or the container's default when it is missing or says anything will do."""
    if accept is None or accept.strip() in ("", ANY):
        return os.environ.get(DEFAULT_ACCEPT) or fallback
    return accept


def choose(accept: str, supported: Iterable[str], fallback: str = JSON) -> str:
    """The first type of an Accept list that is supported; raises UnsupportedFormatError."""
    for part in accept.split(","):
        name = media_type(part)
        if name == ANY:
            return fallback
        if name in supported:
            return name
    raise UnsupportedFormatError(accept, supported)


def with_charset(content_type: str) -> str:
    """As Flask says it: text has a charset, JSON has none."""
    lowered = content_type.lower()
    bare_text = lowered.startswith("text/") and "charset" not in lowered
    return content_type + "; charset=utf-8" if bare_text else content_type
