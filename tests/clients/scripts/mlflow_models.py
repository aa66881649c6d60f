"""Two models and a table to ask them with, as files for MLflow's command line."""

import mlflow.sklearn
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

features, labels = load_iris(return_X_y=True, as_frame=True)
requirements = mlflow.sklearn.get_default_pip_requirements()
for name, model in (
    ("model", LogisticRegression(max_iter=500)),
    ("other", DummyClassifier(strategy="constant", constant=1)),
):
    mlflow.sklearn.save_model(model.fit(features, labels), name, pip_requirements=requirements)
features.iloc[[0, 149]].to_json("rows.json")
