"""Bring your own scikit-learn model, with the SageMaker Python SDK v2 (`pip install "sagemaker<3"`).

The iris classifier was trained anywhere and is packed as it is. `SKLearnModel` packs and uploads the script that
serves it, makes model, configuration and endpoint, and gives a predictor that speaks NumPy. `own_model_boto3.py` shows
the calls behind it.

It needs credentials, a region and a role as any notebook for SageMaker.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import boto3
import joblib
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer
from sagemaker.sklearn import SKLearnModel
from sklearn.datasets import load_iris
from sklearn.svm import SVC

SCRIPT = """
import os

import joblib


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
"""


def main() -> None:
    features, labels = load_iris(return_X_y=True)
    trained = SVC().fit(features, labels)
    session = sagemaker.Session()

    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        (here / "serve.py").write_text(SCRIPT)
        joblib.dump(trained, here / "model.joblib")
        with tarfile.open(here / "model.tar.gz", "w:gz") as tar:
            tar.add(here / "model.joblib", "model.joblib")
        model = SKLearnModel(
            model_data=session.upload_data(str(here / "model.tar.gz"), key_prefix="own-model"),
            role=sagemaker.get_execution_role(),
            entry_point=str(here / "serve.py"),
            framework_version="1.2-1",
            sagemaker_session=session,
        )
        # Without wait=False the SDK sleeps half a minute before it looks at all.
        predictor = model.deploy(initial_instance_count=1, instance_type="ml.m5.large", wait=False)
    boto3.client("sagemaker").get_waiter("endpoint_in_service").wait(EndpointName=predictor.endpoint_name)

    rows = features[::15]
    wanted = trained.predict(rows).tolist()
    in_json = Predictor(predictor.endpoint_name, session, JSONSerializer(), JSONDeserializer())
    for name, found in (("NumPy", predictor.predict(rows).tolist()), ("JSON", in_json.predict(rows.tolist()))):
        print(f"{name:<6}{found}")
        assert found == wanted

    predictor.delete_model()
    predictor.delete_endpoint()
    print("Cleaned up.")


if __name__ == "__main__":
    main()
