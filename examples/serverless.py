"""A serverless endpoint in plain boto3: nothing runs while nobody calls, and a call that finds nothing waits for it.

A gradient boosting model of house-like prices, in XGBoost's algorithm mode:

1. the endpoint names memory and concurrency and no instances; one prediction is made;
2. more calls come at once than MaxConcurrency allows: the rest is throttled with AWS's error, and boto3's retries carry
   them through;
3. one replica is kept warm from then on (ProvisionedConcurrency), with the endpoint in service all the time.

It needs credentials, a region and a role (SAGEMAKER_ROLE_ARN) as any script for SageMaker; numpy and xgboost.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import numpy as np
import xgboost
from botocore.config import Config
from botocore.exceptions import ClientError

ENDPOINT = f"prices-{int(time.time())}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"  # us-east-1's
MOST_AT_A_TIME = 2
CALLS = 12

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
patient = boto3.client("sagemaker-runtime", config=Config(retries={"max_attempts": 10, "mode": "standard"}))
impatient = boto3.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}))


def trained() -> bytes:
    """A booster as model.tar.gz."""
    chance = np.random.default_rng(1)
    rooms, age, distance = chance.integers(1, 9, 2000), chance.uniform(0, 80, 2000), chance.exponential(5, 2000)
    price = 90 * rooms - 1.5 * age - 12 * distance + chance.normal(0, 20, 2000)
    rows = xgboost.DMatrix(np.column_stack([rooms, age, distance]), price)
    model = bytes(xgboost.train({"max_depth": 4, "eta": 0.3}, rows, num_boost_round=60).save_raw("json"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("xgboost-model")
        entry.size = len(model)
        tar.addfile(entry, io.BytesIO(model))
    return packed.getvalue()


def deploy() -> None:
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = f"sagemaker-{s3.meta.region_name}-{account}"
    if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    key = f"{ENDPOINT}/model.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=trained())
    role = os.environ.get("SAGEMAKER_ROLE_ARN", "arn:aws:iam::000000000000:role/service-role/SageMaker")
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{key}"}
    sagemaker.create_model(ModelName=ENDPOINT, ExecutionRoleArn=role, PrimaryContainer=container)
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": ENDPOINT,
                "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": MOST_AT_A_TIME},
            }
        ],
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)


def predicted(runtime: object, rooms: int) -> float:
    answer = runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="text/csv", Body=f"{rooms},10,2")
    return float(answer["Body"].read())


def outcome(runtime: object, rooms: int) -> str:
    """How one of many calls at once ended."""
    try:
        predicted(runtime, rooms)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "answered"


def all_at_once(runtime: object) -> dict[str, int]:
    with ThreadPoolExecutor(CALLS) as pool:
        outcomes = list(pool.map(lambda rooms: outcome(runtime, rooms % 8 + 1), range(CALLS)))
    return {each: outcomes.count(each) for each in sorted(set(outcomes))}


def main() -> None:
    print("Deploying a serverless endpoint …")
    deploy()
    began = time.monotonic()
    small, large = predicted(patient, 2), predicted(patient, 7)
    print(f"  2 rooms: {small:.0f}, 7 rooms: {large:.0f}; both {time.monotonic() - began:.2f} s after the first call")
    assert small < large
    print(f"{CALLS} calls at once, {MOST_AT_A_TIME} of which may run …")
    at_once = all_at_once(impatient)
    print(f"  without retries: {at_once}")
    assert set(at_once) <= {"answered", "ThrottlingException"}, at_once
    retried = all_at_once(patient)
    print(f"  with boto3's:    {retried}")
    assert retried == {"answered": CALLS}, retried
    print("Keeping one replica warm …")
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT,
        DesiredWeightsAndCapacities=[
            {
                "VariantName": "AllTraffic",
                "ServerlessUpdateConfig": {"MaxConcurrency": MOST_AT_A_TIME, "ProvisionedConcurrency": 1},
            }
        ],
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)
    (variant,) = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
    print(f"  {variant['CurrentServerlessConfig']}")
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    sagemaker.delete_endpoint_config(EndpointConfigName=ENDPOINT)
    sagemaker.delete_model(ModelName=ENDPOINT)
    print("Cleaned up.")


if __name__ == "__main__":
    main()
