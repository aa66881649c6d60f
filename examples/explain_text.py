"""Why a model reads a text as it does: online explanations by word and by sentence, in plain boto3.

SDKs for AWS ship with prose: what each operation of each service does. From botocore's copy a model learns to tell
which service a description is of, by TF-IDF and a logistic regression, in a second or two. The endpoint then says by
which words of a description it was told.

1. descriptions of four services, a model, its script, an endpoint that explains by token;
2. a description that the model has not seen, with what each of its tokens adds for and against a service;
3. the same by sentence, after an update of the endpoint; both sum to the same.

It needs credentials, a region and a role (SAGEMAKER_ROLE_ARN) as any script for SageMaker; joblib and scikit-learn. On
machines of your own the server needs spaCy, which splits the texts.
"""

from __future__ import annotations

import csv
import html
import io
import json
import os
import re
import sys
import tarfile
import time
from typing import Any

import boto3
import botocore.session
import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline

ENDPOINT = f"services-{int(time.time())}"
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"  # us-east-1's
ROLE = os.environ.get("SAGEMAKER_ROLE_ARN", "arn:aws:iam::000000000000:role/service-role/SageMaker")
SERVICES = ["iam", "lambda", "rds", "s3"]
SENTENCES = 3

# What serves the model: rows of CSV with one text each, answered by a row with one probability for each service.
SCRIPT = """
import csv
import io
import os

import joblib


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def input_fn(body, content_type):
    if content_type != "text/csv":
        raise ValueError("text/csv is needed, not " + content_type)
    text = body.decode() if isinstance(body, bytes) else body
    return [row[0] for row in csv.reader(io.StringIO(text, newline="")) if row]


def predict_fn(texts, model):
    return model.predict_proba(texts)


def output_fn(rows, accept):
    return "".join(",".join(map(repr, row)) + "\\n" for row in rows.tolist()), "text/csv"
"""

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


# 1. The texts and the model -----------------------------------------------------------------------------------------


def descriptions() -> tuple[list[str], list[str]]:
    """What operations do, in a few sentences without markup, and the services that they are of."""
    texts, services = [], []
    for service in SERVICES:
        model = botocore.session.get_session().get_service_model(service)
        for name in model.operation_names:
            prose = html.unescape(re.sub(r"<[^>]*>", " ", model.operation_model(name).documentation))
            prose = re.sub(r"\s+([.,;:])", r"\1", " ".join(prose.split()))
            texts.append(" ".join(re.split(r"(?<=[.!?]) ", prose)[:SENTENCES]))
            services.append(service)
    return texts, services


def trained(texts: list[str], services: list[str]) -> Pipeline:
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2), LogisticRegression(C=10, max_iter=1000)
    )
    return model.fit(texts, services)


def packed(model: Pipeline) -> bytes:
    """The model and its script as model.tar.gz."""
    model_file = io.BytesIO()
    joblib.dump(model, model_file)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for path, content in (("model.joblib", model_file.getvalue()), ("code/inference.py", SCRIPT.encode())):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


# 2. An endpoint that explains ---------------------------------------------------------------------------------------
#
# The baseline of a text is what stands in the place of a unit that is taken away. The model knows no word like it, so
# it reads such a text as if the unit were not there.

REPLACEMENT = '"<UNK>"'


def config(granularity: str) -> str:
    """An endpoint config that explains texts by token or by sentence; its name."""
    name = f"{ENDPOINT}-{granularity}"
    sagemaker.create_endpoint_config(
        EndpointConfigName=name,
        ProductionVariants=[
            {
                "VariantName": "AllTraffic",
                "ModelName": ENDPOINT,
                "InstanceType": "ml.m5.xlarge",
                "InitialInstanceCount": 1,
            }
        ],
        ExplainerConfig={
            "ClarifyExplainerConfig": {
                # The container's rows have a score for each class and no labels: the names come from here.
                "InferenceConfig": {
                    "LabelHeaders": SERVICES,
                    "FeatureHeaders": ["description"],
                    "FeatureTypes": ["text"],
                },
                "ShapConfig": {
                    "ShapBaselineConfig": {"MimeType": "text/csv", "ShapBaseline": REPLACEMENT},
                    "TextConfig": {"Language": "en", "Granularity": granularity},
                    "Seed": 1,
                },
            }
        },
    )
    return name


def deploy(model: Pipeline) -> None:
    account = boto3.client("sts").get_caller_identity()["Account"]
    bucket = f"sagemaker-{s3.meta.region_name}-{account}"
    if bucket not in {each["Name"] for each in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=bucket)
    key = f"{ENDPOINT}/model.tar.gz"
    s3.put_object(Bucket=bucket, Key=key, Body=packed(model))
    sagemaker.create_model(
        ModelName=ENDPOINT,
        ExecutionRoleArn=ROLE,
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": f"s3://{bucket}/{key}",
            "Environment": {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"},
        },
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=config("token"))
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)


# 3. Calls -----------------------------------------------------------------------------------------------------------


def asked(text: str, **options: str) -> Any:
    row = io.StringIO()
    csv.writer(row, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow([text])
    answer = runtime.invoke_endpoint(
        EndpointName=ENDPOINT, ContentType="text/csv", Accept="text/csv", Body=row.getvalue().encode(), **options
    )
    return json.loads(answer["Body"].read())


def probabilities(answer: Any) -> list[float]:
    return [float(each) for each in answer["predictions"]["data"].split(",")]


def highlighted(text: str, units: list[Any], kind: int) -> str:
    """The text with a unit that speaks for a class in green and one against it in red; in brackets in a file."""
    most = max(abs(unit["attribution"][kind]) for unit in units)
    pieces, after = [], 0
    for unit in units:
        start, amount = unit["description"]["start_idx"], unit["attribution"][kind]
        end = start + len(unit["description"]["partial_text"])
        assert text[start:end] == unit["description"]["partial_text"]
        word = text[start:end]
        if abs(amount) > 0.1 * most:
            colour = 42 if amount > 0 else 41
            word = f"\033[30;{colour}m{word}\033[0m" if sys.stdout.isatty() else f"[{'+' if amount > 0 else '-'}{word}]"
        pieces.append(text[after:start] + word)
        after = end
    return "".join(pieces) + text[after:]


def explain(text: str) -> list[float]:
    """Show one; what all units add for each class."""
    began = time.monotonic()
    answer = asked(text)
    took = time.monotonic() - began
    ((feature,),) = answer["explanations"]["kernel_shap"]
    units = feature["attributions"]
    assert answer["label_headers"] == SERVICES
    scores = probabilities(answer)
    kind = scores.index(max(scores))
    print(f"  {SERVICES[kind]} with probability {scores[kind]:.3f}, told by {len(units)} units in {took:.2f} s")
    print(f"    {highlighted(text, units, kind)}")
    for unit in sorted(units, key=lambda unit: -abs(unit["attribution"][kind]))[:4]:
        print(f"    {unit['attribution'][kind]:+.3f} {unit['description']['partial_text'][:60]!r}")
    return [sum(unit["attribution"][place] for unit in units) for place in range(len(SERVICES))]


def main() -> None:
    texts, services = descriptions()
    train, test, train_services, test_services = train_test_split(texts, services, random_state=4, stratify=services)
    model = trained(train, train_services)
    print(f"{len(texts)} descriptions; {model.score(test, test_services):.1%} of those not learnt are told right")
    assert list(model.classes_) == SERVICES
    print("Deploying an endpoint that explains by token …")
    deploy(model)

    # One description of each service, neither short nor long.
    pairs = [(text, service) for text, service in zip(test, test_services, strict=True) if 150 < len(text) < 300]
    chosen = [next(text for text, service in pairs if service == each) for each in SERVICES]
    by_token = [explain(each) for each in chosen]

    # What is explained is the way from the baseline's prediction to this one, in each class.
    base = probabilities(asked(REPLACEMENT.strip('"'), EnableExplanations="`false`"))
    for text, sums in zip(chosen, by_token, strict=True):
        scores = probabilities(asked(text, EnableExplanations="`false`"))
        assert all(abs(b + s - f) < 1e-6 for b, s, f in zip(base, sums, scores, strict=True))

    print("Explaining by sentence from now on …")
    sagemaker.update_endpoint(EndpointName=ENDPOINT, EndpointConfigName=config("sentence"))
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)
    for text, sums in zip(chosen, by_token, strict=True):
        assert all(abs(one - other) < 1e-6 for one, other in zip(explain(text), sums, strict=True))

    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    for granularity in ("token", "sentence"):
        sagemaker.delete_endpoint_config(EndpointConfigName=f"{ENDPOINT}-{granularity}")
    sagemaker.delete_model(ModelName=ENDPOINT)
    print("Cleaned up.")


if __name__ == "__main__":
    main()
