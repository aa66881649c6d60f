"""Two real models behind one SageMaker endpoint, in plain boto3.

Nothing here knows of Mooring: with AWS_ENDPOINT_URL unset the same script would run against AWS (with a role and a
bucket of yours). It trains logistic regression and XGBoost on the breast cancer data that ships with scikit-learn,
packs each as `model.tar.gz` with a script in SageMaker's contract, deploys both behind one endpoint with weights 1
and 3, sends the held-out rows, and then moves the split while the endpoint serves.
"""

from __future__ import annotations

import io
import statistics
import tarfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import boto3
import joblib
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

BUCKET = "quickstart-models"
ENDPOINT = "quickstart"
ROLE = "arn:aws:iam::000000000000:role/service-role/AmazonSageMaker-ExecutionRole"
IMAGES = {
    "sklearn": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    "xgboost": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
}
SCRIPTS = Path(__file__).parent / "models"
ROUNDS = 7

s3 = boto3.client("s3")
sagemaker = boto3.client("sagemaker")
runtime = boto3.client("sagemaker-runtime")


def train() -> tuple[dict[str, bytes], Any, Any]:
    """The two archives, and the rows and labels that neither model has seen."""
    features, labels = load_breast_cancer(return_X_y=True)
    known, held_out, known_labels, held_out_labels = train_test_split(
        features, labels, test_size=0.25, random_state=7, stratify=labels
    )
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(known, known_labels)
    trees = XGBClassifier(n_estimators=60, max_depth=3, learning_rate=0.2).fit(known, known_labels)
    linear_file = io.BytesIO()
    joblib.dump(linear, linear_file)
    archives = {
        "sklearn": archive("model.joblib", linear_file.getvalue(), SCRIPTS / "sklearn_inference.py"),
        "xgboost": archive("model.json", bytes(trees.get_booster().save_raw("json")), SCRIPTS / "xgboost_inference.py"),
    }
    return archives, held_out, held_out_labels


def archive(name: str, model: bytes, script: Path) -> bytes:
    """A model.tar.gz as SageMaker wants it: the model, and `code/inference.py`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, data in ((name, model), ("code/inference.py", script.read_bytes())):
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


def deploy(archives: dict[str, bytes]) -> float:
    """Create everything; returns the seconds that the endpoint took from its creation to InService."""
    s3.create_bucket(Bucket=BUCKET)
    for framework, data in archives.items():
        s3.put_object(Bucket=BUCKET, Key=f"{framework}/model.tar.gz", Body=data)
        sagemaker.create_model(
            ModelName=f"quickstart-{framework}",
            ExecutionRoleArn=ROLE,
            PrimaryContainer={
                "Image": IMAGES[framework],
                "ModelDataUrl": f"s3://{BUCKET}/{framework}/model.tar.gz",
            },
        )
    sagemaker.create_endpoint_config(
        EndpointConfigName=ENDPOINT,
        ProductionVariants=[
            variant("linear", "quickstart-sklearn", weight=1),
            variant("trees", "quickstart-xgboost", weight=3),
        ],
    )
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=ENDPOINT)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=ENDPOINT)
    endpoint = sagemaker.describe_endpoint(EndpointName=ENDPOINT)
    return (endpoint["LastModifiedTime"] - endpoint["CreationTime"]).total_seconds()


def variant(name: str, model: str, weight: float) -> dict[str, Any]:
    return {
        "VariantName": name,
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": weight,
    }


def predict(rows: Any, labels: Any) -> dict[str, list[tuple[bool, float]]]:
    """Send every row `ROUNDS` times; for each variant, whether each answer was right and how long it took."""
    answers = defaultdict(list)
    for row, label in list(zip(rows, labels, strict=True)) * ROUNDS:
        began = time.perf_counter()
        response = runtime.invoke_endpoint(
            EndpointName=ENDPOINT, ContentType="text/csv", Accept="text/csv", Body=",".join(map(str, row))
        )
        probability = float(response["Body"].read())
        took = time.perf_counter() - began
        answers[response["InvokedProductionVariant"]].append(((probability > 0.5) == bool(label), took))
    return answers


def report(answers: dict[str, list[tuple[bool, float]]]) -> None:
    described = sagemaker.describe_endpoint(EndpointName=ENDPOINT)["ProductionVariants"]
    weights = {each["VariantName"]: each["CurrentWeight"] for each in described}
    total_weight, total = sum(weights.values()), sum(map(len, answers.values()))
    print(f"  {'variant':<9}{'rows':>6}{'accuracy':>10}{'split asked':>13}{'split seen':>12}{'p50 ms':>9}{'p99 ms':>9}")
    for name, weight in weights.items():
        outcomes = answers.get(name, [])
        times = [took * 1000 for _, took in outcomes]
        right = sum(correct for correct, _ in outcomes) / len(outcomes) if outcomes else float("nan")
        p50 = statistics.median(times) if times else float("nan")
        p99 = statistics.quantiles(times, n=100)[98] if len(times) > 1 else float("nan")
        asked, seen = weight / total_weight, len(outcomes) / total
        print(f"  {name:<9}{len(outcomes):>6}{right:>10.1%}{asked:>13.1%}{seen:>12.1%}{p50:>9.2f}{p99:>9.2f}")


def move_split(weights: dict[str, float]) -> float:
    """Change the weights while the endpoint serves; returns the seconds until the call's effect was reported."""
    began = time.perf_counter()
    sagemaker.update_endpoint_weights_and_capacities(
        EndpointName=ENDPOINT,
        DesiredWeightsAndCapacities=[
            {"VariantName": name, "DesiredWeight": weight} for name, weight in weights.items()
        ],
    )
    while sagemaker.describe_endpoint(EndpointName=ENDPOINT)["EndpointStatus"] != "InService":
        time.sleep(0.002)
    return time.perf_counter() - began


def clean_up() -> None:
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=ENDPOINT)
    sagemaker.delete_endpoint_config(EndpointConfigName=ENDPOINT)
    for framework in IMAGES:
        sagemaker.delete_model(ModelName=f"quickstart-{framework}")
        s3.delete_object(Bucket=BUCKET, Key=f"{framework}/model.tar.gz")
    s3.delete_bucket(Bucket=BUCKET)


def main(*, keep: bool = False) -> None:
    print("Training logistic regression and XGBoost on the breast cancer data …")
    archives, rows, labels = train()
    for framework, data in archives.items():
        print(f"  {framework:<8} model.tar.gz, {len(data) / 1024:.0f} kB")
    print("Deploying both behind one endpoint, weights 1 and 3 …")
    print(f"  InService {deploy(archives):.2f} s after create_endpoint")
    print(f"Sending {len(rows)} held-out rows {ROUNDS} times, one row a call …")
    report(predict(rows, labels))
    print("Moving the split to 9 and 1, live …")
    print(f"  in effect after {move_split({'linear': 9, 'trees': 1}) * 1000:.0f} ms")
    report(predict(rows, labels))
    if not keep:
        clean_up()
        print("Cleaned up: endpoint, config, models and bucket are gone.")


if __name__ == "__main__":
    import sys

    main(keep="--keep" in sys.argv[1:])
