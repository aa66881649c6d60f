"""Features as bytes in the format of a call, whichever format they were given in."""

from __future__ import annotations

import re
from typing import Any

from mooring.explainer import csv_records, json_records
from mooring.explainer.faults import Unexplainable, shown
from mooring.explainer.formats import CSV

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def rendered(value: Any, form: str, from_form: str, is_text: bool, where: str) -> bytes:
    """A feature: text of a CSV cell, or a JSON value."""
    try:
        if form == CSV:
            return csv_records.written(value if from_form == CSV else _cell(value)).encode()
        if from_form == CSV and not is_text and _JSON_NUMBER.fullmatch(value):
            return bytes(value, "ascii")
        return json_records.written(value).encode()
    except (ValueError, RecursionError) as error:
        raise Unexplainable(f"{where}: {shown(value)} cannot be written: {error}") from None


def surroundings(form: str, template: tuple[str, str] | None) -> tuple[bytes, bytes]:
    """What stands before and after the features of a record, which commas part."""
    if form == CSV:
        return b"", b""
    if template is None:
        raise Unexplainable(
            "The request is JSON Lines and the endpoint's InferenceConfig has no ContentTemplate, "
            'which says how the model is asked of other records, such as {"features":$features}.'
        )
    return f"{template[0]}[".encode(), f"]{template[1]}".encode()


def text_in(value: Any, where: str) -> str:
    """The text of a feature that is one."""
    if isinstance(value, str):
        return value
    raise Unexplainable(f"{where}: {shown(value)} is not text, which the type of this feature is.")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json_records.written(value)
