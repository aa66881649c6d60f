"""SKLearnModel in script mode, with a source directory; bucket and session are the SDK's defaults."""

import logging
import pathlib
import tarfile

import boto3
import joblib
import numpy as np
import sagemaker
from sagemaker.deserializers import CSVDeserializer, JSONDeserializer
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, JSONSerializer
from sagemaker.sklearn import SKLearnModel, SKLearnPredictor
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

features, labels = load_iris(return_X_y=True)
trained = LogisticRegression(max_iter=500).fit(features, labels)
joblib.dump(trained, "model.joblib")
with tarfile.open("model.tar.gz", "w:gz") as tar:
    tar.add("model.joblib")
model_data = sagemaker.Session().upload_data("model.tar.gz", key_prefix="iris")

pathlib.Path("source").mkdir()
pathlib.Path("source/inference.py").write_text(
    "import os, joblib, shared, beside\n"
    "assert (shared.WHERE, beside.WHERE) == ('dependencies', 'source')\n"
    "def model_fn(model_dir):\n"
    "    print('the flowers are loaded')\n"
    "    return joblib.load(os.path.join(model_dir, 'model.joblib'))\n"
)
pathlib.Path("source/beside.py").write_text("WHERE = 'source'\n")
pathlib.Path("shared.py").write_text("WHERE = 'dependencies'\n")

model = SKLearnModel(
    model_data=model_data,
    role=sagemaker.get_execution_role(),
    entry_point="inference.py",
    source_dir="source",
    dependencies=["shared.py"],
    framework_version="1.2-1",
    env={"OF_THE_MODEL": "1"},
)
predictor = model.deploy(
    initial_instance_count=1, instance_type="ml.m5.large", wait=False, tags=[{"Key": "k", "Value": "v"}]
)
assert isinstance(predictor, SKLearnPredictor)
name = predictor.endpoint_name
client = boto3.client("sagemaker")
client.get_waiter("endpoint_in_service").wait(EndpointName=name)
session = predictor.sagemaker_session
assert session.wait_for_endpoint(name, poll=0.1)["EndpointStatus"] == "InService"
shown = []
handler = logging.Handler()
handler.emit = lambda record: shown.append(record.getMessage())
logging.getLogger("sagemaker").addHandler(handler)
logging.getLogger("sagemaker").setLevel(logging.INFO)
assert session.wait_for_endpoint(name, poll=0.1, live_logging=True)["EndpointStatus"] == "InService"
assert "the flowers are loaded" in shown, shown

predicted = predictor.predict(features)
assert isinstance(predicted, np.ndarray)
assert (predicted == trained.predict(features)).all()
as_json = Predictor(name, serializer=JSONSerializer(), deserializer=JSONDeserializer())
assert as_json.predict(features[:3].tolist()) == trained.predict(features[:3]).tolist()
as_csv = Predictor(name, serializer=CSVSerializer(), deserializer=CSVDeserializer())
assert as_csv.predict(features[48:52]) == [[str(label)] for label in trained.predict(features[48:52])]

described = client.describe_endpoint(EndpointName=name)
config = client.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
container = client.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])["PrimaryContainer"]
assert container["Environment"]["SAGEMAKER_SUBMIT_DIRECTORY"].endswith("/sourcedir.tar.gz")
assert container["Environment"]["OF_THE_MODEL"] == "1"
assert {"Key": "k", "Value": "v"} in client.list_tags(ResourceArn=described["EndpointArn"])["Tags"]

predictor.delete_model()
predictor.delete_endpoint()
client.get_waiter("endpoint_deleted").wait(EndpointName=name)
assert client.list_endpoint_configs(NameContains=name)["EndpointConfigs"] == []
