"""Why a model says what it says: online explanations of a table, in plain boto3.

Breast tumours, from scikit-learn's data set of 569 of them: 30 numbers each, measured in an image of its cells. A
gradient boosting model says how likely one is malignant, and the endpoint says which numbers it says so for.

1. an XGBoost model behind an endpoint whose config has an ExplainerConfig;
2. rows are predicted, and those that look malignant are explained in the same answer;
3. attributions sum to the prediction without that of the baseline, which is checked;
4. one call explains every row instead, the benign ones too.

It needs credentials, a region and a role (SAGEMAKER_ROLE_ARN) as any script for SageMaker; numpy, scikit-learn and
xgboost.
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
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

ENDPOINT = f"tumours-{int(time.time())}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"  # us-east-1's
SHOWN = 5

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


# 1. The model -------------------------------------------------------------------------------------------------------
#
# The data set has 1 for benign; turned around, the score is the probability of a malignant tumour.

data = load_breast_cancer()
NAMES = [str(each) for each in data.feature_names]
train, test, train_labels, test_labels = train_test_split(data.data, 1 - data.target, test_size=0.2, random_state=1)


def trained() -> bytes:
    """A booster as model.tar.gz."""
    rows = xgboost.DMatrix(train, train_labels)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 3, "eta": 0.2}, rows, num_boost_round=80)
    model = bytes(booster.save_raw("json"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        entry = tarfile.TarInfo("xgboost-model")
        entry.size = len(model)
        tar.addfile(entry, io.BytesIO(model))
    return packed.getvalue()


# 2. What explanations are against -----------------------------------------------------------------------------------
#
# A prediction is explained against a baseline: why this score, and not that one? The benign tumour in the middle,
# number by number, makes a good question here. An attribution is what a number adds to the score where it takes the
# place of the baseline's. Several rows may be given, whose predictions are averaged; large ones go to S3, as
# ShapBaselineUri.

BASELINE = ",".join(f"{each:.6g}" for each in np.median(train[train_labels == 0], axis=0))

EXPLAINER = {
    "ClarifyExplainerConfig": {
        # A JMESPath over each line of the model's answer, which is [score] here: explain what looks malignant. It looks
        # at what the model says, never at what it is asked. Without it, every record is explained.
        "EnableExplanations": "[0]>`0.5`",
        # Names for the answer. Nothing else is needed where a container takes CSV and answers with a score a line.
        "InferenceConfig": {"FeatureHeaders": NAMES},
        "ShapConfig": {
            "ShapBaselineConfig": {"MimeType": "text/csv", "ShapBaseline": BASELINE},
            # 30 features have 2^30 coalitions. 2 · 30 + 2048 of them are taken when nothing is said; the same ones for
            # the same Seed, so that a row that is explained twice has the same attributions.
            "Seed": 1,
        },
    }
}


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
                "InstanceType": "ml.m5.xlarge",
                "InitialInstanceCount": 1,
            }
        ],
        ExplainerConfig=EXPLAINER,
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)


# 3. Calls -----------------------------------------------------------------------------------------------------------
#
# InvokeEndpoint as ever; the answer is JSON, with what the container said in it, to the byte.


def asked(body: str, **options: str) -> Any:
    answer = runtime.invoke_endpoint(
        EndpointName=ENDPOINT, ContentType="text/csv", Accept="text/csv", Body=body, **options
    )
    assert answer["ContentType"] == "application/json"
    return json.loads(answer["Body"].read())


def scores(answer: Any) -> list[float]:
    return [float(each) for each in answer["predictions"]["data"].replace(",", "\n").split()]


def attributions(record: Any) -> dict[str, float]:
    """By feature. Each has one number for each class, and a score is one."""
    return {each["feature_header"]: each["attributions"][0]["attribution"][0] for each in record}


def show(row: list[float], score: float, base: float, found: dict[str, float]) -> None:
    """The largest attributions, and the sum of the others."""
    print(f"  malignant with probability {score:.3f}; the baseline {base:.3f}")
    largest = sorted(found, key=lambda name: -abs(found[name]))
    for name in largest[:SHOWN]:
        bar = ("+" if found[name] > 0 else "-") * round(40 * abs(found[name]))
        print(f"    {name:<24}{row[NAMES.index(name)]:>10.4g}{found[name]:>+9.3f} {bar}")
    print(f"    {f'{len(largest) - SHOWN} others':<34}{sum(found[name] for name in largest[SHOWN:]):>+9.3f}")


def main() -> None:
    print("Deploying an endpoint with explanations …")
    deploy()

    # Four tumours of each kind, of those that the model has never seen.
    rows = np.concatenate([test[test_labels == kind][:4] for kind in (1, 0)]).tolist()
    body = "\n".join(",".join(map(repr, row)) for row in rows)
    began = time.monotonic()
    answer = asked(body)
    took = time.monotonic() - began
    found = answer["explanations"]["kernel_shap"]
    explained = [place for place, record in enumerate(found) if record is not None]
    print(f"{len(rows)} predictions, {len(explained)} of them explained, in {took:.2f} s:")
    # One place for each record, which is null for those that the expression is false for.
    assert explained == [place for place, score in enumerate(scores(answer)) if score > 0.5]

    # The base value is not in the answer. It is what the model says of the baseline; with EnableExplanations a call
    # replaces the config's expression, and `false` is the way to a plain prediction.
    plain = asked(BASELINE, EnableExplanations="`false`")
    assert plain["explanations"] == {}
    (base,) = scores(plain)
    for place in explained:
        parts, score = attributions(found[place]), scores(answer)[place]
        show(rows[place], score, base, parts)
        # Whatever is sampled, attributions sum to what there is to explain.
        assert abs(base + sum(parts.values()) - score) < 1e-6, (base, parts, score)

    # The same rows once more, with all of them explained. What was explained before is the same now.
    every = asked(body, EnableExplanations="`true`")["explanations"]["kernel_shap"]
    assert None not in every
    assert all(every[place] == found[place] for place in explained)
    importance = np.mean([[abs(each) for each in attributions(record).values()] for record in every], axis=0)
    most = [NAMES[place] for place in np.argsort(-importance)[:SHOWN]]
    print(f"What counts in all {len(every)}, on average: {', '.join(most)}")

    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    sagemaker.delete_endpoint_config(EndpointConfigName=ENDPOINT)
    sagemaker.delete_model(ModelName=ENDPOINT)
    print("Cleaned up.")


if __name__ == "__main__":
    main()
