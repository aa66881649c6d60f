"""SageMaker's script contract for an XGBoost booster; input, prediction and output are the container's defaults."""

import os

import xgboost


def model_fn(model_dir):
    booster = xgboost.Booster()
    booster.load_model(os.path.join(model_dir, "model.json"))
    return booster
