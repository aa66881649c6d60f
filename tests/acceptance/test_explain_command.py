"""`mooring explain` beside a server: what it prints is what the closed forms of two models say."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import MOORING, Deployment, Server
from tests.acceptance.test_access import allow, keyed, new_key

HOUSES = """
import csv, io
def model_fn(model_dir): return None
def input_fn(body, content_type):
    text = body if isinstance(body, str) else body.decode()
    return [[float(cell) for cell in row] for row in csv.reader(io.StringIO(text)) if row]
def predict_fn(rows, model):
    return [150 * sqft + 10000 * bed + 15000 * (bath + lot + garage) - 5000 * (2022 - year)
            for year, sqft, bed, bath, lot, garage in rows]
def output_fn(prices, accept): return "".join(f"{price}\\n" for price in prices), "text/csv"
"""
REVIEWS = """
import json
import os
import subprocess
def model_fn(model_dir): return None
def input_fn(body, content_type):
    text = body if isinstance(body, str) else body.decode()
    return [json.loads(line)["features"] for line in text.splitlines()]
def predict_fn(rows, model):
    return [0.3 + 0.4 * ("good" in text) - 0.2 * ("bad" in text) + 0.01 * stars for text, stars in rows]
def output_fn(scores, accept):
    return "".join(json.dumps({"p": [score, 1 - score]}) + "\\n" for score in scores), "application/jsonlines"
"""
NAMES = ["YEAR", "SQFT", "BED", "BATH", "LOT", "GARAGE"]


def explainer(baseline: str, inference: dict[str, Any], **shap: Any) -> dict[str, Any]:
    config = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": baseline, **shap.pop("base", {})}, **shap}}
    return {"ExplainerConfig": {"ClarifyExplainerConfig": {**config, "InferenceConfig": inference}}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that needs keys, so that every call of the command is signed."""
    server = Server(tmp_path_factory.mktemp("explain") / "data", MOORING_ACCESS_MODE="keys")
    try:
        own = Deployment(keyed(server.start()))
        own.model("houses", HOUSES)
        own.config("houses", own.variant("houses"), **explainer("1995,3000,4,2,1,2", {"FeatureHeaders": NAMES}))
        own.model("reviews", REVIEWS)
        own.config(
            "reviews",
            own.variant("reviews"),
            **explainer(
                '{"features":["<UNK>",0]}',
                {
                    "FeaturesAttribute": "features",
                    "ContentTemplate": '{"features":$features}',
                    "ProbabilityAttribute": "p",
                    "LabelHeaders": ["like", "dislike"],
                    "FeatureHeaders": ["review", "stars"],
                },
                base={"MimeType": "application/jsonlines"},
                TextConfig={"Language": "en", "Granularity": "token"},
            ),
        )
        for name in ("houses", "reviews"):
            own.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        own.simple("plain")
        for name in ("houses", "reviews"):
            own.wait(name)
        yield server
    finally:
        server.end()


def test_a_table(server: Server, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("1995,3000,4,2,1,2\n2005,3200,3,2.5,0.9,1\n")
    target = tmp_path / "page.html"
    done = server.command(
        "explain", "houses", "--input", str(rows), "--html", str(target), "--expression", "[0]>`430000`"
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "record 0 is not explained, predicted 430000: the expression is false for it",
        "record 1",
        "base 430000 +61000 → predicted 491000",
    ]
    assert [line.split("│")[0].split()[:3] for line in lines[3:]] == [
        ["YEAR", "2005", "+50000"],
        ["SQFT", "3200", "+30000"],
        ["GARAGE", "1", "-15000"],
        ["BED", "3", "-10000"],
        ["BATH", "2.5", "+7500"],
        ["LOT", "0.9", "-1500"],
    ]
    page = target.read_text("utf-8")
    assert page.count("<svg") == 1
    assert "<title>GARAGE = 1: -15000</title>" in page


def test_a_text_in_json_lines(server: Server, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"features": ["Such a good film, 😀 not bad!", 5]}) + "\n")
    done = server.command("explain", "reviews", "--input", str(rows), "--top", "3")
    assert done.returncode == 0, done.stderr
    blocks = done.stdout.split("record 0\n")[1].split("dislike: ")
    assert blocks[0].startswith("like: base 0.3 +0.25 → predicted 0.55\n")
    assert blocks[1].startswith("base 0.7 -0.25 → predicted 0.45\n")
    assert [line.split("│")[0].split()[:3] for line in blocks[0].splitlines()[1:4]] == [
        ["good", "@7", "+0.4000"],
        ["bad", "@24", "-0.2000"],
        ["stars", "5", "+0.0500"],
    ]
    assert blocks[0].endswith("  review:\n    Such a [+good] film, 😀 not [-bad]!\n")
    assert blocks[1].endswith("  review:\n    Such a [-good] film, 😀 not [+bad]!\n")


def test_an_endpoint_without_explainer(server: Server, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("1,2\n")
    done = server.command("explain", "plain", "--input", str(rows))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert 'endpoint "plain" explains nothing' in line


def test_what_the_model_refuses_is_one_line(server: Server, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("1,2,3,4,5,x\n")
    done = server.command("explain", "houses", "--input", str(rows))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "could not convert string to float" in done.stderr


def test_a_key_that_may_describe_and_invoke_is_enough(server: Server, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("2005,3200,3,2.5,0.9,1\n")
    access, secret = new_key(server, "asker", allow("sagemaker:DescribeEndpoint", "sagemaker:InvokeEndpoint"))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOORING_"))}
    done = subprocess.run(
        [MOORING, "explain", "houses", "--url", server.url, "--region", "us-east-1", "--input", str(rows)],
        env={**environ, "AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("record 0\nbase 430000 +61000 → predicted 491000\n")
