"""CloudWatch Logs' filter patterns: terms, phrases, exclusions and alternatives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.hosting.filter_patterns import filter_pattern

LINE = '[ERROR] 400 Bad "Request" in x-y'


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", True),
        ("  ", True),
        ('""', True),
        ("ERROR", True),
        ("error", False),
        ("ERROR 400", True),
        ("ERROR 500", False),
        ('"400 Bad"', True),
        ('"Bad 400"', False),
        ("ERROR -500", True),
        ("ERROR -400", False),
        ("-ERROR", False),
        ('-"Bad Request"', True),
        ("?WARN ?ERROR", True),
        ("?WARN ?FATAL", False),
        ('?WARN ?"400 Bad"', True),
        ("?WARN ERROR", False),
        ("x-y", True),
        (r'"Bad \"Request\""', True),
        ("\tERROR\n400 ", True),
    ],
)
def test_a_pattern_finds_lines(pattern: str, found: bool) -> None:
    assert filter_pattern(pattern).matches(LINE) is found


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{ $.level = ERROR }", "not a pattern for JSON"),
        ("[ip, user]", "not a pattern for columns"),
        ("%ERR.*%", "not a regular expression"),
        ('"open', "Invalid filter pattern"),
        ('a "b"c', "Invalid filter pattern"),
    ],
)
def test_other_patterns_are_refused(pattern: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        filter_pattern(pattern)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_a_pattern_or_refused(pattern: str, line: str) -> None:
    try:
        filter_pattern(pattern).matches(line)
    except Refused as error:
        assert "Invalid filter pattern" in str(error)


@given(st.text(min_size=1, max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_quoted_phrase_is_found_in_a_line_that_holds_it(phrase: str, before: str, behind: str) -> None:
    escaped = phrase.replace("\\", "\\\\").replace('"', '\\"')
    assert filter_pattern(f'"{escaped}"').matches(before + phrase + behind)
    assert not filter_pattern(f'-"{escaped}"').matches(before + phrase + behind)
