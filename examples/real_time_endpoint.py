"""One model behind one real-time endpoint, step by step, in plain boto3.

Train, pack, upload, create_model, create_endpoint_config, create_endpoint, wait, invoke, grow to two instances while it
serves, and delete all of it again.

It needs credentials, a region and a role (SAGEMAKER_ROLE_ARN) as any script for SageMaker; joblib and scikit-learn.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import time

import boto3
import joblib
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

NAME = f"progression-{int(time.time())}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"  # us-east-1's
ROLE = os.environ.get("SAGEMAKER_ROLE_ARN", "arn:aws:iam::000000000000:role/service-role/SageMaker")
SCRIPT = """
import json
import os

import joblib


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def input_fn(body, content_type):
    if content_type != "application/json":
        raise ValueError("application/json is needed, not " + content_type)
    return json.loads(body)["instances"]


def output_fn(predictions, accept):
    return json.dumps({"predictions": predictions.tolist()}), "application/json"
"""

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")

# 1. A model, here a linear one, and the script that serves it, in one archive.
features, targets = load_diabetes(return_X_y=True)
model = LinearRegression().fit(features, targets)
model_file = io.BytesIO()
joblib.dump(model, model_file)
archive = io.BytesIO()
with tarfile.open(fileobj=archive, mode="w:gz") as tar:
    for path, data in (("model.joblib", model_file.getvalue()), ("code/inference.py", SCRIPT.encode())):
        entry = tarfile.TarInfo(path)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))

# 2. The archive goes to S3.
account = boto3.client("sts").get_caller_identity()["Account"]
bucket = f"sagemaker-{s3.meta.region_name}-{account}"
if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
    s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket=bucket, Key=f"{NAME}/model.tar.gz", Body=archive.getvalue())

# 3. Model, endpoint configuration, endpoint.
sagemaker.create_model(
    ModelName=NAME,
    ExecutionRoleArn=ROLE,
    PrimaryContainer={
        "Image": IMAGE,
        "ModelDataUrl": f"s3://{bucket}/{NAME}/model.tar.gz",
        "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
    },
)
sagemaker.create_endpoint_config(
    EndpointConfigName=NAME,
    ProductionVariants=[
        {
            "VariantName": "AllTraffic",
            "ModelName": NAME,
            "InstanceType": "ml.m5.large",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": 1,
        }
    ],
)
began = time.monotonic()
sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME)
print(f"{NAME} is in service after {time.monotonic() - began:.1f} s")

# 4. Predictions.
response = runtime.invoke_endpoint(
    EndpointName=NAME, ContentType="application/json", Body=json.dumps({"instances": features[:3].tolist()})
)
predictions = json.loads(response["Body"].read())["predictions"]
print("predicted", [round(each) for each in predictions])
assert all(abs(ours - theirs) < 1e-6 for ours, theirs in zip(model.predict(features[:3]), predictions, strict=True))

# 5. A second instance, while the first one serves.
sagemaker.update_endpoint_weights_and_capacities(
    EndpointName=NAME, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 2}]
)
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME)
variant = sagemaker.describe_endpoint(EndpointName=NAME)["ProductionVariants"][0]
print("instances:", variant["CurrentInstanceCount"])
assert variant["CurrentInstanceCount"] == variant["DesiredInstanceCount"] == 2

# 6. Nothing is left, and nothing costs.
sagemaker.delete_endpoint(EndpointName=NAME)
sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=NAME)
sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
sagemaker.delete_model(ModelName=NAME)
s3.delete_object(Bucket=bucket, Key=f"{NAME}/model.tar.gz")
print("Cleaned up.")
