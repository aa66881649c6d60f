"""Features as bytes in the format of a call, whichever format they were given in."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from mooring.explainer.faults import Unexplainable, shown
from mooring.explainer.reading import csv_records, json_records
from mooring.explainer.reading.baseline import NUMERICAL, TEXT
from mooring.explainer.reading.formats import CSV
from mooring.explainer.reading.literals import number_of

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


class Rendering(NamedTuple):
    """How features are written in calls of one format."""

    form: str
    """Of the call."""
    alone: bool
    """Whether records have one feature only."""

    def rendered(self, value: Any, from_form: str, kind: str) -> bytes:
        """A feature of this type, which is text of a CSV cell or a JSON value. ValueError when it cannot be written."""
        if self.form == CSV:
            text = value if from_form == CSV else _cell(value)
            return csv_records.written(text, alone=self.alone).encode()
        if from_form == CSV and kind != TEXT and _JSON_NUMBER.fullmatch(value):
            return bytes(value, "ascii")
        if from_form == CSV and kind == NUMERICAL:  # a number in another form than JSON's, such as +1 or .5
            return json.dumps(number_of(value)).encode()
        return json_records.written(value).encode()

    def rendered_text(self, text: str) -> bytes:
        """A feature that is text, of a record of the call."""
        return self.rendered(text, self.form, TEXT)


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
