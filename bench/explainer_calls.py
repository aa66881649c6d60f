"""Explained calls: their time beside shap's in process, and what they cost ordinary calls on the same replica.

    python bench/explainer_calls.py [--rounds 7] [--seconds 5] [--models boosted forest]

One `mooring serve` on a free loopback port, with one replica of each scikit-learn model behind the model server. A call
of 10 records of 14 features is explained with the default number of samples and one row of baseline; in the same round
`shap.KernelExplainer(l1_reg=False)` explains the same records with as many samples, and calls the same model in its own
process. The attributions of both are compared with each other, and their sums with the predictions.

Ordinary calls are of one record, with explanations off (EnableExplanations=`false`), and come at random times whether
or not earlier ones were answered (`open_loop`): by turns alone, and while one explained call follows the other.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

import joblib
import numpy as np
import shap
from figures import Server, create_model, server
from machine import busy, commit, described_machine, versions
from open_loop import Latencies, load
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

FEATURES, RECORDS = 14, 10
SAMPLES = 2 * FEATURES + 2048
RATE = 25.0
"""Ordinary calls a second."""
MODELS: dict[str, Any] = {
    "boosted": GradientBoostingClassifier(random_state=0),
    "forest": RandomForestClassifier(100, random_state=0, n_jobs=1),
}
SCRIPT = b"""
import os, joblib, numpy
def model_fn(d): return joblib.load(os.path.join(d, "model.joblib"))
def predict_fn(data, model): return model.predict_proba(numpy.atleast_2d(data))[:, 1]
"""
OFF = "`false`"


class Subject(NamedTuple):
    """A model, and what is asked of it."""

    name: str
    model: Any
    baseline: np.ndarray
    records: np.ndarray

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(rows)[:, 1]


def text_of(rows: np.ndarray) -> str:
    return "\n".join(",".join(map(repr, row.tolist())) for row in rows)


def subject(name: str) -> Subject:
    data, target = load_breast_cancer(return_X_y=True)
    data = data[:, :FEATURES]
    chosen = np.random.default_rng(0).choice(len(data), RECORDS, replace=False)
    return Subject(name, MODELS[name].fit(data, target), data.mean(axis=0, keepdims=True), data[chosen])


def deploy(at: Server, of: Subject) -> None:
    buffer = io.BytesIO()
    joblib.dump(of.model, buffer)
    create_model(at, of.name, {"model.joblib": buffer.getvalue(), "code/inference.py": SCRIPT})
    sagemaker = at.client("sagemaker")
    variant = {"VariantName": "all", "ModelName": of.name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    baseline = {"ShapBaselineConfig": {"MimeType": "text/csv", "ShapBaseline": text_of(of.baseline)}}
    sagemaker.create_endpoint_config(
        EndpointConfigName=of.name,
        ProductionVariants=[variant],
        ExplainerConfig={"ClarifyExplainerConfig": {"ShapConfig": baseline}},
    )
    sagemaker.create_endpoint(EndpointName=of.name, EndpointConfigName=of.name)
    while (found := sagemaker.describe_endpoint(EndpointName=of.name))["EndpointStatus"] == "Creating":
        time.sleep(0.05)
    if found["EndpointStatus"] != "InService":
        raise SystemExit(found["FailureReason"])


class Caller:
    """Calls an endpoint over a kept connection."""

    def __init__(self, port: int, of: Subject) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
        self._path = f"/endpoints/{of.name}/invocations"
        self._body = text_of(of.records)

    def explained(self) -> np.ndarray:
        """Attributions, records by features."""
        headers = {"Content-Type": "text/csv", "Accept": "text/csv"}
        self._connection.request("POST", self._path, self._body, headers)
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"an explained call was answered with {response.status}: {body[:500]!r}")
        records = json.loads(body)["explanations"]["kernel_shap"]
        return np.array([[each["attributions"][0]["attribution"][0] for each in record] for record in records])

    def close(self) -> None:
        self._connection.close()


def timed(action: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    began = time.perf_counter()
    found = action()
    return time.perf_counter() - began, found


def beside_shap(at: Server, of: Subject, rounds: int) -> str:
    """A row of the first table."""
    caller = Caller(at.port, of)
    explainer = shap.KernelExplainer(of.predict, of.baseline)
    differences = of.predict(of.records) - of.predict(of.baseline)

    def by_shap() -> np.ndarray:
        found: np.ndarray = explainer.shap_values(of.records, nsamples=SAMPLES, l1_reg=False, silent=True)
        return found

    caller.explained()
    by_shap()
    ours, theirs = [], []
    for _ in range(rounds):
        took, found = timed(caller.explained)
        ours.append(took)
        took, expected = timed(by_shap)
        theirs.append(took)
        for each in (found, expected):
            if not np.allclose(each.sum(axis=1), differences, atol=1e-8):
                raise SystemExit("attributions do not add up")
        if np.linalg.norm(found - expected) > 0.2 * np.linalg.norm(expected):
            raise SystemExit("attributions are not alike")
    caller.close()
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    seconds = f"{statistics.median(ours):.2f} | {statistics.median(theirs):.2f}"
    return f"| {of.name} | {seconds} | {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"


@contextmanager
def explaining(at: Server, of: Subject) -> Iterator[list[float]]:
    """One explained call after the other goes on; how long each took."""
    took: list[float] = []
    over = threading.Event()

    def call() -> None:
        caller = Caller(at.port, of)
        while not over.is_set():
            took.append(timed(caller.explained)[0])
        caller.close()

    thread = threading.Thread(target=call, name="explained calls")
    thread.start()
    try:
        time.sleep(0.2)
        yield took
    finally:
        over.set()
        thread.join()


def plain_message(port: int, of: Subject) -> bytes:
    body = text_of(of.records[:1])
    return (
        f"POST /endpoints/{of.name}/invocations HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: text/csv\r\n"
        f"Accept: text/csv\r\nX-Amzn-SageMaker-Enable-Explanations: {OFF}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def beside_plain_calls(at: Server, of: Subject, rounds: int, seconds: int) -> str:
    """A row of the second table."""
    message = plain_message(at.port, of)
    load(at.port, message, RATE, 1)
    alone: list[Latencies] = []
    beside: list[Latencies] = []
    calls = 0
    for _ in range(rounds):
        alone.append(load(at.port, message, RATE, seconds))
        with explaining(at, of) as took:
            beside.append(load(at.port, message, RATE, seconds))
        calls += len(took)
    if any(each.failures for each in (*alone, *beside)):
        raise SystemExit("an ordinary call failed")
    cells = [of.name]
    for each in (alone, beside):
        cells += [f"{statistics.median(one.percentile(percent) for one in each) / 1000:.1f}" for percent in (50, 99)]
    added = [(one.percentile(99) - other.percentile(99)) / 1000 for one, other in zip(beside, alone, strict=True)]
    cells.append(f"{statistics.median(added):.1f} ({min(added):.1f} to {max(added):.1f})")
    cells.append(f"{calls / rounds / seconds:.2f}")
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=int, default=5)
    options.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    chosen = options.parse_args()
    warnings.filterwarnings("ignore", category=FutureWarning)
    print(described_machine())
    print(f"{versions(['shap', 'scikit-learn', 'numpy'])}; commit {commit()}; {busy()}")
    print(f"{RECORDS} records of {FEATURES} features, {SAMPLES} samples, {chosen.rounds} rounds\n", flush=True)
    subjects = [subject(name) for name in chosen.models]
    with server() as at:
        at.client("s3").create_bucket(Bucket="bench")
        for of in subjects:
            deploy(at, of)
        print("| one explained call | Mooring, s | shap in process, s | ratio |\n| --- | --- | --- | --- |")
        for of in subjects:
            print(beside_shap(at, of, chosen.rounds), flush=True)
        print(f"\n| ordinary calls, {RATE:g}/s, ms | p50 | p99 | p50 beside | p99 beside | p99 added | explained/s |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for of in subjects:
            print(beside_plain_calls(at, of, chosen.rounds, chosen.seconds), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
