"""What ExplainerConfig must be beyond its shapes, as far as that can be told before an endpoint is made with it.

Expressions are not looked at here: on AWS a config with one that does not compile is made, and an endpoint with it
fails.
"""

from __future__ import annotations

import json
import re

from mooring.hosting.rules import Members
from mooring.hosting.s3_uris import bucket_and_key
from mooring.hosting.variant_rules import not_in_set

BASELINE_TYPES = ("text/csv", "application/jsonlines")
PLACEHOLDER = "$features"
_PLACEHOLDER = re.compile(r"\$features\b")


def a_baseline_is_given_once(config: Members) -> str | None:
    if not _clarify(config):
        return None
    baseline = _baseline(config)
    if "ShapBaseline" in baseline and "ShapBaselineUri" in baseline:
        return "Only one of ShapBaseline and ShapBaselineUri can be specified."
    if not (baseline.get("ShapBaseline") or baseline.get("ShapBaselineUri")):
        return "One of ShapBaseline and ShapBaselineUri must be specified."
    return None


def a_baseline_is_of_a_known_type(config: Members) -> str | None:
    kind = _baseline(config).get("MimeType", BASELINE_TYPES[0])
    if kind in BASELINE_TYPES:
        return None
    where = "explainerConfig.clarifyExplainerConfig.shapConfig.shapBaselineConfig.mimeType"
    return not_in_set(kind, where, BASELINE_TYPES)


def a_baseline_is_in_s3(config: Members) -> str | None:
    """The https form is that of S3's own addresses; nothing is fetched from elsewhere in the web."""
    uri = _baseline(config).get("ShapBaselineUri")
    found = bucket_and_key(uri) if uri else None
    if not uri or (found is not None and all(found) and not found[1].endswith("/")):
        return None
    return f'ShapBaselineUri "{uri}" is no address of an object in S3: s3://bucket/key is needed.'


def feature_types_are_for_text(config: Members) -> str | None:
    inference = _inference(config)
    types = inference.get("FeatureTypes")
    if types is None:
        return None
    if "text" not in types:
        return "FeatureTypes must include at least one 'text' feature."
    if "TextConfig" not in _shap(config):
        return "TextConfig must be specified when FeatureTypes has a 'text' feature."
    headers = inference.get("FeatureHeaders")
    if headers is not None and len(headers) != len(types):
        return f"FeatureTypes has {len(types)} entries and FeatureHeaders {len(headers)}: they must be as many."
    return None


def a_model_output_is_read_in_one_way(config: Members) -> str | None:
    """An index is for CSV, an attribute for JSON Lines."""
    inference = _inference(config)
    indices = [name for name in ("ProbabilityIndex", "LabelIndex") if name in inference]
    attributes = [name for name in ("ProbabilityAttribute", "LabelAttribute") if name in inference]
    if indices and attributes:
        return f"{indices[0]} and {attributes[0]} cannot both be specified."
    return None


def a_template_has_a_place_for_the_features(config: Members) -> str | None:
    """`$features_kvp` and the like are of processing jobs."""
    template = _inference(config).get("ContentTemplate")
    if template is None:
        return None
    if template.count(PLACEHOLDER) != 1 or not _PLACEHOLDER.search(template):
        return f'ContentTemplate "{template}" must contain the placeholder {PLACEHOLDER} exactly once, and no other.'
    if not _is_json(template.replace(PLACEHOLDER, '["a"]')):  # within quotes it would be no list
        return f'ContentTemplate "{template}" must be JSON where {PLACEHOLDER} is a list.'
    return None


RULES = (
    a_baseline_is_given_once,
    a_baseline_is_of_a_known_type,
    a_baseline_is_in_s3,
    feature_types_are_for_text,
    a_model_output_is_read_in_one_way,
    a_template_has_a_place_for_the_features,
)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _clarify(config: Members) -> Members:
    found: Members = config.get("ExplainerConfig", {}).get("ClarifyExplainerConfig", {})
    return found


def _inference(config: Members) -> Members:
    found: Members = _clarify(config).get("InferenceConfig", {})
    return found


def _shap(config: Members) -> Members:
    found: Members = _clarify(config).get("ShapConfig", {})
    return found


def _baseline(config: Members) -> Members:
    found: Members = _shap(config).get("ShapBaselineConfig", {})
    return found
