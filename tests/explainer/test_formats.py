"""CSV, JSON Lines and lists in cells: nothing is lost, and anything hostile is refused and told."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.faults import SHOWN, Unexplainable, shown
from mooring.explainer.reading import csv_records, json_records
from mooring.explainer.reading.formats import format_of, text_of
from mooring.explainer.reading.literals import LONGEST, list_of, number_of

CELL = st.text(st.characters(blacklist_categories=["Cs"]) | st.sampled_from("\",\r\n \0;'é😀"), max_size=8)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.text(max_size=6) | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def rows(text: str) -> list[list[str]]:
    return [csv_records.cells_of(row) for row in csv_records.rows_of(text, "It", "caller")]


# Content types


@pytest.mark.parametrize("said", ["", "text/csv", "TEXT/CSV; charset=utf-8", " text/csv ;header=absent"])
def test_a_body_is_csv_where_its_type_says_so_or_nothing(said: str) -> None:
    assert format_of(said, "The request", "caller") == "text/csv"


@pytest.mark.parametrize("said", ["application/json", "text/plain", "application/x-npy", ";", "csv"])
def test_another_type_is_refused_by_its_name(said: str) -> None:
    if said == ";":
        assert format_of(said, "The request", "caller") == "text/csv"
        return
    with pytest.raises(Unexplainable) as refused:
        format_of(said, "The request", "caller")
    assert refused.value.kind == "caller"
    assert str(refused.value) == (
        f"The request has the Content-Type '{said}'; only text/csv and application/jsonlines can be explained."
    )


def test_a_byte_order_mark_is_no_text() -> None:
    assert text_of(b"\xef\xbb\xbf1,2", "It", "caller") == "1,2"
    with pytest.raises(Unexplainable, match="The request is not UTF-8 text: byte 2 cannot be read"):
        text_of(b"1,\xff", "The request", "caller")


# CSV


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1,2,3,4", [["1", "2", "3", "4"]]),
        ("1,2\r\n3,4\r\n", [["1", "2"], ["3", "4"]]),
        ("1,2\r3,4", [["1", "2"], ["3", "4"]]),
        ("\n1,2\n\n\n3,4\n\n", [["1", "2"], ["3", "4"]]),
        ('"This is a good product",5', [["This is a good product", "5"]]),
        ('"a\nb","c""d"\n,\n', [["a\nb", 'c"d'], ["", ""]]),
        ('""\n""', [[""], [""]]),
        ("I am 5'6\" tall,3", [["I am 5'6\" tall", "3"]]),
        ("\u2028,\x0b,\x1c", [["\u2028", "\x0b", "\x1c"]]),
        ("", []),
    ],
)
def test_csv_is_read_as_rfc_4180_has_it(text: str, found: list[list[str]]) -> None:
    assert rows(text) == found


@pytest.mark.parametrize("text", ['1,"2', '"1"2,3', '"'])
def test_broken_quotes_are_refused(text: str) -> None:
    with pytest.raises(Unexplainable, match="It is not CSV: .*, at line 1"):
        rows(text)


@given(st.lists(st.lists(CELL, min_size=1, max_size=4), max_size=4))
def test_what_is_written_is_read_again(table: list[list[str]]) -> None:
    text = "\n".join(",".join(csv_records.written(cell, alone=len(row) == 1) for cell in row) for row in table)
    assert rows(text) == table


@given(
    st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters='"') | st.sampled_from(",\r\n"), max_size=30
    )
)
def test_without_quotes_lines_are_what_the_reader_of_python_finds(text: str) -> None:
    assert rows(text) == [row for row in csv.reader(io.StringIO(text, newline="")) if row]


def test_a_cell_may_be_larger_than_the_module_csv_takes_by_itself() -> None:
    assert rows('"' + "x" * 1_000_000 + '",1') == [["x" * 1_000_000, "1"]]


# JSON Lines


@pytest.mark.parametrize(
    "text", ["[1,1.0,1e5,1E+5,-0,-0.0,12345678901234567890123,0.1000]", '[null,true,"a\\nb",[1.50],{"k":2.0}]', "[NaN]"]
)
def test_numbers_keep_their_text(text: str) -> None:
    assert json_records.written(json_records.value_of(text, "It", "caller")) == text


@given(JSON_VALUE)
def test_any_value_is_written_as_it_was_read(value: Any) -> None:
    text = json_records.written(json_records.value_of(json.dumps(value), "It", "caller"))
    assert json.loads(text) == value


def test_half_a_surrogate_pair_is_escaped() -> None:
    assert json_records.written(json_records.value_of('["\\ud800"]', "It", "caller")) == '["\\ud800"]'


def test_lines_that_are_blank_are_no_records() -> None:
    assert json_records.rows_of('\n{"a":1}\r\n \t\n[2]\n') == ['{"a":1}\r', "[2]"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_json_is_refused(text: str) -> None:
    with pytest.raises(Unexplainable, match="It is nested too deeply"):
        json_records.value_of(text, "It", "caller")


def test_what_is_not_json_is_refused_with_its_place() -> None:
    with pytest.raises(Unexplainable, match="Record 3 is not JSON: Expecting value: line 1 column 5"):
        json_records.value_of("[1, x]", "Record 3", "caller")


@pytest.mark.parametrize("value", [{"f": [1, 2]}, [1, "a"], [[1, 2], [3]], {"a": {"b": []}, "c": 1}])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_json_over_several_lines_is_told_from_other_faults(value: Any, end: str) -> None:
    lines = json_records.rows_of(json.dumps(value, indent=2).replace("\n", end))
    for read in (json_records.value_of, json_records.skimmed):
        with pytest.raises(Unexplainable, match="each record is on one line of its own, as a whole"):
            read(lines[0], "Record 0", "caller")
    for other in ("[1, x]", "[1] 2", "x", '"a', "[1,2,]"):
        with pytest.raises(Unexplainable) as refused:
            json_records.value_of(other, "Record 0", "caller")
        assert "is on one line" not in str(refused.value)


def test_numbers_are_numbers_to_jmespath() -> None:
    import jmespath

    value = json_records.value_of('{"a":[3,1.0,2]}', "It", "caller")
    assert json_records.written(jmespath.search("sort(a)", value)) == "[1.0,2,3]"
    assert jmespath.search("type(a[0])", value) == "number"


# Lists and numbers in cells


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("['cat','dog','fish']", ["cat", "dog", "fish"]),
        ('["cat", "dog"]', ["cat", "dog"]),
        ("[0.1,0.6,0.3]", [0.1, 0.6, 0.3]),
        (" (1, 2) ", [1, 2]),
        ("[]", []),
        (r"['it\'s']", ["it's"]),
        ("[['a', 0.5], ('b', -1e-3), [], [[None]]]", [["a", 0.5], ("b", -0.001), [], [[None]]]),
        ("['a',]", ["a"]),
        ("['a' 'b']", None),
        ("[1+1j]", None),
        (r'["a\/b"]', ["a\\/b"]),
        ("[true, null]", [True, None]),
        ("0.5", None),
        ("[0.1 0.2]", None),
        ("[__import__('os').system('true')]", None),
        ("{'a': 1}", None),
        ("[1]+[2]", None),
        ("[NaN", None),
    ],
)
def test_a_list_is_read_in_the_form_of_python_or_json(text: str, found: list[Any] | None) -> None:
    assert list_of(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "(" * 50_000,
        "['" + "x" * LONGEST + "']",
        "[" + "-" * 60_000 + "1]",
        "[" + "1+" * 30_000 + "1]",
        "[" + "not " * 15_000 + "1]",
        "[a" + ".a" * 30_000 + "]",
        "[f'" + "{1}" * 20_000 + "']",
        "[" + "'a' " * 15_000 + "]",
        "[1" + " if 1 else 1" * 5_000 + "]",
        "[" + "'" * 60_000 + "]",
        "[" + "[1]," * 10_000,
        "[[[[1]]]]".replace("1", "'a'"),
        "[" + "9" * 50_000 + "]",
        "[\0]",
        "['\\",
    ],
)
def test_hostile_lists_are_no_lists(text: str) -> None:
    assert list_of(text) is None


@given(st.text(max_size=30) | st.text("[]()'\",\\ 1.e-+{}:ab#\n", max_size=40).map(lambda text: "[" + text))
def test_a_cell_never_breaks_its_readers(text: str) -> None:
    assert list_of(text) is None or isinstance(list_of(text), list)
    assert number_of(text) is None or isinstance(number_of(text), int | float)


@given(st.lists(st.floats(allow_nan=False) | st.integers() | st.text(max_size=5), max_size=5))
def test_a_list_of_python_is_read_as_python_wrote_it(values: list[Any]) -> None:
    text = str(values)
    if "inf" not in text:
        assert list_of(text) == values


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("-0.5", -0.5),
        ("1e5", 1e5),
        (" 2 ", 2),
        ("+3", 3),
        ("1_000", None),
        ("", None),
        ("x", None),
        ("١", None),
    ],
)
def test_a_number_is_what_a_container_writes(text: str, number: float | None) -> None:
    assert number_of(text) == number


def test_a_giant_number_is_read_at_once() -> None:
    assert number_of("9" * 1_000_000) == float("inf")


@given(JSON_VALUE)
def test_a_shown_value_is_short_and_on_one_line(value: Any) -> None:
    text = shown(value)
    assert len(text) <= SHOWN
    assert "\n" not in text
