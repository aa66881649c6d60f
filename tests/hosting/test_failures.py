from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mooring.hosting.failures import LONGEST_FAILURE_REASON, failure_reason, ping_failure, with_last_lines


def test_the_last_lines_of_a_log_stand_behind_the_reason() -> None:
    told = with_last_lines("It failed.", ["loading", "  File x, line 1", "ValueError: no"])
    assert told == "It failed. Its log ends: loading | File x, line 1 | ValueError: no"
    assert with_last_lines("It failed.", []) == "It failed."


@given(st.text(max_size=1200), st.lists(st.text(max_size=400), max_size=9))
def test_a_reason_keeps_its_bound_and_the_lines_are_the_last(detail: str, lines: list[str]) -> None:
    failure = ping_failure("v", detail)
    told = with_last_lines(failure, lines)
    assert told.startswith(failure)
    assert len(told) <= max(LONGEST_FAILURE_REASON, len(failure))
    assert len(failure_reason(told)) <= LONGEST_FAILURE_REASON
    if told != failure:
        assert told.endswith(lines[-1].strip())
