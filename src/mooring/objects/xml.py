"""The XML of S3: small documents out, small and distrusted documents in.

In: a document type is refused before it can declare an entity, depth and size are bounded. Out: every value is escaped,
control characters as references, as S3 itself does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Union
from xml.parsers import expat

from mooring.objects.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
HEADER = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_DEEPEST = 8
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_SPECIAL = re.compile(r'[&<>"\x00-\x1f\x7f￾￿]')

Value = Union[str, int, bool, None, "list[Field]"]
Field = tuple[str, Value]
"""One element: its name, and its text or its children."""


def document(name: str, fields: Iterable[Field], *, namespace: bool = True) -> bytes:
    """A whole document. A field without value (None) is left out."""
    attribute = f' xmlns="{NAMESPACE}"' if namespace else ""
    return HEADER + f"<{name}{attribute}>{_content(fields)}</{name}>".encode()


def _content(fields: Iterable[Field]) -> str:
    return "".join(f"<{name}>{_text(value)}</{name}>" for name, value in fields if value is not None)


def _text(value: Value) -> str:
    if isinstance(value, list):
        return _content(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0]) or f"&#x{ord(found[0]):x};", str(value))


@dataclass(slots=True)
class Element:
    """A parsed element, its name without namespace."""

    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, name: str) -> list[Element]:
        """The children of this name."""
        return [child for child in self.children if child.name == name]

    def value(self, name: str) -> str | None:
        """The text of the only child of this name; None when there is none."""
        found = self.all(name)
        if len(found) > 1:
            raise S3Error("MalformedXML")
        return found[0].text if found else None


class _Builder:
    def __init__(self) -> None:
        self.root = Element("")
        self._open = [self.root]

    def start(self, name: str, _: object) -> None:
        if len(self._open) > _DEEPEST:
            raise S3Error("MalformedXML")
        element = Element(name.rpartition(" ")[2])
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _: str) -> None:
        self._open.pop()

    def text(self, data: str) -> None:
        self._open[-1].text += data

    @staticmethod
    def refuse(*_: object) -> None:
        raise S3Error("MalformedXML")


def parse(body: bytes, name: str) -> Element:
    """The root element, which must have this name; `MalformedXML` for anything odd."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, LookupError, ValueError):  # the last two: an encoding unknown, or of several bytes
        raise S3Error("MalformedXML") from None
    root = builder.root.children[0]
    if root.name != name:
        raise S3Error("MalformedXML")
    return root
