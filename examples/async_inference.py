"""Asynchronous inference in plain boto3: files wait in a queue, answers go to S3, and topics tell of each.

An XGBoost model that scores files of customers, on no instance at all until there is work:

1. the endpoint writes outputs and failures under two prefixes, and tells two topics, which a queue of SQS hears;
2. a file is scored; one that is not CSV fails, and says why;
3. with MinCapacity 0 the endpoint is scaled to zero. Files that come then wait, a step policy on
   HasBacklogWithoutCapacity brings up an instance, and they are scored.

It needs credentials, a region and a role (SAGEMAKER_ROLE_ARN) as any script for SageMaker; numpy and xgboost.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from typing import Any

import boto3
import numpy as np
import xgboost

ENDPOINT = f"scores-{int(time.time())}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"  # us-east-1's
WITHIN_S = 900

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")
scaling = boto3.client("application-autoscaling")
cloudwatch = boto3.client("cloudwatch")
sqs = boto3.client("sqs")
OF_VARIANT = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"endpoint/{ENDPOINT}/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}


def trained() -> bytes:
    """A booster as model.tar.gz."""
    chance = np.random.default_rng(1)
    features = chance.normal(size=(2000, 4))
    labels = (features @ [2, -1, 0.5, 0] + chance.normal(0, 0.3, 2000) > 0).astype(int)
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(features, labels), num_boost_round=40)
    model = bytes(booster.save_raw("json"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("xgboost-model")
        entry.size = len(model)
        tar.addfile(entry, io.BytesIO(model))
    return packed.getvalue()


class Announcements:
    """A topic for successes and one for failures, and a queue that hears both."""

    def __init__(self) -> None:
        sns = boto3.client("sns")
        self._url = sqs.create_queue(QueueName=ENDPOINT)["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.topics = [sns.create_topic(Name=f"{ENDPOINT}-{kind}")["TopicArn"] for kind in ("success", "error")]
        for topic in self.topics:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        self._heard: dict[str, Any] = {}

    def of(self, inference_id: str) -> Any:
        """What was told of one call; waits for it."""
        until = time.monotonic() + WITHIN_S
        while inference_id not in self._heard:
            assert time.monotonic() < until, f"nothing was told of {inference_id}"
            for each in sqs.receive_message(QueueUrl=self._url, WaitTimeSeconds=1).get("Messages", ()):
                told = json.loads(json.loads(each["Body"])["Message"])
                self._heard[told.get("inferenceId", "a test of the topic")] = told
                sqs.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])
        return self._heard[inference_id]


def deploy(bucket: str, topics: list[str]) -> None:
    key = f"{ENDPOINT}/model.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=trained())
    role = os.environ.get("SAGEMAKER_ROLE_ARN", "arn:aws:iam::000000000000:role/service-role/SageMaker")
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{key}"}
    sagemaker.create_model(ModelName=ENDPOINT, ExecutionRoleArn=role, PrimaryContainer=container)
    success, error = topics
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": ENDPOINT,
                "InstanceType": "ml.m5.xlarge",
                "InitialInstanceCount": 1,
            }
        ],
        AsyncInferenceConfig={
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 4},
            "OutputConfig": {
                "S3OutputPath": f"s3://{bucket}/{ENDPOINT}/outputs",
                "S3FailurePath": f"s3://{bucket}/{ENDPOINT}/failures",
                "NotificationConfig": {"SuccessTopic": success, "ErrorTopic": error},
            },
        },
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)


def score(bucket: str, name: str, content: str) -> str:
    """Put a file into S3 and into the queue; the call's InferenceId."""
    s3.put_object(Bucket=bucket, Key=f"{ENDPOINT}/inputs/{name}", Body=content.encode())
    answer = runtime.invoke_endpoint_async(
        EndpointName=ENDPOINT, InputLocation=f"s3://{bucket}/{ENDPOINT}/inputs/{name}", ContentType="text/csv"
    )
    return str(answer["InferenceId"])


def read(location: str) -> str:
    bucket, _, key = location.removeprefix("s3://").partition("/")
    return str(s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode())


def scale_from_zero() -> None:
    """No instance from now on, and one as soon as something waits."""
    scaling.register_scalable_target(**OF_VARIANT, MinCapacity=0, MaxCapacity=2)
    policy = scaling.put_scaling_policy(
        **OF_VARIANT,
        PolicyName="from-zero",
        PolicyType="StepScaling",
        StepScalingPolicyConfiguration={
            "AdjustmentType": "ChangeInCapacity",
            "Cooldown": 60,
            "MetricAggregationType": "Average",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    )
    cloudwatch.put_metric_alarm(
        AlarmName=ENDPOINT,
        AlarmActions=[policy["PolicyARN"]],
        Namespace="AWS/SageMaker",
        MetricName="HasBacklogWithoutCapacity",
        Dimensions=[{"Name": "EndpointName", "Value": ENDPOINT}],
        Statistic="Average",
        Period=10,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="missing",
    )
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}]
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)


def instances() -> int:
    (variant,) = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
    return int(variant["CurrentInstanceCount"])


def main() -> None:
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = f"sagemaker-{s3.meta.region_name}-{account}"
    if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    announcements = Announcements()
    print("Deploying an asynchronous endpoint …")
    deploy(bucket, announcements.topics)

    told = announcements.of(score(bucket, "good.csv", "1,0,0,0\n-1,0,0,0\n"))
    assert told["invocationStatus"] == "Completed", told
    scores = [float(each) for each in read(told["responseParameters"]["outputLocation"]).replace(",", "\n").split()]
    print(f"  good.csv: {scores}")
    assert scores[0] > 0.5 > scores[1]

    told = announcements.of(score(bucket, "bad.csv", "this,is,no,number\n"))
    assert told["invocationStatus"] == "Failed", told
    print(f"  bad.csv:  {told['failureReason'].partition(' See ')[0]} {read(told['failureLocation']).strip()}")

    print("Scaling to zero; files wait …")
    scale_from_zero()
    assert instances() == 0
    waiting = [score(bucket, f"{number}.csv", f"{number},0,0,0\n") for number in range(5)]
    began = time.monotonic()
    assert all(announcements.of(each)["invocationStatus"] == "Completed" for each in waiting)
    print(f"  {len(waiting)} files scored {time.monotonic() - began:.0f} s later, on {instances()} instance")
    activities = scaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=OF_VARIANT["ResourceId"])[
        "ScalingActivities"
    ]
    print(f"  {activities[0]['Description']} {activities[0]['Cause']}")

    cloudwatch.delete_alarms(AlarmNames=[ENDPOINT])
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    sagemaker.delete_endpoint_config(EndpointConfigName=ENDPOINT)
    sagemaker.delete_model(ModelName=ENDPOINT)
    print("Cleaned up.")


if __name__ == "__main__":
    main()
