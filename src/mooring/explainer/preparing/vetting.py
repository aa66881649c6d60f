"""What of an explainer can be told to fail before anything is explained: control asks here, and imports no solver.

On AWS a config with an expression that does not compile is made, and an endpoint with it fails; so it is here, with the
place in the expression. An extra that is missing fails the endpoint too, since nothing could be explained.
"""

from __future__ import annotations

import importlib.util

from mooring.errors import BadInput
from mooring.explainer.expressions import BadExpression, compiled
from mooring.explainer.reading.plan import Plan
from mooring.hosting.explaining import ExplainerRoute, baseline_uri, expressions_of
from mooring.hosting.rules import Members

SOLVER = "numpy"
TEXT = "spacy"


def is_there(module: str) -> bool:
    """Whether a module is installed, which is not imported for that."""
    return importlib.util.find_spec(module) is not None


def objection(explainer: Members) -> str | None:
    """Why nothing could be explained with this ClarifyExplainerConfig, for FailureReason.

    Of a baseline in S3 only `planned` can tell that, where it has been read.
    """
    found = missing_extra(explainer) or bad_expression(explainer)
    if found is None and baseline_uri(explainer) is None:
        try:
            planned(explainer, None)
        except BadInput as error:
            found = f"ExplainerConfig cannot be used: {error}"
    return found


def planned(explainer: Members, baseline: bytes | None) -> Plan:
    """The explainer as it will be used; `baseline` is what ShapBaselineUri names. Raises `BadInput`."""
    plan = Plan(ExplainerRoute("", explainer), baseline)
    plan.refuse_other_counts()
    return plan


def missing_extra(explainer: Members) -> str | None:
    """What of Mooring's is not installed, and how it gets here."""
    if "TextConfig" in explainer["ShapConfig"] and not is_there(TEXT):
        return _not_installed("TextConfig needs spaCy", "text")
    if not is_there(SOLVER):
        return _not_installed("ExplainerConfig needs NumPy", "explainer")
    return None


def bad_expression(explainer: Members) -> str | None:
    """The first expression that does not compile."""
    for name, expression in expressions_of(explainer):
        try:
            compiled(expression)
        except BadExpression as error:
            return f"{name} of ExplainerConfig cannot be evaluated: {error}"
    return None


def _not_installed(need: str, extra: str) -> str:
    return (
        f"{need}, which is not installed where Mooring runs: install mooring[{extra}] there, and create or update the "
        "endpoint again."
    )
