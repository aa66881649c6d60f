"""Expressions that do not compile: what is said of them, above all of what other languages would take."""

from __future__ import annotations

import pytest

from mooring.explainer.expressions import BadExpression, compiled

QUOTED = "a name with other characters than letters, digits and _ stands in double quotes"


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("[1]>0.5", " at position 4: invalid token; a number stands in backquotes, as in [0]>`0.5`"),
        ("score > -1e-3", " at position 8: invalid token; a number stands in backquotes, as in [0]>`0.5`"),
        ("p > .5", " at position 4: invalid token; a number stands in backquotes, as in [0]>`0.5`"),
        ("a and b", " at position 2: Unexpected token: and; JMESPath has && and ||"),
        ("a android", " at position 2: Unexpected token: android"),
        ("label=`1`", " at position 5: Unknown token '='; JMESPath compares with =="),
        ("predicted-label==`1`", f" at position 9: Unknown token '-'; {QUOTED}"),
        ("[1] - [0]", " at position 4: Unknown token '-'"),
        ("$.features", " at position 0: Unknown token $; a path begins with a name"),
        ("[0]>`0.5", " at position 4: Unclosed ` delimiter"),
        ("[0]>", " at position 4: it ends too early"),
        ("", ": Invalid JMESPath expression: cannot be empty."),
    ],
)
def test_what_does_not_compile_is_told_with_what_would_do(expression: str, said: str) -> None:
    with pytest.raises(BadExpression) as refused:
        compiled(expression)
    assert str(refused.value) == f"{expression!r} is not a JMESPath expression{said}"
