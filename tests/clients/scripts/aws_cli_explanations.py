"""The AWS CLI: a config with an explainer from a file, its endpoint, and calls that are explained as each wants."""

import json
import pathlib
import subprocess
import sys
import tarfile

AWS = pathlib.Path(sys.executable).with_name("aws")
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SCRIPT = """
import numpy as np
WEIGHTS = np.array([150, 10000, 15000, 15000, 15000, 5000])
def model_fn(d):
    return None
def predict_fn(data, model):
    return data @ WEIGHTS - 5000 * 2022
"""
BUCKET = "explained-with-the-aws-cli"
BASELINE = "3000,4,2,1,2,1995"
RECORD = "3200,3,2.5,0.9,1,2005"
TRUTH = [30000, -10000, 7500, -1500, -15000, 50000]
NAMES = ["SQFT", "BED", "BATH", "LOT", "GARAGE", "YEAR"]


def run(*arguments, status=0):
    done = subprocess.run([AWS, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if status == 0 else done.stderr


def invoke(*arguments):
    run("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "cli-explained", *arguments, "answer.json")
    return json.loads(pathlib.Path("answer.json").read_text())


run("s3", "mb", f"s3://{BUCKET}")
pathlib.Path("inference.py").write_text(SCRIPT)
with tarfile.open("model.tar.gz", "w:gz") as tar:
    tar.add("inference.py", "code/inference.py")
run("s3", "cp", "model.tar.gz", f"s3://{BUCKET}/model.tar.gz")
pathlib.Path("baseline.csv").write_text(f"{BASELINE}\n")
run("s3", "cp", "baseline.csv", f"s3://{BUCKET}/baseline.csv")
role = "arn:aws:iam::000000000000:role/any"
container = f"Image={IMAGE},ModelDataUrl=s3://{BUCKET}/model.tar.gz"
run(
    *("sagemaker", "create-model", "--model-name", "cli-explained", "--execution-role-arn", role),
    *("--primary-container", container),
)
explainer = {
    "ClarifyExplainerConfig": {
        "InferenceConfig": {"FeatureHeaders": NAMES, "MaxRecordCount": 20, "MaxPayloadInMB": 1},
        "ShapConfig": {"ShapBaselineConfig": {"ShapBaselineUri": f"s3://{BUCKET}/baseline.csv"}, "Seed": 7},
    }
}
pathlib.Path("explainer.json").write_text(json.dumps(explainer))
variant = "VariantName=All,ModelName=cli-explained,InitialInstanceCount=1,InstanceType=ml.m5.large"
run(
    *("sagemaker", "create-endpoint-config", "--endpoint-config-name", "cli-explained"),
    *("--production-variants", variant, "--explainer-config", "file://explainer.json"),
)
both = {"ShapBaseline": BASELINE, "ShapBaselineUri": f"s3://{BUCKET}/baseline.csv"}
refused = {"ClarifyExplainerConfig": {"ShapConfig": {"ShapBaselineConfig": both}}}
said = run(
    *("sagemaker", "create-endpoint-config", "--endpoint-config-name", "cli-refused", "--production-variants", variant),
    *("--explainer-config", json.dumps(refused)),
    status=255,
)
assert "Only one of ShapBaseline and ShapBaselineUri can be specified." in said, said
run("sagemaker", "create-endpoint", "--endpoint-name", "cli-explained", "--endpoint-config-name", "cli-explained")
run("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli-explained")
described = json.loads(run("sagemaker", "describe-endpoint", "--endpoint-name", "cli-explained"))
assert described["ExplainerConfig"] == explainer, described

call = ("--content-type", "text/csv", "--accept", "text/csv", "--body")
answer = invoke(*call, RECORD)
assert abs(float(answer["predictions"]["data"]) - 491000) < 0.01, answer  # the image reads CSV as float32
(slot,) = answer["explanations"]["kernel_shap"]
assert [each["feature_header"] for each in slot] == NAMES
found = [each["attributions"][0]["attribution"][0] for each in slot]
assert all(abs(one - other) < 0.01 for one, other in zip(found, TRUTH, strict=True)), found
several = invoke(*call, f"{RECORD}\n{BASELINE}", "--enable-explanations", "[0]>`450000`")
assert [slot is not None for slot in several["explanations"]["kernel_shap"]] == [True, False], several
plain = invoke(*call, BASELINE, "--enable-explanations", "`false`")
assert plain["explanations"] == {}, plain
assert float(plain["predictions"]["data"]) == 430000, plain

run("sagemaker", "delete-endpoint", "--endpoint-name", "cli-explained")
run("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "cli-explained")
run("sagemaker", "delete-endpoint-config", "--endpoint-config-name", "cli-explained")
run("sagemaker", "delete-model", "--model-name", "cli-explained")
