"""Beside the library that everybody uses: its exact values of trees, and its own sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier

from mooring.explainer.shapley import attributions, coalitions
from tests.explainer.games import all_of, by_definition

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def shap() -> Any:
    return pytest.importorskip("shap")


def test_trees_over_several_baseline_rows_as_tree_explainer_has_them(shap: Any) -> None:
    inputs, targets = load_diabetes(return_X_y=True)
    model = GradientBoostingRegressor(n_estimators=40, random_state=0).fit(inputs, targets)
    base, record = inputs[:5], inputs[77]
    truth = shap.TreeExplainer(model, data=base, feature_perturbation="interventional").shap_values(record[None])[0]
    design = coalitions(10, 2068, 0)
    values = np.mean([model.predict(np.where(design.masks, record, row)) for row in base], axis=0)
    empty, full = model.predict(base).mean(keepdims=True), model.predict(record[None])
    found = attributions(design, values[:, None], empty, full)
    assert found.error == 0.0
    assert np.allclose(found.values[:, 0], truth, rtol=0, atol=1e-6 * np.abs(truth).max())


def test_kernel_explainer_agrees_where_it_enumerates_too(shap: Any) -> None:
    inputs, classes = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(20, random_state=0).fit(inputs[:, :8], classes)
    base, record = inputs[:1, :8], inputs[20, :8]
    explainer = shap.KernelExplainer(model.predict_proba, base)
    theirs = explainer.shap_values(record[None], nsamples=2**8, l1_reg=False, silent=True)[0]
    design = coalitions(8, 2064, 0)
    values = model.predict_proba(np.where(design.masks, record, base))
    found = attributions(design, values, *model.predict_proba(np.stack([base[0], record])))
    assert np.allclose(found.values, theirs, rtol=0, atol=1e-9)


def test_a_forest_is_explained_ten_times_as_exactly_for_the_same_rows(shap: Any) -> None:
    inputs, classes = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(30, random_state=0).fit(inputs[:, :13], classes)
    base = inputs[:, :13].mean(axis=0)
    masks = all_of(13)
    ours, theirs = [], []
    for number in range(4):
        table = model.predict_proba(np.where(masks, inputs[number, :13], base))[:, 1]
        truth = by_definition(table)

        def looked_up(rows: Any, table: Any = table) -> Any:
            return table[rows.astype(int) @ (1 << np.arange(13))]

        np.random.seed(number)
        explainer = shap.KernelExplainer(looked_up, np.zeros((1, 13)))
        sampled = explainer.shap_values(np.ones((1, 13)), nsamples=2074, l1_reg=False, silent=True)[0]
        design = coalitions(13, 2074, number)
        found = attributions(design, looked_up(design.masks)[:, None], table[:1], table[-1:]).values[:, 0]
        theirs.append(((sampled - truth) ** 2).sum() / (truth**2).sum())
        ours.append(((found - truth) ** 2).sum() / (truth**2).sum())
    assert np.median(ours) <= np.median(theirs) / 10
