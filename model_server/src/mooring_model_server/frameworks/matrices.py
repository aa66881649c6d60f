"""CSV and LIBSVM bodies as XGBoost matrices.

LIBSVM is read here and not by XGBoost, whose newer versions read no text. Its indices are columns as they stand, and a
column that a row does not name is missing. `application/x-recordio-protobuf` is not read: it is answered with 415.
"""

from __future__ import annotations

import csv
from typing import Any

from mooring_model_server.formats import as_text
from mooring_model_server.negotiation import CSV, UnsupportedFormatError, media_type

LIBSVM_TYPES = ("text/libsvm", "text/x-libsvm")
SNIFFED = 512


def matrix(body: bytes | str, content_type: str | None, columns: int | None = None) -> Any:
    """A DMatrix of one thread; `columns` widens what LIBSVM leaves out at the right. Raises UnsupportedFormatError."""
    import xgboost

    kind = media_type(content_type)
    if kind == CSV:
        return xgboost.DMatrix(_dense(as_text(body)))
    if kind in LIBSVM_TYPES:
        return xgboost.DMatrix(_sparse(as_text(body), columns))
    raise UnsupportedFormatError(content_type, (CSV, *LIBSVM_TYPES))


def _dense(text: str) -> Any:
    import numpy as np

    rows = text.strip("\r\n").splitlines()
    delimiter = _delimiter(rows[0][:SNIFFED]) if rows else ","
    cells = [[cell.strip() or "nan" for cell in row.split(delimiter)] for row in rows]
    return np.array(cells).astype("float32")


def _delimiter(row: str) -> str:
    try:
        found = csv.Sniffer().sniff(row).delimiter
    except csv.Error:  # one column
        return ","
    return "," if found.isalnum() or found in ".-+" else found


def _sparse(text: str, columns: int | None) -> Any:
    import numpy as np
    from scipy.sparse import csr_matrix

    values: list[float] = []
    indices: list[int] = []
    starts = [0]
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        for word in words:
            index, colon, value = word.partition(":")
            if not colon or index == "qid":
                continue  # the label, or a weight, or a query's name
            if not index.isdigit():
                raise ValueError(f"line {number}: {word[:40]!r} is not index:value")
            indices.append(int(index))
            values.append(float(value))
        if words:
            starts.append(len(values))
    width = max([columns or 0, *(index + 1 for index in indices)])
    return csr_matrix((np.array(values, "float32"), indices, starts), shape=(len(starts) - 1, width))
