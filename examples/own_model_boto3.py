"""Bring your own scikit-learn model, in plain boto3: the archive has the model alone, the script comes beside it.

The iris classifier was trained anywhere and is packed as it is. What serves it is a `sourcedir.tar.gz` of its own in
S3, named by SAGEMAKER_SUBMIT_DIRECTORY and SAGEMAKER_PROGRAM, as the SageMaker SDK packs it: so a script can change
without its model. `own_model_sdk.py` does the same with the SDK. The rows go as NumPy, CSV and JSON.

It needs credentials, a region and a role (SAGEMAKER_ROLE_ARN) as any script for SageMaker; joblib, numpy and
scikit-learn.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import time

import boto3
import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.svm import SVC

NAME = f"iris-{int(time.time())}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"  # us-east-1's
ROLE = os.environ.get("SAGEMAKER_ROLE_ARN", "arn:aws:iam::000000000000:role/service-role/SageMaker")
SCRIPT = """
import os

import joblib


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))
"""

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def archive(name: str, data: bytes) -> bytes:
    """A .tar.gz of one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def upload(model: SVC) -> str:
    """Both archives into the default bucket; their common prefix."""
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = f"sagemaker-{s3.meta.region_name}-{account}"
    if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    file = io.BytesIO()
    joblib.dump(model, file)
    s3.put_object(Bucket=bucket, Key=f"{NAME}/model.tar.gz", Body=archive("model.joblib", file.getvalue()))
    s3.put_object(Bucket=bucket, Key=f"{NAME}/sourcedir.tar.gz", Body=archive("serve.py", SCRIPT.encode()))
    return f"s3://{bucket}/{NAME}"


def deploy(prefix: str) -> None:
    sagemaker.create_model(
        ModelName=NAME,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": f"{prefix}/model.tar.gz",
            "Environment": {
                "SAGEMAKER_PROGRAM": "serve.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": f"{prefix}/sourcedir.tar.gz",
                "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
                "SAGEMAKER_REGION": s3.meta.region_name,
            },
        },
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": NAME,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=NAME, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName=NAME)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME)


def predict(body: bytes, content_type: str, accept: str) -> bytes:
    response = runtime.invoke_endpoint(EndpointName=NAME, ContentType=content_type, Accept=accept, Body=body)
    return response["Body"].read()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def clean_up() -> None:
    sagemaker.delete_endpoint(EndpointName=NAME)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=NAME)
    sagemaker.delete_endpoint_config(EndpointConfigName=NAME)
    sagemaker.delete_model(ModelName=NAME)


def main() -> None:
    features, labels = load_iris(return_X_y=True)
    model = SVC().fit(features, labels)
    deploy(upload(model))

    rows = features[::15]
    wanted = model.predict(rows).tolist()
    as_numpy = np.load(io.BytesIO(predict(npy(rows), "application/x-npy", "application/x-npy"))).tolist()
    csv = "\n".join(",".join(map(str, row)) for row in rows).encode()
    as_csv = [int(float(each)) for each in predict(csv, "text/csv", "text/csv").split()]
    as_json = json.loads(predict(json.dumps(rows.tolist()).encode(), "application/json", "application/json"))
    for name, found in (("NumPy", as_numpy), ("CSV", as_csv), ("JSON", as_json)):
        print(f"{name:<6}{found}")
        assert found == wanted

    clean_up()
    print("Cleaned up.")


if __name__ == "__main__":
    main()
