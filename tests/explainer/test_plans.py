"""Plans: what of a configuration cannot work is told before there is an endpoint."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mooring.explainer.expressions import BadExpression
from mooring.explainer.faults import Unexplainable
from tests.explainer.making import JSON_LINES, TOKENS, plan_of


@pytest.mark.parametrize(
    ("players", "wanted", "samples"),
    [
        (10, None, 1022), (20, None, 2088), (11, None, 2046), (12, None, 2072), (14, None, 2076), (1, None, 0),
        (112, None, 2272), (14, 100, 100), (4, 100, 14), (5000, None, 12048), (5000, 7, 7),
    ],
)  # fmt: skip
def test_samples_are_as_documented(players: int, wanted: int | None, samples: int) -> None:
    assert plan_of(shap={} if wanted is None else {"NumberOfSamples": wanted}).samples(players) == samples


def test_caps_are_as_documented() -> None:
    assert (plan_of().max_records, plan_of().max_bytes) == (None, 6 << 20)
    plan = plan_of(MaxRecordCount=1, MaxPayloadInMB=25)
    assert (plan.max_records, plan.max_bytes) == (1, 25 << 20)


def test_the_other_members_are_there() -> None:
    plan = plan_of("0\n1", shap={"Seed": -7, "UseLogit": True})
    assert (plan.seed, plan.use_logit, plan.baseline_rows) == (-7, True, 2)
    assert (plan_of().seed, plan_of().use_logit) == (None, False)


# Baselines


def test_a_baseline_is_several_rows_or_one() -> None:
    assert plan_of("1,2.50\r\n3,4\r\n").baseline.rows == [["1", "2.50"], ["3", "4"]]
    assert plan_of('"<MASK>"').baseline.rows == [["<MASK>"]]
    assert plan_of("<UNK>,0").baseline.rows == [["<UNK>", "0"]]
    assert plan_of('""').baseline.rows == [[""]]


def test_a_baseline_of_json_lines_is_read_through_features_attribute() -> None:
    plan = plan_of('{"data":{"features":[0,"x"]}}\n{"data":{"features":[1.0,"y"]}}', mime=JSON_LINES,
                   FeaturesAttribute="data.features", ContentTemplate="$features")  # fmt: skip
    assert plan.absent(JSON_LINES) == [[b"0", b"1.0"], [b'"x"', b'"y"']]
    assert plan_of("[1,2]\n[3,4]", mime=JSON_LINES).baseline.rows == [[1, 2], [3, 4]]


def test_a_stored_baseline_is_read_alike() -> None:
    assert plan_of(None, stored=b"\xef\xbb\xbf1,2\n3,4").baseline.rows == [["1", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    ("stored", "mime", "message"),
    [
        (b"", None, "The baseline of ShapBaselineUri has no records; it needs one or more"),
        (b"\n\n", None, "The baseline of ShapBaselineUri has no records; it needs one or more"),
        (b"1,2\n3", None, "Record 1 of the baseline has 1 feature and record 0 has 2."),
        (b"1,\xff", None, "The baseline of ShapBaselineUri is not UTF-8 text: byte 2 cannot be read."),
        (b'1,"2', None, "The baseline of ShapBaselineUri is not CSV: unexpected end of data, at line 1."),
        (
            b'{"a":[1]}\n{"b":[2]}',
            JSON_LINES,
            "Record 1 of the baseline: FeaturesAttribute 'a' gives null and not a list",
        ),
        (b"[]", JSON_LINES, "Record 0 of the baseline has no features."),
        (b"{", JSON_LINES, "Record 0 of the baseline is not JSON: Expecting property name enclosed in double quotes"),
    ],
    ids=range(8),
)
def test_a_baseline_that_cannot_be_used_is_refused(stored: bytes, mime: str | None, message: str) -> None:
    with pytest.raises(Unexplainable) as refused:
        plan_of(None, stored=stored, mime=mime, FeaturesAttribute="a" if b"a" in stored else "@")
    assert str(refused.value).startswith(message)
    assert refused.value.kind == "explainer"


def test_a_plan_without_a_baseline_is_refused() -> None:
    with pytest.raises(Unexplainable, match="ShapBaselineConfig needs ShapBaseline or ShapBaselineUri"):
        plan_of(None)


# Types


@pytest.mark.parametrize(
    ("baseline", "mime", "text", "types"),
    [
        ("0,1e5,x", None, False, ["numerical", "numerical", "categorical"]),
        ("0,<MASK>", None, True, ["numerical", "text"]),
        ('0,""', None, True, ["numerical", "text"]),
        ("0,1\nx,2", None, True, ["text", "numerical"]),
        ('[0,"1","x",true,null]', JSON_LINES, True, ["numerical", "text", "text", "categorical", "categorical"]),
        ('[0,"1",[1]]', JSON_LINES, False, ["numerical", "categorical", "categorical"]),
    ],
)
def test_types_are_inferred_from_the_baseline(baseline: str, mime: str | None, text: bool, types: list[str]) -> None:
    assert plan_of(baseline, mime=mime, shap=TOKENS if text else None).types == types


def test_types_that_are_given_are_taken() -> None:
    plan = plan_of("0,0", shap=TOKENS, FeatureTypes=["text", "categorical"])
    assert (plan.types, plan.is_text(0), plan.is_text(1)) == (["text", "categorical"], True, False)


# Templates and expressions


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ('{"features":[]}', "has $features 0 times; it must have it once"),
        ("[$features,$features]", "has $features 2 times; it must have it once"),
        ('{"features":$features', "is not JSON where $features is a list"),
        ('{"features":"$features"}', "is not JSON where $features is a list"),
        ('{"features":$features_kvp}', "is not JSON where $features is a list"),
    ],
)
def test_a_template_that_cannot_work_is_refused(template: str, said: str) -> None:
    with pytest.raises(Unexplainable) as refused:
        plan_of(ContentTemplate=template)
    assert str(refused.value).startswith(f"ContentTemplate {template!r} {said}")


@pytest.mark.parametrize("name", ["FeaturesAttribute", "ProbabilityAttribute", "LabelAttribute"])
def test_an_attribute_that_does_not_compile_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(BadExpression, match=f"{name}: 'a.' is not a JMESPath expression at position 2"):
        plan_of(**{name: "a."})


def test_an_expression_that_does_not_compile_is_refused() -> None:
    with pytest.raises(BadExpression, match="EnableExplanations: .* is not a JMESPath expression at position 4"):
        plan_of(expression="[0]>")


def test_control_needs_no_numpy_for_a_plan() -> None:
    said = "import sys, mooring.explainer.reading.plan; sys.exit('numpy' in sys.modules or 'spacy' in sys.modules)"
    subprocess.run([sys.executable, "-c", said], check=True, timeout=30)
