"""What the mistakes of people with SageMaker code are told: AWS's words first, then where it is and what to do.

Each message is provoked for real; docs/errors.md explains them all, under the words that are looked for here.
"""

from __future__ import annotations

import http.client
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import joblib
import pytest
from botocore.exceptions import ClientError
from sklearn.linear_model import LogisticRegression

from mooring.processes import machine
from tests.acceptance.running import ROLE, Deployment, archive, wait_until

LOADS = "import joblib, os\ndef model_fn(d): return joblib.load(os.path.join(d, 'model.joblib'))\n"
PING = "The primary container for production variant v did not pass the ping health check. "


def model() -> bytes:
    packed = io.BytesIO()
    joblib.dump(LogisticRegression().fit([[0, 0, 0], [1, 1, 1]], [0, 1]), packed)
    return packed.getvalue()


@pytest.fixture(scope="module")
def sound(shared_server: Any) -> tuple[Deployment, str]:
    """An endpoint of scikit-learn's defaults that is in order."""
    deployment = Deployment(shared_server, "messages")
    deployment.model("sound-messages", data=archive({"model.joblib": model(), "code/inference.py": LOADS}))
    deployment.endpoint("sound-messages", deployment.variant("sound-messages"))
    deployment.wait("sound-messages", timeout=60)
    return deployment, "sound-messages"


def refused(call: Callable[..., Any], **members: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**members)
    return str(error.value.response["Error"]["Message"])


def from_model(
    sound: tuple[Deployment, str], body: bytes, content_type: str = "text/csv", **members: str
) -> tuple[int, str]:
    """The status and the text that the container answered with."""
    deployment, name = sound
    with pytest.raises(ClientError) as error:
        deployment.runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType=content_type, **members)
    answer = error.value.response
    assert answer["Error"]["Code"] == "ModelError"
    assert answer["Error"]["Message"].startswith(
        f"Received {'client' if answer['OriginalStatusCode'] < 500 else 'server'}"
    )
    return answer["OriginalStatusCode"], answer["OriginalMessage"]


def reason(deployment: Deployment, files: dict[str, str | bytes] | None = None, **container: Any) -> str:
    """Why an endpoint of these files, or of this container, has failed."""
    name = f"{deployment.prefix}-failing"
    deployment.model(name, data=archive({"model.joblib": b"", **files}) if files is not None else None, **container)
    deployment.endpoint(name, deployment.variant(name, "v"))
    found: str = deployment.wait(name, status="Failed", timeout=45)["FailureReason"]
    return found


# Invocations.


def test_a_content_type_that_the_default_input_fn_does_not_take(sound) -> None:
    status, text = from_model(sound, b"<x/>", "application/xml")
    message = json.loads(text[: text.index(', "stack-trace"')] + "}")["error-message"]
    assert status == 415
    assert message.startswith(
        "Content type application/xml is not supported by this framework.\n\nPlease implement input_fn"
    )
    assert message.endswith("Without them these are: application/json, text/csv, application/x-npy.")


def test_an_accept_that_the_default_output_fn_does_not_write(sound) -> None:
    status, text = from_model(sound, b"[[1, 2, 3]]", "application/json", Accept="image/png")
    assert status == 406
    assert "Content type image/png is not supported by this framework." in text
    assert "Without them these are: application/json, text/csv, application/x-npy." in text


@pytest.mark.parametrize(("body", "content_type"), [(b"1,2,3", "text/csv"), (b"[1, 2, 3]", "application/json")])
def test_one_row_has_one_dimension(sound, body: bytes, content_type: str) -> None:
    status, text = from_model(sound, body, content_type)
    assert status == 500
    assert "Expected 2D array, got 1D array instead" in text
    assert text.rstrip().endswith(
        "One row has one dimension here, as in AWS's container: send it as JSON with two pairs of brackets, [[1, 2]], "
        "or give the script an input_fn that reshapes it."
    )


def test_a_body_that_only_looks_like_json(sound) -> None:
    status, text = from_model(sound, b"{'rows': [1]}", "application/json")
    assert status == 500
    assert "The body is no JSON, it begins with \"{'rows': [1]}\"" in text


def test_a_predict_fn_that_raises_says_what_and_the_log_says_where(shared: Deployment) -> None:
    script = "def model_fn(d): return 1\ndef predict_fn(data, model): raise ValueError('no column named age')\n"
    name = shared.simple(f"{shared.prefix}-raises", script)
    status, text = from_model((shared, name), b"[1]", "application/json")
    assert (status, text) == (500, "Internal Server Error\n\nValueError: no column named age\n")
    wait_until(lambda: 'inference.py", line 2, in predict_fn' in shared.server.command("logs", name).stdout)


def test_an_endpoint_that_is_not_in_service_yet(shared: Deployment) -> None:
    name = shared.model(f"{shared.prefix}-slow", "import time\ndef model_fn(d): time.sleep(600)")
    shared.endpoint(name, shared.variant(name))
    assert refused(shared.runtime.invoke_endpoint, EndpointName=name, Body=b"x") == (
        f"Endpoint {name} of account 000000000000 not found. An endpoint of us-east-1 can be invoked once it is "
        "InService; `mooring status` shows them."
    )
    assert shared.server.command("endpoints", "delete", name, "--force").returncode == 0


def test_a_wrong_region(sound) -> None:
    deployment, name = sound
    elsewhere = deployment.server.client("sagemaker-runtime", region="eu-west-1")
    assert refused(elsewhere.invoke_endpoint, EndpointName=name, Body=b"x").endswith(
        " not found. It is in us-east-1, and this call is for eu-west-1."
    )
    control = deployment.server.client("sagemaker", region="eu-west-1")
    assert refused(control.describe_endpoint, EndpointName=name) == (
        f'Could not find endpoint "arn:aws:sagemaker:eu-west-1:000000000000:endpoint/{name}". There is one in '
        "us-east-1: name that region."
    )


@pytest.mark.parametrize("ending", ["_v2", "/", "-"])
def test_an_endpoint_name_that_cannot_be_one(sound, ending: str) -> None:
    deployment, name = sound
    message = refused(deployment.runtime.invoke_endpoint, EndpointName=name + ending, Body=b"x")
    assert message.startswith(
        f"1 validation error detected: Value '{name}{ending}' at 'endpointName' failed to satisfy constraint: Member "
        "must satisfy regular expression pattern: "
    )


def test_a_path_with_something_behind_it(sound) -> None:
    deployment, name = sound
    address = urlsplit(deployment.server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=15)
    try:
        connection.request("POST", f"/endpoints/{name}/invocations/", body=b"x")
        answer = connection.getresponse()
        assert answer.status == 404
        assert "an endpoint is invoked by POST to /endpoints/NAME/invocations" in json.loads(answer.read())["message"]
    finally:
        connection.close()


def test_a_body_over_the_limit(sound) -> None:
    deployment, name = sound
    assert refused(deployment.runtime.invoke_endpoint, EndpointName=name, Body=bytes(6_291_457)) == (
        "HTTP content length exceeded 6291456 bytes. Put larger input into S3 for the model to fetch, or set "
        "MOORING_GATEWAY_BODY_LIMIT_BYTES."
    )


def test_target_model_of_an_endpoint_with_one_model(sound) -> None:
    deployment, name = sound
    assert refused(deployment.runtime.invoke_endpoint, EndpointName=name, Body=b"x", TargetModel="a.tar.gz") == (
        f"Endpoint {name} is not a multi-model endpoint and does not support target model header."
    )


# Scripts.


def test_a_script_without_model_fn(shared: Deployment) -> None:
    text = reason(shared, {"code/inference.py": "def predict_fn(data, model): return data\n"})
    assert text.startswith(PING)
    assert (
        "Please provide a model_fn implementation. inference.py defines predict_fn: add def model_fn(model_dir)" in text
    )


def test_no_script_at_all(shared: Deployment) -> None:
    text = reason(shared, {"inference.py": LOADS})  # beside code/, where nothing looks
    assert (
        "Please provide a model_fn implementation. There is no script: SAGEMAKER_PROGRAM is not set and there is no"
        in text
    )
    assert "Put one into the archive as code/inference.py" in text


@pytest.mark.parametrize("directory", ["code/", ""])
def test_a_program_that_is_not_there(shared: Deployment, directory: str) -> None:
    text = reason(shared, {f"{directory}inference.py": LOADS}, Environment={"SAGEMAKER_PROGRAM": "infrence.py"})
    assert "FileNotFoundError: the program infrence.py is not in " in text
    assert "(SAGEMAKER_PROGRAM names it)" in text
    assert ("there is inference.py" in text) == bool(directory)


def test_a_module_that_no_requirement_brings(shared: Deployment) -> None:
    text = reason(shared, {"code/inference.py": "import lightgbm_of_nobody\ndef model_fn(d): return 1\n"})
    assert text.startswith(PING)
    assert (
        "import failed: ModuleNotFoundError: No module named 'lightgbm_of_nobody'. If lightgbm_of_nobody is your own, "
        "put it into code/ beside the script; else name its distribution in code/requirements.txt, which is not there."
    ) in text


def test_a_model_file_of_another_name(shared: Deployment) -> None:
    text = reason(
        shared, {"iris.joblib": model(), "model.joblib": b"", "code/inference.py": LOADS.replace("model.j", "m.j")}
    )
    assert "model_fn failed: FileNotFoundError: [Errno 2] No such file or directory: " in text
    assert "In the model directory there are code/, iris.joblib, model.joblib." in text


def test_the_path_that_containers_have(shared: Deployment) -> None:
    text = reason(shared, {"code/inference.py": "def model_fn(d): return open('/opt/ml/model/model.joblib')\n"})
    assert "There is no /opt/ml/ here: take the model_dir that model_fn is called with, or SM_MODEL_DIR." in text


def test_a_model_that_was_pickled_in_a_notebook(shared: Deployment) -> None:
    pickled = b"c__main__\nScaler\n(tR."  # what a notebook's own class looks like
    script = "import pickle, os\ndef model_fn(d): return pickle.load(open(os.path.join(d, 'm.pkl'), 'rb'))\n"
    text = reason(shared, {"m.pkl": pickled, "code/inference.py": script})
    assert "AttributeError: Can't get attribute 'Scaler' on <module " in text
    assert "define it in a module that lies in code/, import it from there and save the model again." in text


# Models.


def test_model_data_in_a_bucket_that_is_not_there(shared: Deployment) -> None:
    text = moved(shared, f"{shared.prefix}-passing", remove_bucket=True)
    assert "there is no such bucket (Mooring's S3 is its own, and AWS's buckets are not in it: upload there" in text
    assert "MOORING_OBJECTS_ENDPOINT_URL" in text


def test_model_data_under_a_key_that_is_not_there(shared: Deployment) -> None:
    text = moved(shared, f"{shared.prefix}-staying", remove_bucket=False)
    assert "there is no such object" in text


def moved(deployment: Deployment, bucket: str, *, remove_bucket: bool) -> str:
    """The reason of an endpoint whose model data was there when the model was created, and is no more."""
    deployment.s3.create_bucket(Bucket=bucket)
    deployment.s3.put_object(Bucket=bucket, Key="m.tar.gz", Body=archive({"code/inference.py": LOADS}))
    name = deployment.model(f"{bucket}-model", ModelDataUrl=f"s3://{bucket}/m.tar.gz")
    deployment.s3.delete_object(Bucket=bucket, Key="m.tar.gz")
    if remove_bucket:
        deployment.s3.delete_bucket(Bucket=bucket)
    deployment.endpoint(name, deployment.variant(name, "v"))
    found: str = deployment.wait(name, status="Failed")["FailureReason"]
    assert found.startswith(
        f'Failed to download model data for container "container_1" from URL: "s3://{bucket}/m.tar.gz". Please ensure'
    )
    return found


def outcome(deployment: Deployment, **container: Any) -> str:
    """What CreateModel says of a container, or why its endpoint has failed."""
    try:
        return reason(deployment, **container)
    except ClientError as error:
        return str(error.response["Error"]["Message"])


def test_model_data_at_a_url_that_is_not_s3s(shared: Deployment) -> None:
    text = outcome(shared, ModelDataUrl="https://example.com/models/model.tar.gz")
    assert '"https://example.com/models/model.tar.gz" is no address of S3: upload the data, and name it as' in text


@pytest.mark.parametrize("image", ["nginx:latest", "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-own:1"])
def test_an_image_of_ones_own(shared: Deployment, image: str) -> None:
    text = outcome(shared, Image=image)
    assert f'"{image}"' in text


def test_an_image_of_a_framework_that_needs_a_container(shared: Deployment) -> None:
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.14-cpu"
    text = outcome(shared, Image=image)
    assert f'Image "{image}" cannot run here' in text
    assert "tensorflow" in text


def test_a_multi_model_container(shared: Deployment) -> None:
    text = outcome(shared, Mode="MultiModel", ModelDataUrl=f"s3://{shared.bucket}/many/")
    assert "is a multi-model one, which is not supported yet: make a model of each archive, and a variant or" in text


def test_a_role_that_is_no_arn(shared: Deployment) -> None:
    message = refused(
        shared.sagemaker.create_model,
        ModelName=f"{shared.prefix}-role",
        ExecutionRoleArn="SageMakerExecutionRole",
        PrimaryContainer={"Image": "x"},
    )
    assert message.startswith(
        "1 validation error detected: Value 'SageMakerExecutionRole' at 'executionRoleArn' failed to satisfy "
        "constraint: Member must satisfy regular expression pattern: arn:aws"
    )


def test_a_gpu_instance_where_there_is_no_gpu(shared: Deployment) -> None:
    if machine.accelerators():
        pytest.skip("there is one here")
    name = shared.simple(f"{shared.prefix}-gpu", InstanceType="ml.g5.xlarge")
    told = shared.server.command("endpoints", "events", name).stdout
    assert (
        f'no effect yet  variant "{name}", InstanceType ml.g5.xlarge: this machine has no NVIDIA GPU, the model runs '
        "on the CPU\n"
    ) in told


def test_training(shared: Deployment) -> None:
    message = refused(
        shared.sagemaker.create_training_job,
        TrainingJobName="t",
        AlgorithmSpecification={"TrainingImage": "x", "TrainingInputMode": "File"},
        RoleArn=ROLE,
        OutputDataConfig={"S3OutputPath": "s3://b/o"},
        ResourceConfig={"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    assert "Mooring hosts models and trains none: train where you like, pack the model's files" in message


@pytest.mark.parametrize(
    "words",
    [
        "is not supported by this framework",
        "Expected 2D array, got 1D array instead",
        "The body is no JSON, it begins with",
        "Internal Server Error",
        "can be invoked once it is InService",
        "It is in …, and this call is for …",
        "There is one in …: name that region",
        "at 'endpointName' failed to satisfy constraint",
        "an endpoint is invoked by POST to /endpoints/NAME/invocations",
        "HTTP content length exceeded",
        "is not a multi-model endpoint and does not support target model header",
        "Please provide a model_fn implementation. There is no script",
        "Please provide a model_fn implementation. inference.py defines …: add def model_fn(model_dir)",
        "the program … is not in …",
        "If … is your own, put it into code/ beside the script",
        "In the model directory there are …",
        "There is no /opt/ml/ here",
        "define it in a module that lies in code/",
        "there is no such object",
        "AWS's buckets are not in it",
        "is no address of S3",
        "cannot run here",
        "is a multi-model one, which is not supported yet",
        "at 'executionRoleArn' failed to satisfy constraint",
        "this machine has no NVIDIA GPU",
        "Mooring hosts models and trains none",
    ],
)
def test_the_page_of_errors_has_what_is_provoked_here(words: str) -> None:
    assert words in (Path(__file__).parents[2] / "docs" / "errors.md").read_text("utf-8")
