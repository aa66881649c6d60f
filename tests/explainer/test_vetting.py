"""What control tells of an explainer before an endpoint has it: a sentence or nothing, whatever is in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import BadInput, Refused
from mooring.explainer.preparing import vetting
from mooring.hosting.config_rules import check_config
from mooring.hosting.failures import LONGEST_FAILURE_REASON, failure_reason

WORDS = st.text(max_size=64) | st.sampled_from(
    ["`true`", "[0]>`0.8`", "a.b[", "data.features", '{"features":$features}', "$features", "'", "a || b", "@"]
)
BASELINES = st.text(min_size=1, max_size=200) | st.sampled_from(
    ["1,2\n3,4", '"<MASK>"', '{"features":[1,2]}', "[1,2]\n[3,4]", "[]", '{"features":1}', "1,2\n3", '"a\n']
)


def _structure(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


EXPLAINERS = st.fixed_dictionaries(
    {
        "ShapConfig": st.fixed_dictionaries(
            {
                "ShapBaselineConfig": _structure(
                    ShapBaseline=BASELINES,
                    ShapBaselineUri=st.sampled_from(
                        ["s3://b/k", "https://b/k", "https://s3.amazonaws.com/b/k", "s3://b"]
                    ),
                    MimeType=st.sampled_from(["text/csv", "application/jsonlines", "a/b"]),
                )
            },
            optional={
                "NumberOfSamples": st.integers(1, 10**12),
                "UseLogit": st.booleans(),
                "Seed": st.integers(),
                "TextConfig": st.just({"Language": "en", "Granularity": "token"}),
            },
        )
    },
    optional={
        "EnableExplanations": WORDS,
        "InferenceConfig": _structure(
            FeaturesAttribute=WORDS,
            ContentTemplate=WORDS,
            ProbabilityAttribute=WORDS,
            LabelAttribute=WORDS,
            ProbabilityIndex=st.integers(0, 10**12),
            FeatureTypes=st.lists(st.sampled_from(["numerical", "categorical", "text"]), min_size=1, max_size=3),
            FeatureHeaders=st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=3),
        ),
    },
)


@given(EXPLAINERS)
def test_an_explainer_is_refused_in_words_or_can_be_used(explainer: dict[str, Any]) -> None:
    variant = {"VariantName": "v", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    config = {"ProductionVariants": [variant], "ExplainerConfig": {"ClarifyExplainerConfig": explainer}}
    try:
        check_config(config)
    except Refused as error:
        assert str(error)
        return
    objection = vetting.objection(explainer)
    if objection is not None:
        told = failure_reason(objection)
        assert told.isprintable()
        assert len(told) <= LONGEST_FAILURE_REASON
    elif "ShapBaseline" in explainer["ShapConfig"]["ShapBaselineConfig"]:
        assert vetting.planned(explainer, None).baseline_rows


@given(EXPLAINERS, st.binary(max_size=200) | BASELINES.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_a_baseline_of_s3_is_refused_in_words_or_has_records(explainer: dict[str, Any], content: bytes) -> None:
    explainer["ShapConfig"]["ShapBaselineConfig"].pop("ShapBaseline", None)
    try:
        assert vetting.planned(explainer, content).baseline_rows
    except BadInput as error:
        assert str(error)


@pytest.mark.parametrize(
    ("inference", "words"),
    [
        ({"FeatureHeaders": ["a"]}, "FeatureHeaders has 1 entry and the baseline 2 features"),
        ({"FeatureTypes": ["numerical"] * 3}, "FeatureTypes has 3 entries and the baseline 2 features"),
        ({"FeatureHeaders": ["a", "b"], "FeatureTypes": ["numerical"] * 2}, None),
    ],
)
def test_headers_and_types_are_counted(inference: dict[str, Any], words: str | None) -> None:
    inline = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "1,2"}}, "InferenceConfig": inference}
    stored = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaselineUri": "s3://b/k"}}, "InferenceConfig": inference}
    assert vetting.objection(stored) is None  # not read yet
    if words is None:
        assert vetting.objection(inline) is None
        assert vetting.planned(stored, b"1,2").baseline_rows == 1
        return
    assert words in str(vetting.objection(inline))
    with pytest.raises(BadInput, match=words):
        vetting.planned(stored, b"1,2")


@pytest.mark.parametrize(
    ("inference", "words"),
    [
        ({"FeaturesAttribute": "data..features"}, "FeaturesAttribute of ExplainerConfig cannot be evaluated"),
        ({"LabelAttribute": "a b"}, "LabelAttribute of ExplainerConfig cannot be evaluated: 'a b' is not a JMESPath"),
        ({"ProbabilityAttribute": "p["}, "at position 2"),
    ],
)
def test_every_expression_is_compiled(inference: dict[str, Any], words: str) -> None:
    shap = {"ShapBaselineConfig": {"ShapBaselineUri": "s3://b/k"}}
    assert words in str(vetting.objection({"ShapConfig": shap, "InferenceConfig": inference}))


@pytest.mark.parametrize("mime", ["text/csv", "application/jsonlines"])
@pytest.mark.parametrize("blanks", [" ", "\t \n", "\r\n"])
def test_a_baseline_of_blanks_has_no_records(mime: str, blanks: str) -> None:
    explainer = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": blanks, "MimeType": mime}}}
    assert "ShapBaseline has no records" in str(vetting.objection(explainer))


def test_a_blank_in_quotes_is_a_baseline() -> None:
    assert vetting.objection({"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": '" "'}}}) is None


def test_a_baseline_over_several_lines_is_told_from_other_faults() -> None:
    base = {"ShapBaseline": '{\n  "f": [1, 2]\n}', "MimeType": "application/jsonlines"}
    explainer = {"ShapConfig": {"ShapBaselineConfig": base}, "InferenceConfig": {"FeaturesAttribute": "f"}}
    found = str(vetting.objection(explainer))
    assert "Record 0 of ShapBaseline is not JSON" in found
    assert "In JSON Lines each record is on one line of its own, as a whole." in found
