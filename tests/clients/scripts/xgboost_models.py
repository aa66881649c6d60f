"""XGBoost both ways: with a script, and in algorithm mode through the generic Model."""

import pathlib
import tarfile

import boto3
import numpy as np
import sagemaker
import xgboost
from sagemaker import image_uris
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, LibSVMSerializer
from sagemaker.xgboost import XGBoostModel
from sklearn.datasets import load_breast_cancer

session = sagemaker.Session()
role = sagemaker.get_execution_role()
client = boto3.client("sagemaker")
features, labels = load_breast_cancer(return_X_y=True)
booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(features, labels), num_boost_round=10)
wanted = booster.predict(xgboost.DMatrix(features[:4]))
booster.save_model("xgboost-model.json")
pathlib.Path("xgboost-model.json").rename("xgboost-model")
with tarfile.open("model.tar.gz", "w:gz") as tar:
    tar.add("xgboost-model")
model_data = session.upload_data("model.tar.gz", key_prefix="xgboost")
pathlib.Path("serve.py").write_text(
    "import os, xgboost\n"
    "def model_fn(model_dir):\n"
    "    booster = xgboost.Booster()\n"
    "    booster.load_model(os.path.join(model_dir, 'xgboost-model'))\n"
    "    return booster\n"
)

scripted = XGBoostModel(
    model_data=model_data, role=role, entry_point="serve.py", framework_version="1.7-1", sagemaker_session=session
)
by_script = scripted.deploy(1, "ml.m5.large", wait=False)

image = image_uris.retrieve("xgboost", region=session.boto_region_name, version="1.7-1")
algorithm = Model(image_uri=image, model_data=model_data, role=role, predictor_cls=Predictor, sagemaker_session=session)
by_algorithm = algorithm.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    endpoint_name="xgboost-algorithm",
    serializer=CSVSerializer(),
    deserializer=CSVDeserializer(),
    wait=False,
)
for predictor in (by_script, by_algorithm):
    client.get_waiter("endpoint_in_service").wait(EndpointName=predictor.endpoint_name)

assert isinstance(by_script.serializer, LibSVMSerializer)
by_script.serializer = CSVSerializer()
assert np.allclose(np.array(by_script.predict(features[:4]), dtype=float).ravel(), wanted, atol=1e-6)
assert np.allclose(np.array(by_algorithm.predict(features[:4]), dtype=float).ravel(), wanted, atol=1e-6)
in_json = Predictor("xgboost-algorithm", serializer=CSVSerializer(), deserializer=JSONDeserializer())
assert np.allclose([each["score"] for each in in_json.predict(features[:4])["predictions"]], wanted, atol=1e-6)

for predictor in (by_script, by_algorithm):
    predictor.delete_model()
    predictor.delete_endpoint()
    client.get_waiter("endpoint_deleted").wait(EndpointName=predictor.endpoint_name)
