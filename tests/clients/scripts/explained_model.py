"""An endpoint that explains its predictions, through the SDK's classes of ExplainerConfig: of a linear model, of which
the attributions are known."""

import pathlib
import tarfile

import boto3
import joblib
import numpy as np
import sagemaker
from sagemaker.deserializers import JSONDeserializer
from sagemaker.explainer import ExplainerConfig
from sagemaker.explainer.clarify_explainer_config import (
    ClarifyExplainerConfig,
    ClarifyInferenceConfig,
    ClarifyShapBaselineConfig,
    ClarifyShapConfig,
)
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer
from sagemaker.sklearn import SKLearnModel
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

table = load_diabetes()
trained = LinearRegression().fit(table.data, table.target)
joblib.dump(trained, "model.joblib")
with tarfile.open("model.tar.gz", "w:gz") as tar:
    tar.add("model.joblib")
baseline = table.data[[7, 40, 300]]
np.savetxt("baseline.csv", baseline, delimiter=",", fmt="%.17g")
session = sagemaker.Session()
pathlib.Path("inference.py").write_text(
    "import os, joblib\ndef model_fn(model_dir): return joblib.load(os.path.join(model_dir, 'model.joblib'))\n"
)
model = SKLearnModel(
    model_data=session.upload_data("model.tar.gz", key_prefix="explained"),
    role=sagemaker.get_execution_role(),
    entry_point="inference.py",
    framework_version="1.2-1",
    predictor_cls=Predictor,
)
explainer = ExplainerConfig(
    ClarifyExplainerConfig(
        enable_explanations="[0]>`150`",
        inference_config=ClarifyInferenceConfig(feature_headers=list(table.feature_names), max_record_count=500),
        shap_config=ClarifyShapConfig(
            ClarifyShapBaselineConfig(shap_baseline_uri=session.upload_data("baseline.csv", key_prefix="explained"))
        ),
    )
)
predictor = model.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    explainer_config=explainer,
    serializer=CSVSerializer(),
    deserializer=JSONDeserializer(accept="text/csv"),
    wait=False,
)
name = predictor.endpoint_name
client = boto3.client("sagemaker")
client.get_waiter("endpoint_in_service").wait(EndpointName=name)
described = client.describe_endpoint(EndpointName=name)["ExplainerConfig"]
assert described == explainer._to_request_dict(), described

records = table.data[:6]
wanted = trained.predict(records)
explained = wanted > 150
assert 0 < explained.sum() < 6


def check(answer, which):
    assert answer["version"] == "1.0"
    lines = answer["predictions"]["data"].split()
    assert np.allclose(np.array(lines, dtype=float), wanted), answer["predictions"]
    slots = answer["explanations"]["kernel_shap"]
    assert [slot is not None for slot in slots] == list(which), slots
    for record, slot in zip(records, slots, strict=True):
        if slot is not None:
            assert [each["feature_header"] for each in slot] == table.feature_names
            found = [each["attributions"][0]["attribution"][0] for each in slot]
            truth = trained.coef_ * (record - baseline.mean(axis=0))
            assert np.allclose(found, truth, rtol=1e-5, atol=1e-4), (found, truth)  # the image reads CSV as float32


check(predictor.predict(records), explained)
check(predictor.predict(records, initial_args={"EnableExplanations": "`true`"}), [True] * 6)
plain = predictor.predict(records, initial_args={"EnableExplanations": "`false`"})
assert plain["explanations"] == {}, plain

predictor.delete_model()
predictor.delete_endpoint()
client.get_waiter("endpoint_deleted").wait(EndpointName=name)

refused = ClarifyExplainerConfig(ClarifyShapConfig(ClarifyShapBaselineConfig(shap_baseline="0")), "[0]> `")
broken = model.deploy(1, "ml.m5.large", explainer_config=ExplainerConfig(refused), wait=False)
try:
    session.wait_for_endpoint(broken.endpoint_name, poll=0.2)
except sagemaker.exceptions.UnexpectedStatusException as error:
    assert "at position 5" in str(error), error
else:
    raise AssertionError("an expression that does not compile explains")
broken.delete_model()
broken.delete_endpoint()
