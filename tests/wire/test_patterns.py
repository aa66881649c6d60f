from __future__ import annotations

import re
import subprocess
import sys
import unicodedata
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.wire import character_classes
from mooring.wire.patterns import UnsupportedPattern, matcher, translated
from mooring.wire.service_models import service_model
from mooring.wire.shapes import Shape
from tests.wire.botocore_half import CALM

NAME = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
TAG = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)"
ROLE = r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"


@pytest.mark.parametrize(
    ("pattern", "value", "matches"),
    [
        (NAME, "my-endpoint", True),
        (NAME, "", False),
        (NAME, "-a", False),
        (NAME, "a-", False),
        (NAME, "a\n", False),
        (TAG, "", True),
        (TAG, "Grüße 東京 ٣", True),
        (TAG, "a&b", False),
        (TAG, "a\u00a0b\u2028", True),
        (ROLE, "arn:aws:iam::123456789012:role/service-role/X", True),
        (ROLE, "arn:aws:iam::\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669\u0660\u0661\u0662:role/X", False),
        (r"\A\S[\p{Print}]*\z", "shadow test, index 17", True),
        (r"\A\S[\p{Print}]*\z", " leading", False),
        (r"\A\S[\p{Print}]*\z", "tab\there", False),
        (r"\p{ASCII}*", "text/csv; charset=utf-8", True),
        (r"\p{ASCII}*", "é", False),
        (".*", "one line", True),
        (".*", "two\nlines", False),
        (".*", "two\u2028lines", False),
        (r"[\S\s]*", "two\nlines", True),
        (r"(?!\s*$).+", "alarm", True),
        (r"(?!\s*$).+", "   ", False),
        (r"^(NEW_SESSION)$|^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", "NEW_SESSION", True),
        (r"^(NEW_SESSION)$|^[a-zA-Z0-9](-*[a-zA-Z0-9])*$", "NEW_SESSION\n", False),
        (r"^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$", "a/b.out", True),
        (r"^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$", "s3:a", False),
        (r"[a-zA-Z0-9]([a-zA-Z0-9-]){0,62}(?<!-)", "abc-", False),
        (r"\P{L}+", "123", True),
        (r"\P{L}+", "1a3", False),
        (r"[^\p{L}]", "1", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a\U0001f600\t", True),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", "a\n", False),
        (r"[\x21-\x7E]+", "a b", False),
        (r"[a[b&~|-]+", "[&~|-ab", True),
        (r"a++b", "aaab", True),
        (r"(?<year>\d{4})", "2026", True),
        (r"\x{1F600}", "\U0001f600", True),
        (r"[+--]", ",", True),
    ],
)
def test_a_pattern_means_what_it_means_in_java(pattern: str, value: str, matches: bool) -> None:
    assert matcher(pattern)(value) is matches


@pytest.mark.parametrize("pattern", [r"\p{InGreek}", "[a&&b]", r"[\w-", r"\q", r"[a-\d]", "\\"])
def test_what_cannot_be_translated_is_told_and_lets_everything_pass(
    pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UnsupportedPattern):
        translated(pattern)
    assert matcher.__wrapped__(pattern)("anything")
    assert "is not checked" in caplog.text


def all_patterns() -> set[str]:
    models = [service_model(name) for name in ("sagemaker", "sagemaker-runtime", "sts")]
    shapes: list[Shape] = [model.shapes.shape(name) for model in models for name in model.shapes.names()]
    return {shape.pattern for shape in shapes if shape.pattern is not None}


def test_every_pattern_of_the_models_compiles_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pattern in all_patterns():
            re.compile(translated(pattern), re.ASCII)


@CALM
@given(st.characters())
def test_a_category_is_unicodedatas(character: str) -> None:
    category = unicodedata.category(character)
    assert matcher(rf"\p{{{category}}}")(character)
    assert matcher(rf"[\p{{{category[0]}}}]")(character)
    assert not matcher(rf"\P{{{category[0]}}}")(character)


@CALM
@given(st.sets(st.integers(0, 60), max_size=20))
def test_a_complement_is_all_the_rest(points: set[int]) -> None:
    ranges = character_classes.merged((point, point) for point in points)
    spelled = {p for low, high in ranges for p in range(low, high + 1)}
    rest = character_classes.complement(ranges)
    assert spelled == points
    assert not any(low <= point <= high for low, high in rest for point in points)
    assert sum(high - low + 1 for low, high in rest) == character_classes.LAST + 1 - len(points)


def test_no_hosting_pattern_can_be_made_to_run_for_long() -> None:
    """In a process of its own, which a pattern that backtracks without end would hang; the alarm ends it then."""
    program = """
import signal; signal.alarm(40)
from mooring.wire.service_models import service_model
from mooring.wire.shapes import Structure, ListShape, MapShape
from mooring.wire.validation import failed_constraints
from tests.wire.botocore_half import HOSTING, RUNTIME
def leaves(shape, seen):
    if shape.name in seen: return
    seen.add(shape.name)
    if isinstance(shape, Structure): inner = [m.shape for m in shape.members.values()]
    elif isinstance(shape, ListShape): inner = [shape.element.shape]
    elif isinstance(shape, MapShape): inner = [shape.key.shape, shape.value.shape]
    else: inner = []; yield shape
    for s in inner: yield from leaves(s, seen)
shapes, seen = [], set()
for service, names in (("sagemaker", HOSTING), ("sagemaker-runtime", RUNTIME)):
    for name in names: shapes += leaves(service_model(service).operation(name).input, seen)
starts = ["", "a", "arn:aws:sagemaker:us-east-1:123456789012:model-package/", "s3://", "text/", "/"]
middles = ["a", "-", "a-", "--a", "/", ":", ".", " ", "0", "\\u00e9", "a/"]
for shape in shapes:
    if shape.pattern is None: continue
    top = int(shape.maximum or 60_000)
    for start in starts:
        for middle in middles:
            for size in (64, top, 4 * top, 200_000):
                failed_constraints(shape, start + middle * (size // len(middle)) + "!\\n")
print("done")
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=50, check=False, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
