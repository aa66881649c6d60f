"""`mooring explain` against a server that answers as an endpoint with explanations does."""

from __future__ import annotations

import io
import json
import math
import re
import sys
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from mooring.cli import main
from mooring.cli.explain import answers, drawing, inputs, page, scores
from mooring.cli.explain.portions import Shown, number
from mooring.errors import BadInput

INVOCATION = ("POST", "/endpoints/e/invocations")
EXPLAINER: dict[str, Any] = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "0,0"}}}
HOSTILE = "\x1b[31mred\x07\x9b2J\u202eevil\r\n<script>alert(1)</script>&\"'\ud800\0"


def column(name: str | None, *attribution: float) -> dict[str, Any]:
    header = {} if name is None else {"feature_header": name}
    return {"attributions": [{"attribution": list(attribution)}], **header}


def text_column(name: str, *units: tuple[str, int, float]) -> dict[str, Any]:
    found = [
        {"attribution": [attribution], "description": {"partial_text": text, "start_idx": start}}
        for text, start, attribution in units
    ]
    return {"attributions": found, "feature_header": name, "feature_type": "text"}


def answer_of(data: str, *records: list[Any] | None, kind: str = "text/csv", **more: Any) -> dict[str, Any]:
    explanations = {"kernel_shap": list(records)} if any(records) else {}
    return {"version": "1.0", "predictions": {"content_type": kind, "data": data}, **more, "explanations": explanations}


TWO = answer_of(
    "0.2,0.8\n0.9,0.1\n",
    [column("Age", -0.25, 0.25), column("Sex", 0.05, -0.05)],
    None,
    kind="text/csv; charset=utf-8",
    label_headers=["no", "yes"],
)
GOOD = answer_of(
    "0.9766594\n",
    [
        text_column(
            "review",
            ("This", 0, -0.00727),
            ("is", 5, -0.0182),
            ("a", 8, 0.01971),
            ("good", 10, 0.125347),
            ("product", 15, 0.032911),
        ),
        column("stars", 0.05),
    ],
)


@pytest.fixture
def asked(fake, monkeypatch: pytest.MonkeyPatch):
    """Has the fake answer; what `mooring explain` printed, and its exit code."""
    monkeypatch.setenv("COLUMNS", "80")
    described: dict[str, Any] = {"ExplainerConfig": {"ClarifyExplainerConfig": EXPLAINER}}
    fake.answers["POST", "/"] = lambda query, body: (200, described)

    def ask(answer: Any, *options: str, status: int = 200, explainer: dict[str, Any] | None = None) -> int:
        if explainer is not None:
            described["ExplainerConfig"] = {"ClarifyExplainerConfig": explainer}
        fake.answers[INVOCATION] = lambda query, body: (status, answer)
        return main(["explain", "e", "--url", fake.url, "--region", "us-east-1", *options])

    return ask


def file_of(tmp_path: Path, text: str | bytes, name: str = "rows.csv") -> str:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_two_classes_and_a_record_that_is_not_explained(asked, fake, capsys, tmp_path: Path) -> None:
    assert asked(TWO, "--input", file_of(tmp_path, '37,m\n1,"f"\n')) == 0
    assert capsys.readouterr().out == (
        "record 0\n"
        "no: base 0.4 -0.2 → predicted 0.2\n"
        "  Age  37  -0.2500  ▐██████████████████████████│\n"
        "  Sex  m   +0.0500                             │█████▌\n"
        "yes: base 0.6 +0.2 → predicted 0.8\n"
        "  Age  37  +0.2500        │██████████████████████████▌\n"
        "  Sex  m   -0.0500  ▐█████│\n"
        "record 1 is not explained, predicted 0.9, 0.1: the expression is false for it\n"
    )
    (_, describe, headers, body), (_, path, sent, invoked) = fake.asked
    assert (describe, json.loads(body)) == ("/", {"EndpointName": "e"})
    assert headers["x-amz-target"] == "SageMaker.DescribeEndpoint"
    assert (path, invoked) == (INVOCATION[1], b'37,m\n1,"f"\n')
    assert sent["x-amzn-sagemaker-enable-explanations"] == "`true`"
    assert sent["content-type"] == "text/csv"
    assert "accept" not in sent or sent["accept"] == "identity"
    assert "/us-east-1/sagemaker/aws4_request" in sent["authorization"]


def test_records_that_are_not_explained_are_one_line_where_they_follow_each_other(
    asked, capsys, tmp_path: Path
) -> None:
    slots = [None, [column("a", 1.0)], None, None, None, [column("a", 1.0)], [column("a", 1.0)], None, None]
    rows = "".join(f"{place}\n" for place in range(len(slots)))
    target = tmp_path / "page.html"
    assert asked(answer_of(rows, *slots), "--input", file_of(tmp_path, rows), "--html", str(target)) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("record")] == [
        "record 0 is not explained, predicted 0: the expression is false for it",
        "record 1",
        "records 2 to 4 are not explained: the expression is false for them",
        "record 5",
        "record 6",
        "records 7 to 8 are not explained: the expression is false for them",
    ]
    assert target.read_text("utf-8").count("Not explained, predicted ") == 6


def test_a_text_is_marked_where_its_units_are(asked, capsys, tmp_path: Path) -> None:
    assert asked(GOOD, "--input", file_of(tmp_path, '"This is a good product",5\n'), "--top", "3") == 0
    assert capsys.readouterr().out == (
        "record 0\n"
        "base 0.77416 +0.2025 → predicted 0.97666\n"
        "  good      @10  +0.1253    │██████████████████████████████▌\n"
        "  stars     5    +0.0500    │████████████\n"
        "  product   @15  +0.0329    │████████\n"
        "  3 others       -0.0058  ▐█│\n"
        "  review:\n"
        "    [-This] [-is] [+a] [+good] [+product]\n"
    )


def shown_of(answer: dict[str, Any], cells: list[list[str] | None], explainer: dict[str, Any] | None = None) -> Shown:
    found = answers.read(json.dumps(answer).encode(), cells)
    unit = " in log-odds" if ((explainer or {}).get("ShapConfig") or {}).get("UseLogit") else ""
    return Shown("e", "`true`", found, scores.scores_of(found, explainer or {}), unit)


def drawn(shown: Shown, top: int = 20, **options: Any) -> str:
    file = io.StringIO()
    drawing.show(shown, top, Console(file=file, highlight=False, **options))
    return file.getvalue()


def test_colours_say_what_signs_say_without_them() -> None:
    shown = shown_of(GOOD, [["This is a good product", "5"]])
    coloured = drawn(shown, force_terminal=True, color_system="truecolor", width=80)
    plain = drawn(shown, force_terminal=True, color_system="truecolor", width=80, no_color=True)
    assert "[+good]" not in coloured
    assert "\x1b[30;48;2;255;76;106mgood\x1b[0m" in coloured
    assert "[+good]" in plain
    assert "48;2" not in plain


def test_a_terminal_of_ascii_gets_ascii() -> None:
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    drawing.show(shown_of(TWO, [["37", "é"]]), 20, Console(file=file, highlight=False, width=60))
    file.seek(0)
    assert file.read().splitlines()[1:4] == [
        "no: base 0.4 -0.2 -> predicted 0.2",
        "  Age  37  -0.2500  -------------------|",
        "  Sex  ?   +0.0500                     |++++",
    ]


@pytest.mark.parametrize("width", [1, 10, 20, 30, 40, 60, 200])
def test_bars_fit_into_the_width(width: int) -> None:
    names = ["x" * 300, "名前" * 60, "short", "שם ארוך מאוד של עמודה", "e\u0301" * 50, ""]
    record = [column(name, (-1) ** place * 10.0 ** (3 * place)) for place, name in enumerate(names)]
    shown = shown_of(answer_of("5", record), [["v" * 100, "値" * 40, "1", "אבג", "", "2"]])
    lines = drawn(shown, width=width).splitlines()
    bars = [line for line in lines if line.startswith("  ")]
    assert bars or width == 1
    assert all(cell_len(line) <= max(width, 2) for line in lines)
    if width >= 20:
        assert all(number(10.0 ** (3 * place)) in "".join(bars) for place in range(6))
        assert all(not line.endswith(" ") for line in lines)
    if width >= 60:
        # The axis is in one column, whatever stands before it.
        assert len({cell_len(line[: line.index("│")]) for line in bars}) == 1


def test_of_thousands_of_features_the_largest_are_shown() -> None:
    shown = shown_of(answer_of("1", [column(f"f{place}", place / 1000) for place in range(5000)]), [])
    lines = drawn(shown, 3, width=80).splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["f4999", "f4998", "f4997", "4997"]
    assert lines[5].split()[1] == "others"
    assert len(drawn(shown, 0, width=80).splitlines()) == 5002
    assert len(page.page(shown, 3)) < 10_000


def test_of_many_classes_some_are_shown() -> None:
    lines = drawn(shown_of(answer_of("x", [column("a", *range(1000))]), []), width=80).splitlines()
    assert lines[-1] == "984 more classes: --json has them"
    assert [line for line in lines if line.startswith("class 15: ")]


@pytest.mark.parametrize(
    ("attributions", "shown"),
    [
        ([0.25, -0.00001, 0.05, 0], ["+0.2500", "+0.0500", "0.0000", "0.0000"]),
        ([50000, 30000.4, -10000, 7500, -1500], ["+50000", "+30000", "-10000", "+7500", "-1500"]),
        ([3.637978807091713e-12, 0], ["+3.64e-12", "0"]),
        ([1e300, -1], ["+1.0000e+300", "-1"]),
        ([0, 0], ["0", "0"]),
    ],
)
def test_numbers_stand_below_each_other(attributions: list[float], shown: list[str]) -> None:
    record = [column(f"f{place}", attribution) for place, attribution in enumerate(attributions)]
    lines = drawn(shown_of(answer_of("1", record), []), width=80).splitlines()[2:]
    assert [line.split()[1] for line in lines] == shown


def test_bars_to_both_sides_share_the_width() -> None:
    lines = drawn(shown_of(answer_of("1", [column("a", 3), column("b", -1)]), []), width=80).splitlines()[2:]
    up, down = (sum(map(line.count, "█▌▐")) for line in lines)
    assert up + down > 30
    assert abs(up - 3 * down) <= 3
    assert lines[0].index("│") == lines[1].index("│") < 30


def test_a_prediction_that_cannot_be_read_has_no_base_value() -> None:
    shown = shown_of(answer_of("it is a cat", [column("a", 0.5)]), [["1"]])
    said = "all parts together +0.5; what was predicted cannot be read, so there is no base value"
    assert said in drawn(shown, width=120)
    assert "base value not known" in page.page(shown, 20)


HOSTILE_ANSWER = answer_of(
    "0.5",
    [
        text_column(HOSTILE, (HOSTILE, 0, 0.5), ("</span><img src=x onerror=alert(1)>", len(HOSTILE), -0.5)),
        column(HOSTILE, 0.1),
    ],
    label_headers=[HOSTILE],
)


def test_nothing_that_was_said_steers_the_terminal(asked, capsys, tmp_path: Path) -> None:
    out = drawn(shown_of(HOSTILE_ANSWER, [[HOSTILE + "</span><img src=x onerror=alert(1)>", HOSTILE]]), width=80)
    assert not {each for each in out if unicodedata.category(each) in ("Cc", "Cs", "Cf")} - {"\n"}
    assert "\ufffd[31mred" in out
    # Nor does what Rich reads as markup.
    assert "[red]a[/red]" in drawn(shown_of(answer_of("1", [column("[red]a[/red]", 1)]), []), width=80)
    assert asked(HOSTILE_ANSWER, "--input", file_of(tmp_path, "a,b\n")) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_nothing_that_was_said_is_markup_in_the_page() -> None:
    cells: list[list[str] | None] = [[HOSTILE + "</span><img src=x onerror=alert(1)>", HOSTILE]]
    made = page.page(Shown(HOSTILE, HOSTILE, *_of(HOSTILE_ANSWER, cells)), 20)
    assert "<script" not in made
    assert "<img" not in made
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#x27;" in made
    assert "Content-Security-Policy" in made
    assert made.encode()  # no surrogate is left
    assert not {each for each in made if unicodedata.category(each) in ("Cc", "Cs", "Cf")} - {"\n"}
    tags = parsed(made)
    assert not {tag for tag in tags if tag in ("script", "img", "link", "iframe", "object", "embed", "a", "use")}


def _of(answer: dict[str, Any], cells: list[list[str] | None]) -> tuple[answers.Answer, list[Any], str]:
    shown = shown_of(answer, cells)
    return shown.answer, shown.scores, ""


def parsed(made: str) -> list[str]:
    """Its tags; it is well-formed XML but for the document type and what is void."""
    xml = re.sub(r"<meta ([^>]*)>", r"<meta \1/>", made.removeprefix("<!DOCTYPE html>\n"))
    return [element.tag for element in ET.fromstring(xml).iter()]


def test_a_page_has_waterfalls_and_texts(asked, capsys, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    rows = file_of(tmp_path, '"This is a good product",5\n')
    assert asked(GOOD, "--input", rows, "--html", str(target), "--top", "3") == 0
    made = target.read_text("utf-8")
    tags = parsed(made)
    assert (tags.count("svg"), tags.count("rect"), tags.count("script")) == (1, 4, 0)
    assert not re.search(r"(?:src|href|url)\s*[=(]", made)
    assert re.findall(r"<title>([^<]*)</title>", made) == [
        "Explanations of e",
        "good @10: +0.1253",
        "stars = 5: +0.0500",
        "product @15: +0.0329",
        "3 others: -0.0058",
    ]
    assert "Base value 0.77416 +0.2025 → predicted 0.97666" in made
    assert re.sub(r"<[^>]*>", "", made[made.index('<div class="text">') :]).strip() == "This is a good product"


def test_bars_of_a_waterfall_go_on_where_the_last_one_ended() -> None:
    made = page.page(shown_of(answer_of("10", [column("a", 4), column("b", -3), column("c", 2)]), []), 20)
    rects = [
        (float(x), float(w)) for x, w in re.findall(r'<rect class="\w+" x="([\d.]+)" y="\d+" width="([\d.]+)"', made)
    ]
    (ax, aw), (bx, bw), (cx, cw) = rects
    base, last = (float(x) for x in re.findall(r'<g class="mark">.*?<line x1="([\d.]+)"', made))
    assert (ax, round(ax + aw, 1), round(bx, 1)) == (base, round(bx + bw, 1), round(cx, 1))
    assert round(cx + cw, 1) == round(last, 1)
    assert math.isclose(aw / bw, 4 / 3, rel_tol=1e-3)


def test_log_odds_are_shown_as_such(asked, capsys, tmp_path: Path) -> None:
    explainer = {"ShapConfig": {"UseLogit": True}}
    assert (
        asked(
            answer_of("0.5\n1", [column("a", 2.0)], [column("a", 1.0)]),
            "--input",
            file_of(tmp_path, "1\n2"),
            explainer=explainer,
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "base -2 +2 → predicted 0 in log-odds" in out
    assert f"predicted {number(math.log(1e12))} in log-odds" in out


@pytest.mark.parametrize(
    ("data", "kind", "config", "found"),
    [
        ("0.1\n0.2\n", "text/csv", {}, [(0.1,), (0.2,)]),
        ("0.1,0.2", "text/csv; charset=utf-8", {}, [(0.1,), (0.2,)]),
        ("1,0.1\n0,0.2", "text/csv", {"ProbabilityIndex": 1}, [(0.1,), (0.2,)]),
        ('{"p":[0.1]}\n\n{"p":0.2}', "application/jsonlines", {"ProbabilityAttribute": "p"}, [(0.1,), (0.2,)]),
        ("0.1\n[0.2]", "application/jsonlines", {}, [(0.1,), (0.2,)]),
        ("0.1\nnan", "text/csv", {}, [(0.1,), None]),
        ("0.1\n0.2,0.3", "text/csv", {}, [(0.1,), None]),
        ("cat\n0.2", "text/csv", {}, [None, (0.2,)]),
        ("1\n0,0.2", "text/csv", {"ProbabilityIndex": 1}, [None, (0.2,)]),
        ("0.1", "text/csv", {}, [None, None]),
        ("0.1\n0.2", "application/json", {}, [None, None]),
        ("[" * 100_000 + "\n1", "application/jsonlines", {}, [None, None]),
        ('"' + "[" * 5000 + '"\n0.2', "text/csv", {"ProbabilityIndex": 0}, [None, (0.2,)]),
    ],
)
def test_scores(data: str, kind: str, config: dict[str, Any], found: list[Any]) -> None:
    answer = answer_of(data, [column("a", 1)], [column("a", 1)], kind=kind)
    assert shown_of(answer, [], {"InferenceConfig": config}).scores == found


def test_scores_are_in_the_order_of_the_labels() -> None:
    rows = "\"['b','a']\",\"[0.1,0.9]\"\n\"['a','b']\",\"[0.2,0.8]\"\n"
    answer = answer_of(rows, [column("f", 1, 1)], [column("f", 1, 1)], label_headers=["b", "a"])
    config = {"InferenceConfig": {"LabelIndex": 0, "ProbabilityIndex": 1}}
    assert shown_of(answer, [], config).scores == [(0.1, 0.9), (0.8, 0.2)]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"predictions":{"content_type":"text/csv","data":1},"explanations":{}}',
        json.dumps(answer_of("1", [{}])).encode(),
        json.dumps(answer_of("1", [column("a", 1), column("b", 1, 2)])).encode(),
        json.dumps(answer_of("1", [column("a", math.nan)])).encode(),
        json.dumps(answer_of("1", [column("a", 10**400)])).encode(),
        json.dumps(answer_of("1", [column("a")])).encode(),
        json.dumps(answer_of("1", [{"attributions": [{"attribution": ["1"]}]}])).encode(),
        json.dumps(answer_of("1", [text_column("a", ("b", -1, 1.0))])).encode(),
        json.dumps(answer_of("1", [text_column("a", ("b", "0", 1.0))])).encode(),  # type: ignore[arg-type]
    ],
)
def test_an_answer_that_is_none(asked, capsys, tmp_path: Path, body: bytes) -> None:
    assert asked(body, "--input", file_of(tmp_path, "1\n")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mooring: the answer is not that of an endpoint with explanations: ")


def test_units_that_are_not_where_they_say_are_shown_one_after_the_other() -> None:
    far = answer_of("1", [text_column("t", ("b", 10**12, 1.0), ("a", 3, 1.0))])
    assert drawn(shown_of(far, [["a b"]]), width=80).splitlines()[-1] == "    [+b] [+a]"


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", "{}", "text/csv"),
        ("a.JSONL", "1,2", "application/jsonlines"),
        ("a.ndjson", "1,2", "application/jsonlines"),
        ("a.txt", '\n{"features":[1]}\n{', "application/jsonlines"),
        ("a", "[1,2]\n", "application/jsonlines"),
        ("a", "1,2\n", "text/csv"),
        ("a", "7\n", "text/csv"),
        ("a", "[" * 100_000, "text/csv"),
    ],
)
def test_the_content_type_is_guessed(tmp_path: Path, name: str, content: str, kind: str) -> None:
    assert inputs.read(file_of(tmp_path, content, name), None).content_type == kind
    assert inputs.read(file_of(tmp_path, content, name), "text/csv; a=b").content_type == "text/csv; a=b"


def test_standard_input_and_options_of_the_call(asked, fake, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a":["x \\u00e9",2]}\n{"a":["y",3]}\n')))
    explainer = {"InferenceConfig": {"FeaturesAttribute": "a"}}
    answer = answer_of("1\n2", [column("a", 1), column("b", 1)], [column("a", 1), column("b", 1)])
    options = ["--input", "-", "--expression", "p>`0.5`", "--accept", "text/csv"]
    assert asked(answer, *options, explainer=explainer) == 0
    _, _, sent, _ = fake.asked[-1]
    assert sent["x-amzn-sagemaker-enable-explanations"] == "p>`0.5`"
    assert (sent["accept"], sent["content-type"]) == ("text/csv", "application/jsonlines")
    out = capsys.readouterr().out
    assert "  a  x é  +1.000  │" in out
    assert "  b  3  +1.000  │" in out


def test_one_record_is_sent_as_it_stands(asked, fake, capsys, tmp_path: Path) -> None:
    rows = file_of(tmp_path, b'1.0,"a\nb ""c"""\r\n\n2.50, \xe9"x\n3,z')
    for place, record in enumerate([b'1.0,"a\nb ""c"""\r\n', b'2.50, \xe9"x\n', b"3,z\n"]):
        assert asked(answer_of("1", [column("a", 1), column("b", 1)]), "--input", rows, "--record", str(place)) == 0
        assert fake.asked[-1][3] == record
        assert capsys.readouterr().out.startswith(f"record {place}\n")
    assert asked(GOOD, "--input", rows, "--record", "3") == 2
    assert capsys.readouterr().err == "mooring: --record 3: the input has 3 records, counted from 0\n"


@given(st.lists(st.lists(st.text(alphabet='a",\n\r é', max_size=5), min_size=1, max_size=3), min_size=1, max_size=5))
def test_records_of_csv_are_all_of_it(rows: list[list[str]]) -> None:
    import csv

    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    given_ = inputs.Input(file.getvalue().encode(), "text/csv")
    assert b"".join(given_.records()) == given_.body
    assert given_.cells(None) == rows
    assert [given_.record(place).cells(None) for place in range(len(rows))] == [[row] for row in rows]


def test_json_is_the_answer(asked, capsys, tmp_path: Path) -> None:
    assert asked(TWO, "--input", file_of(tmp_path, "1,2\n3,4\n"), "--json") == 0
    assert json.loads(capsys.readouterr().out) == TWO


def test_an_endpoint_without_explainer(asked, fake, capsys, tmp_path: Path) -> None:
    rows = file_of(tmp_path, "1\n")
    fake.answers["POST", "/"] = lambda query, body: (200, {"EndpointName": "e"})
    assert asked(GOOD, "--input", rows) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('mooring: endpoint "e" explains nothing: its endpoint config has no ExplainerConfig.')
    assert '{"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig"' in line
    assert [path for _, path, _, _ in fake.asked] == ["/"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (424, {"Message": "Received …", "OriginalMessage": "record 0: \x1b[2J'x'"}, "record 0: \ufffd[2J'x'"),
        (400, {"Message": "1 validation error"}, "1 validation error"),
        (503, b"<html>", "{url} answered with status 503"),
        (500, b"[" * 100_000, "{url} answered with status 500"),
        (500, {"Message": 5}, "{url} answered with status 500"),
    ],
)
def test_errors_are_one_line(asked, fake, capsys, tmp_path: Path, status: int, body: Any, said: str) -> None:
    assert asked(body, "--input", file_of(tmp_path, "1\n"), status=status) == 1
    assert capsys.readouterr().err == f"mooring: {said.format(url=fake.url)}\n"


def test_wrong_uses_are_one_line(asked, fake, capsys, tmp_path: Path) -> None:
    rows = file_of(tmp_path, "1\n")
    for options, said in [
        (["--input", str(tmp_path / "none")], "No such file"),
        (["--input", file_of(tmp_path, " \n", "empty.csv")], "the input is empty"),
        (["--input", rows, "--expression", "a\nb"], "--expression goes as a header"),
        (["--input", rows, "--content-type", "text/ü"], "--content-type goes as a header"),
        (["--input", rows, "--html", str(tmp_path / "none" / "page")], "No such file"),
        ([], "'--input'"),
    ]:
        assert asked(GOOD, *options) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert said in line


def test_too_much_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "much"
    with path.open("wb") as file:
        file.truncate(10**12)
    with pytest.raises(BadInput, match="more than 6291456 bytes"):
        inputs.read(str(path), None)
