"""`--html`: one file that needs nothing else. It has no script, and its policy lets nothing be loaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mooring.cli.explain.answers import Text
from mooring.cli.explain.portions import Portions, Shown, number, portions
from mooring.cli.explain.waterfall import cleaned, waterfall

_STYLE = """
:root { color-scheme: light dark; --up: #e0244c; --down: #1670d8; --dim: #777; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin-bottom: .3rem; }
p.said { margin: .2rem 0 .6rem; } .dim { color: var(--dim); }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: currentColor; unicode-bidi: isolate; } svg .name { text-anchor: end; direction: ltr; }
svg .up { fill: var(--up); } svg .down { fill: var(--down); } svg .mark { font-weight: 600; }
svg .mark line { stroke: currentColor; stroke-width: 2; }
svg .between { stroke: var(--dim); stroke-width: .5; stroke-dasharray: 2 2; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.9; border-left: 3px solid var(--dim);
  padding-left: .8rem; margin: .6rem 0 1.2rem; unicode-bidi: plaintext; }
.text span { border-radius: 3px; padding: 2px 0; }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write(file: str, shown: Shown, top: int) -> None:
    """Put the page of an answer into a file."""
    Path(file).write_text(page(shown, top), "utf-8")


def page(shown: Shown, top: int) -> str:
    """The page of an answer: of each record and class a waterfall, and its texts with their units marked."""
    title = f"Explanations of {cleaned(shown.endpoint)}"
    body = "\n".join(_record(shown, place, top) for place in range(len(shown.answer.records)))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        f'<p class="dim">Explained: {cleaned(shown.expression)}</p>\n{body}\n</body>\n</html>\n'
    )


def _record(shown: Shown, place: int, top: int) -> str:
    record, scores = shown.answer.records[place], shown.scores[place]
    head = f"<h2>Record {record.number}</h2>"
    if not record.parts:
        said = "" if scores is None else f", predicted {', '.join(map(number, scores))}"
        return f'{head}\n<p class="said">Not explained{said}: the expression is false for it.</p>'
    pieces = [head]
    for kind in range(record.classes):
        found = portions(record, kind, shown.answer.labels, scores, top)
        pieces += [*_heading(found, shown.unit), waterfall(found, shown.unit)]
        pieces += [_text(text, kind) for text in record.texts]
    return "\n".join(pieces)


def _heading(found: Portions, unit: str) -> Iterator[str]:
    if found.heading:
        yield f"<h3><bdi>{cleaned(found.heading)}</bdi></h3>"
    total = number(found.total, signed=True)
    if found.score is None or found.base is None:
        said = f"All parts together {total}{unit}. What was predicted cannot be read, so there is no base value."
    else:
        said = f"Base value {number(found.base)} {total} → predicted {number(found.score)}{unit}"
    yield f'<p class="said">{cleaned(said)}</p>'


def _text(text: Text, kind: int) -> str:
    most = max(abs(part.attributions[kind]) for _, _, part in text.spans) or 1.0
    pieces, after = [], 0
    for start, end, part in text.spans:
        attribution = part.attributions[kind]
        share = round(100 * abs(attribution) / most * 0.6)
        colour = f"color-mix(in srgb, var(--{'down' if attribution < 0 else 'up'}) {share}%, transparent)"
        amount = number(attribution, signed=True)
        pieces.append(cleaned(text.text[after:start]))
        pieces.append(f'<span style="background: {colour}" title="{amount}">{cleaned(text.text[start:end])}</span>')
        after = end
    pieces.append(cleaned(text.text[after:]))
    return f'<p class="dim"><bdi>{cleaned(text.name)}</bdi></p>\n<div class="text">{"".join(pieces)}</div>'
