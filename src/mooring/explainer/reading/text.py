"""Units of text: the tokens, sentences or paragraphs whose parts in a prediction are told.

Tokens and sentences are those of spaCy's blank pipelines, as SageMaker Clarify has them: every token counts, also one
of punctuation or of blanks, and a sentence is what the rule-based sentencizer ends. A paragraph is a line that is not
blank. Units are in order, never overlap, and are what stands in the caller's text from `start`, counted in characters
(code points). A text has at least one: where none is found in it, it is a unit as a whole, so that the attributions
still sum to what they must.

spaCy is an extra (`mooring[text]`) of 330 MB, loaded with the first text. Long runs without a blank take it quadratic
time, so what it is given is bounded beforehand. What it learns of a text is forgotten with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from threading import Lock
from time import perf_counter
from typing import Any, NamedTuple

from mooring.errors import BadInput

LONGEST = 1_000_000
"""Characters of one text."""
MOST_UNITS = 4096
"""Of one text. To explain more takes a model millions of tokens, and more than a minute."""
MOST_TROUBLE = 4_000_000
"""About 1.5 s of spaCy's at its slowest, beside the time that any text of this length takes."""
BY_CHARACTER = frozenset({"zh"})
"""Languages that spaCy splits at each character, in quadratic time of its own."""
LONGEST_BY_CHARACTER = 200_000
"""Characters of a text in these: about 1.5 s."""

_RUN = re.compile(r"\S+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LOADING_S: list[float] = []
_ONE_AT_A_TIME = Lock()


class BadText(BadInput):
    """The text cannot be split into units; the message says why."""


class Unit(NamedTuple):
    """A part of a text: `text` stands there from character `start` on."""

    text: str
    start: int


class MaskedText:
    """A text some units of which are replaced, and what stands between them is kept."""

    def __init__(self, text: str, units: Sequence[Unit]) -> None:
        self._units = [unit.text for unit in units]
        starts = [unit.start for unit in units]
        ends = [0, *(unit.start + len(unit.text) for unit in units)]
        self._between = [text[end:start] for end, start in zip(ends, [*starts, len(text)], strict=True)]

    def masked(self, keep: Sequence[bool], replacement: str) -> str:
        """The text with a replacement for each unit that is not kept; with all kept it is the text itself."""
        pieces = [self._between[0]]
        for unit, kept, after in zip(self._units, keep, self._between[1:], strict=True):
            pieces.append(unit if kept else replacement)
            pieces.append(after)
        return "".join(pieces)


def units(text: str, language: str, granularity: str) -> list[Unit]:
    """The units of a text, as TextConfig names them. Raises `BadText`."""
    if len(text) > LONGEST:
        raise BadText(f"a text has {len(text)} characters; at most {LONGEST} can be explained")
    spans = list(islice(_spans(text, language, granularity), MOST_UNITS + 1))
    if len(spans) > MOST_UNITS:
        raise BadText(f"a text has more than {MOST_UNITS} units of granularity {granularity}; choose a coarser one")
    return [Unit(text[start:end], start) for start, end in spans] or [Unit(text, 0)]


def _spans(text: str, language: str, granularity: str) -> Iterable[tuple[int, int]]:
    if granularity == "paragraph":
        return _paragraphs(text)
    if language in BY_CHARACTER and len(text) > LONGEST_BY_CHARACTER:
        raise BadText(
            f"a text has {len(text)} characters; at most {LONGEST_BY_CHARACTER} of language {language} can be split"
        )
    if language not in BY_CHARACTER and _trouble(text) > MOST_TROUBLE:
        raise BadText("a text has too long runs of characters without a blank to be split into words")
    # What is learned of the words is freed with the zone, which must be over before the next one begins.
    with _ONE_AT_A_TIME, (pipeline := _pipeline(language)).memory_zone():
        # A lone surrogate, which JSON can hold, has no UTF-8 and would not pass.
        document = pipeline.make_doc(_SURROGATE.sub("\ufffd", text))
        if granularity == "token":
            return [(each.idx, each.idx + len(each)) for each in islice(document, MOST_UNITS + 1)]
        sentences = pipeline.get_pipe("sentencizer")(document).sents
        return [(each.start_char, each.end_char) for each in islice(sentences, MOST_UNITS + 1)]


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for line in text.split("\n"):
        if inner := line.strip():
            first = start + len(line) - len(line.lstrip())
            yield first, first + len(inner)
        start += len(line) + 1


def _trouble(text: str) -> float:
    """How much work it is to split: spaCy looks at the rest of a run again for each sign that it takes off."""
    runs = ((match.group(), match.end() - match.start()) for match in _RUN.finditer(text))
    return sum(length * (sum(not each.isalnum() for each in run) + length / 4) for run, length in runs)


def loading_s() -> float:
    """How long this process has loaded languages, all of them together."""
    return sum(_LOADING_S)


@cache
def _pipeline(language: str) -> Any:
    began = perf_counter()
    import spacy  # for seconds, and 100 MB

    pipeline = spacy.blank(language)
    pipeline.add_pipe("sentencizer")
    _LOADING_S.append(perf_counter() - began)
    return pipeline
