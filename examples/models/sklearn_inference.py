"""SageMaker's script contract for a scikit-learn classifier: probability of the positive class, one a row."""

import io
import os

import joblib
import numpy as np


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def input_fn(body, content_type):
    if content_type != "text/csv":
        raise ValueError(f"text/csv is needed, not {content_type}")
    return np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2)


def predict_fn(rows, model):
    return model.predict_proba(rows)[:, 1]
