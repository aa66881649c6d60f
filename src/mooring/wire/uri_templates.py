"""A model's `requestUri`, such as `/endpoints/{EndpointName}/invocations`, made to hold raw paths against."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_LABEL = re.compile(r"\{(\w+)(\+?)\}")


class UriTemplate:
    """Matches whole raw paths; a label spans one segment, a greedy label (`{Key+}`) several."""

    def __init__(self, request_uri: str) -> None:
        path = request_uri.partition("?")[0]
        parts, at = [], 0
        self._labels: list[str] = []
        for label in _LABEL.finditer(path):
            parts += [re.escape(path[at : label.start()]), "(.+)" if label[2] else "([^/]+)"]
            self._labels.append(label[1])
            at = label.end()
        parts.append(re.escape(path[at:]))
        self._expression = re.compile("".join(parts).encode("ascii"), re.DOTALL)

    def match(self, path: bytes) -> dict[str, str] | None:
        """The labels, percent-decoded, or None; bytes that are no UTF-8 become U+FFFD, which no pattern admits."""
        found = self._expression.fullmatch(path)
        if found is None:
            return None
        return {
            label: unquote_to_bytes(value).decode("utf-8", "replace")
            for label, value in zip(self._labels, found.groups(), strict=True)
        }
