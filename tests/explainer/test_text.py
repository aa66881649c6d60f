"""Units of text, against spaCy's own and against what they claim to be."""

from __future__ import annotations

import subprocess
import sys

import botocore.session
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.explainer.reading import text as room
from mooring.explainer.reading.text import BadText, MaskedText, Unit, units

LANGUAGES = sorted(botocore.session.get_session().get_service_model("sagemaker").shape_for("ClarifyTextLanguage").enum)
GRANULARITIES = ("token", "sentence", "paragraph")
GOLDEN = "Good.  Bad!\n\nNew para, v-neck..."
ANYTHING = st.text(
    st.one_of(st.characters(), st.sampled_from(" \n\t\r\0.!?\"'-,;:/@😀\u200b\u3000\ud800\udfff我é。։क।")), max_size=60
)


def check(text: str, language: str, granularity: str) -> list[Unit]:
    found = units(text, language, granularity)
    assert found
    end = 0
    for unit in found:
        assert unit.start >= end
        end = unit.start + len(unit.text)
        assert text[unit.start : end] == unit.text
    masked = MaskedText(text, found)
    assert masked.masked([True] * len(found), "<MASK>") == text
    assert masked.masked([False] * len(found), "") == "".join(left_over(text, found))
    return found


def left_over(text: str, found: list[Unit]) -> list[str]:
    inside = {place for unit in found for place in range(unit.start, unit.start + len(unit.text))}
    return [each for place, each in enumerate(text) if place not in inside]


def test_golden_tokens() -> None:
    assert check(GOLDEN, "en", "token") == [
        ("Good", 0),
        (".", 4),
        (" ", 6),
        ("Bad", 7),
        ("!", 10),
        ("\n\n", 11),
        ("New", 13),
        ("para", 17),
        (",", 21),
        ("v", 23),
        ("-", 24),
        ("neck", 25),
        ("...", 29),
    ]
    assert [unit.text for unit in units("I'm 5'6\", don't", "en", "token")] == ["I", "'m", "5'6", '"', ",", "do", "n't"]
    assert units("This is a good product", "en", "token") == [
        ("This", 0),
        ("is", 5),
        ("a", 8),
        ("good", 10),
        ("product", 15),
    ]


def test_golden_sentences() -> None:
    assert check(GOLDEN, "en", "sentence") == [("Good.", 0), (" Bad!", 6), ("\n\nNew para, v-neck...", 11)]


def test_chinese_is_split_at_each_character() -> None:
    text = "我喜欢。很好！"
    assert check(text, "zh", "token") == [(each, place) for place, each in enumerate(text)]
    assert check(text, "zh", "sentence") == [("我喜欢。", 0), ("很好！", 4)]


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("hi", "यह अच्छा है। वह नहीं।", ["यह अच्छा है।", "वह नहीं।"]),
        ("ur", "یہ اچھا ہے۔ وہ نہیں۔", ["یہ اچھا ہے۔", "وہ نہیں۔"]),
        ("xx", "好！ 真的？ 是。", ["好！", "真的？", "是。"]),
        ("el", "Είναι καλό; Όχι.", ["Είναι καλό; Όχι."]),
        ("hy", "Լավ է։ Ոչ։", ["Լավ է։ Ոչ։"]),
        ("en", "Well... no? Yes!", ["Well... no?", "Yes!"]),
    ],
)
def test_what_ends_a_sentence(language: str, text: str, sentences: list[str]) -> None:
    """A sign that is a token of its own."""
    assert [unit.text for unit in check(text, language, "sentence")] == sentences


def test_paragraphs_are_lines_that_are_not_blank() -> None:
    text = "  First. Still first. \r\n\n \t\n  second\0line \nthird"
    assert check(text, "en", "paragraph") == [
        ("First. Still first.", 2),
        ("second\0line", text.index("second")),
        ("third", text.index("third")),
    ]


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_offsets_count_characters_beyond_the_basic_plane(granularity: str) -> None:
    text = "😀😀 fine. 𝔘nits\n\ud800lone surrogate 👩‍👩‍👧."
    found = check(text, "en", granularity)
    (fine,) = [unit for unit in found if "fine" in unit.text]
    assert fine.start == {"token": 3, "sentence": 0, "paragraph": 0}[granularity]
    assert any("\ud800" in unit.text for unit in found)


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("text", ["", " ", "\n", " \n\t \r\n "])
def test_a_text_without_words_has_one_unit(text: str, granularity: str) -> None:
    assert check(text, "en", granularity) == [(text, 0)]
    assert MaskedText(text, units(text, "en", granularity)).masked([False], "<MASK>") == "<MASK>"


def test_masked_units_give_way_and_what_is_between_stays() -> None:
    text = " It is,  well, good.\n"
    masked = MaskedText(text, units(text, "en", "token"))
    words = [unit.text for unit in units(text, "en", "token")]
    assert masked.masked([each not in ("is", "good") for each in words], "[MASK]") == " It [MASK],  well, [MASK].\n"
    with pytest.raises(ValueError, match="shorter"):
        masked.masked([True], "")


@settings(max_examples=300, deadline=None)
@given(ANYTHING, st.sampled_from(["en", "zh", "de", "el", "hy", "hi", "xx"]), st.sampled_from(GRANULARITIES))
def test_units_are_what_they_claim(text: str, language: str, granularity: str) -> None:
    found = check(text, language, granularity)
    if granularity == "token":
        # All that is not a unit is the one blank after a token.
        assert set(left_over(text, found)) <= {" "}
    elif len(found) > 1 or found[0].text.strip():
        assert not "".join(left_over(text, found)).strip()


@given(ANYTHING, st.data())
def test_each_unit_is_replaced_by_itself(text: str, data: st.DataObject) -> None:
    found = units(text, "en", "token")
    keep = data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    wanted = text
    for unit, kept in reversed(list(zip(found, keep, strict=True))):
        if not kept:
            wanted = f"{wanted[: unit.start]}<M>{wanted[unit.start + len(unit.text) :]}"
    assert MaskedText(text, found).masked(keep, "<M>") == wanted


def test_every_language_of_the_enum() -> None:
    assert len(LANGUAGES) >= 60
    text = "  Good.  Bad!\n\n😀 我喜欢。 क।\0"
    for language in LANGUAGES:
        assert len(check(text, language, "token")) > 5, language
        assert len(check(text, language, "sentence")) > 1, language
        assert room._pipeline(language) is room._pipeline(language)


def test_a_text_has_bounds() -> None:
    line = "Ten words of nothing that matters, one after the other.\n"
    with pytest.raises(BadText, match="1000001 characters"):
        units("a" * (room.LONGEST + 1), "en", "paragraph")
    with pytest.raises(BadText, match="more than 4096 units of granularity token"):
        units(line * 1000, "en", "token")
    assert len(check(line * 4096, "en", "paragraph")) == room.MOST_UNITS
    assert len(units(line * 3000, "en", "sentence")) == 3001


@pytest.mark.parametrize("language", ["en", "el", "ro"])
@pytest.mark.parametrize("sign", ['"', "a", "1", "$", "'s", "http://a.b/"])
def test_what_would_take_spacy_minutes_is_refused(language: str, sign: str) -> None:
    with pytest.raises(BadText, match="runs of characters without a blank"):
        units(sign * (100_000 // len(sign)), language, "sentence")
    assert units(sign * 100, language, "sentence")


@pytest.mark.parametrize("granularity", ["token", "sentence"])
def test_a_chinese_text_that_would_take_spacy_minutes_is_refused(granularity: str) -> None:
    text = "我" * (room.LONGEST_BY_CHARACTER + 1)
    with pytest.raises(BadText, match="at most 200000 of language zh"):
        units(text, "zh", granularity)
    assert units(text, "zh", "paragraph") == [(text, 0)]


def test_a_page_without_blanks_is_no_trouble() -> None:
    check("猫はかわいい。" * 400, "xx", "token")
    check("我喜欢。" * 1000, "zh", "token")


def test_nothing_is_kept_of_a_text() -> None:
    units("warm up", "en", "token")
    strings = room._pipeline("en").vocab.strings
    before = len(strings)
    for each in range(50):
        units(f"word{each} other{each}", "en", "sentence")
    assert len(strings) == before


def test_spacy_is_loaded_with_the_first_text() -> None:
    program = (
        "import sys; from mooring.explainer.reading import records, text\n"
        "assert 'spacy' not in sys.modules\n"
        "text.units('a\\nb', 'en', 'paragraph'); assert 'spacy' not in sys.modules\n"
        "text.units('a', 'en', 'token'); assert 'spacy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
