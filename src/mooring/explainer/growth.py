"""How much larger than what it is given a JMESPath expression may make what it works on.

Sixty-four characters are enough to copy an array a thousand times (`[@,@,@][]|[@,@,@][]|…`). What an expression may do
with a record is therefore bounded beforehand, by its growth times the length of the record: nothing is made that would
be too much, and nobody has to be interrupted.
"""

from __future__ import annotations

from math import prod
from typing import Any

from jmespath.functions import Functions, signature

LARGEST = 1 << 25
"""Characters: growth by length."""
JOINED = 1 << 16
"""Characters that `join` puts between texts, all together."""

_OF_ALL = ("multi_select_list", "multi_select_dict")
_ONE_AFTER_THE_OTHER = (
    "pipe", "subexpression", "index_expression", "projection", "value_projection", "filter_projection",
)  # fmt: skip


def growth(node: dict[str, Any]) -> int:
    """Of an expression, as JMESPath parses it: by how much what it makes can be larger than what it is given."""
    children = [growth(each) for each in node["children"] if isinstance(each, dict)]
    kind = node["type"]
    if kind in _OF_ALL:
        return max(1, sum(children))
    if kind in _ONE_AFTER_THE_OTHER:
        return prod(children)
    if kind == "function_expression":
        arguments = [(of, child["type"] == "expref") for of, child in zip(children, node["children"], strict=True)]
        for_each = prod(of for of, is_reference in arguments if is_reference)
        return for_each * max(1, sum(of for of, is_reference in arguments if not is_reference))
    return max(children, default=1)


class BoundedFunctions(Functions):  # type: ignore[misc]
    """JMESPath's own, of which one alone makes more than it is given."""

    @signature({"types": ["string"]}, {"types": ["array-string"]})  # type: ignore[untyped-decorator]
    def _func_join(self, separator: str, texts: list[str]) -> str:
        if len(separator) * len(texts) > JOINED:
            raise ValueError(f"join puts more than {JOINED} characters between texts")
        return separator.join(texts)
