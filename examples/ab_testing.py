"""A/B test of two XGBoost models behind one endpoint, in plain boto3.

Which customers will leave? An old and a new model answer, in XGBoost's algorithm mode: the archive holds a booster and
no script. While traffic runs through both, half and half,

1. each variant is given the held-out customers by name (`TargetVariant`) and judged by accuracy and AUC;
2. the traffic is shifted to the better one, 50/50, 25/75, 0/100 (`UpdateEndpointWeightsAndCapacities`), and after each
   step counted by the variant that answered (`InvokedProductionVariant`).

It needs credentials, a region and a role (SAGEMAKER_ROLE_ARN) as any script for SageMaker; numpy, scikit-learn and
xgboost.
"""

from __future__ import annotations

import io
import os
import tarfile
import threading
import time
from collections import Counter
from typing import Any, Self

import boto3
import numpy as np
import xgboost
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import train_test_split

ENDPOINT = f"churn-{int(time.time())}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"  # us-east-1's
COUNTED = 600
TOLERANCE = 0.1

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def customers(count: int = 4000) -> tuple[Any, Any]:
    """Made-up customers of a telephone company, and who of them left."""
    chance = np.random.default_rng(7)
    day_minutes = chance.normal(180, 55, count).clip(0)
    service_calls = chance.poisson(1.6, count)
    international = chance.random(count) < 0.1
    months = chance.integers(1, 120, count)
    voice_mail = chance.random(count) < 0.27
    score = 0.03 * (day_minutes - 220) + 0.8 * (service_calls - 3) + 1.6 * international - 0.004 * months - voice_mail
    left = chance.random(count) < 1 / (1 + np.exp(-score))
    return np.column_stack([day_minutes, service_calls, international, months, voice_mail]), left.astype(int)


def trained(features: Any, labels: Any, rounds: int, depth: int) -> bytes:
    """A booster as model.tar.gz."""
    parameters = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.2}
    booster = xgboost.train(parameters, xgboost.DMatrix(features, labels), num_boost_round=rounds)
    model = bytes(booster.save_raw("json"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("xgboost-model")
        entry.size = len(model)
        tar.addfile(entry, io.BytesIO(model))
    return packed.getvalue()


def default_bucket() -> str:
    """The bucket that the SageMaker SDK would take, made if it is not there."""
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = f"sagemaker-{s3.meta.region_name}-{account}"
    if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    return bucket


def deploy(archives: dict[str, bytes]) -> None:
    """A variant for each archive, all with the same weight; returns when they are in service."""
    bucket = default_bucket()
    role = os.environ.get("SAGEMAKER_ROLE_ARN", "arn:aws:iam::000000000000:role/service-role/SageMaker")
    for variant, archive in archives.items():
        key = f"{ENDPOINT}/{variant}/model.tar.gz"
        s3.put_object(Bucket=bucket, Key=key, Body=archive)
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{bucket}/{key}"}
        sagemaker.create_model(ModelName=f"{ENDPOINT}-{variant}", ExecutionRoleArn=role, PrimaryContainer=container)
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[
            {
                "VariantName": variant,
                "ModelName": f"{ENDPOINT}-{variant}",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                "InitialVariantWeight": 0.5,
            }
            for variant in archives
        ],
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)


def csv(rows: Any) -> str:
    return "\n".join(",".join(str(float(value)) for value in row) for row in rows)


def judge(variant: str, rows: Any, labels: Any) -> tuple[float, float]:
    """Accuracy and AUC of one variant on customers that no model has seen."""
    answer = runtime.invoke_endpoint(
        EndpointName=ENDPOINT, TargetVariant=variant, ContentType="text/csv", Accept="text/csv", Body=csv(rows)
    )
    assert answer["InvokedProductionVariant"] == variant
    chances = [float(each) for each in answer["Body"].read().decode().replace("\n", ",").split(",") if each]
    return accuracy_score(labels, np.array(chances) > 0.5), roc_auc_score(labels, chances)


class Traffic:
    """One customer after the other, until the block ends; a call that fails ends it all."""

    def __init__(self, rows: Any) -> None:
        self._bodies = [csv([row]) for row in rows]
        self._answered: list[str] = []
        self._failure: Exception | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                body = self._bodies[len(self._answered) % len(self._bodies)]
                answer = runtime.invoke_endpoint(EndpointName=ENDPOINT, ContentType="text/csv", Body=body)
                self._answered.append(answer["InvokedProductionVariant"])
        except Exception as error:  # noqa: BLE001 - told where the calls are counted
            self._failure = error

    def next(self, count: int) -> Counter[str]:
        """Who answers the next `count` calls."""
        begin = len(self._answered) + 1  # the call that is under way began before
        while len(self._answered) < begin + count:
            if self._failure is not None:
                raise self._failure
            time.sleep(0.01)
        return Counter(self._answered[begin : begin + count])


def shift(weights: dict[str, float]) -> None:
    """Change the weights; returns when they are in effect."""
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT,
        DesiredWeightsAndCapacities=[
            {"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()
        ],
    )
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)


def report(traffic: Traffic) -> None:
    """Count the next calls, and compare them with the weights that are in effect."""
    variants = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
    total = sum(variant["CurrentWeight"] for variant in variants)
    counts = traffic.next(COUNTED)
    for variant in variants:
        name, asked = variant["VariantName"], variant["CurrentWeight"] / total
        seen = counts[name] / COUNTED
        print(f"  {name:<4}{counts[name]:>5} calls, {seen:6.1%} of {asked:6.1%} asked")
        if abs(asked - seen) > TOLERANCE or (asked == 0 and seen > 0):
            raise SystemExit("the traffic does not follow the weights")


def clean_up(variants: list[str]) -> None:
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=ENDPOINT)
    sagemaker.delete_endpoint_config(EndpointConfigName=ENDPOINT)
    for variant in variants:
        sagemaker.delete_model(ModelName=f"{ENDPOINT}-{variant}")


def main() -> None:
    features, labels = customers()
    known, held_out, known_labels, held_out_labels = train_test_split(features, labels, test_size=0.25, random_state=1)
    archives = {
        "Old": trained(known[:150], known_labels[:150], rounds=3, depth=1),
        "New": trained(known, known_labels, rounds=40, depth=3),
    }
    deploy(archives)
    with Traffic(held_out) as traffic:
        print("Half and half:")
        report(traffic)
        for variant in archives:
            accuracy, auc = judge(variant, held_out, held_out_labels)
            print(f"  {variant:<4} accuracy {accuracy:.1%}, AUC {auc:.3f}")
        for old, new in ((25, 75), (0, 100)):
            print(f"Shifted to {old} and {new}:")
            shift({"Old": old, "New": new})
            report(traffic)
    clean_up(list(archives))
    print("Cleaned up.")


if __name__ == "__main__":
    main()
