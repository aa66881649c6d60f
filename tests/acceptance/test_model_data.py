"""CreateModel looks where the model data is: in AWS's words, or not at all by setting."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import IMAGE, ROLE, Deployment, Server, archive, wait_until


def refusal(deployment: Deployment, region: str = "us-east-1", code: str = "ValidationException", **container) -> str:
    client = deployment.server.client("sagemaker", region=region)
    with pytest.raises(ClientError) as caught:
        client.create_model(ModelName="m", ExecutionRoleArn=ROLE, PrimaryContainer={"Image": IMAGE, **container})
    assert caught.value.response["Error"]["Code"] == code
    return str(caught.value.response["Error"]["Message"])


def test_an_object_or_a_bucket_that_is_not_there(shared: Deployment) -> None:
    place = f"{shared.bucket}/none.tar.gz"
    assert refusal(shared, ModelDataUrl=f"s3://{place}") == f"Could not find model data at s3://{place}."
    message = refusal(shared, ModelDataUrl="s3://one-of-aws/m.tar.gz")
    assert message.startswith(
        "Could not find model data at s3://one-of-aws/m.tar.gz. There is no such bucket: Mooring's"
    )
    url = f"https://{shared.bucket}.s3.us-east-1.amazonaws.com/none.tar.gz"
    assert refusal(shared, ModelDataUrl=url) == f"Could not find model data at s3://{shared.bucket}/none.tar.gz."


def test_a_prefix(shared: Deployment) -> None:
    source = {"S3Uri": f"s3://{shared.bucket}/some/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    data = {"S3DataSource": source}
    assert refusal(shared, ModelDataSource=data) == f"Could not find model data at s3://{shared.bucket}/some/."
    shared.s3.put_object(Bucket=shared.bucket, Key="some/file", Body=b"x")
    name = f"{shared.prefix}-prefix"
    shared.sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE, "ModelDataSource": data})
    empty = {"Image": IMAGE, "Mode": "MultiModel", "ModelDataUrl": f"s3://{shared.bucket}/later/"}
    shared.sagemaker.create_model(ModelName=f"{name}-multi", PrimaryContainer=empty)


def test_a_bucket_of_another_region(shared: Deployment) -> None:
    bucket = f"{shared.prefix}-in-frankfurt"
    shared.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    shared.s3.put_object(Bucket=bucket, Key="m.tar.gz", Body=archive({"x": b""}))
    url = f"s3://{bucket}/m.tar.gz"
    message = refusal(shared, ModelDataUrl=url)
    assert message.startswith(f'Could not access model data at {url}. Please ensure that the role "{ROLE}" exists')
    assert "that the object is located in us-east-1." in message
    there = shared.server.client("sagemaker", region="eu-central-1")
    there.create_model(ModelName=bucket, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url})


def test_a_url_that_names_no_object(shared: Deployment) -> None:
    assert "s3://bucket/key is needed" in refusal(shared, ModelDataUrl=f"s3://{shared.bucket}")


def test_the_check_can_be_switched_off(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_HOSTING_CHECK_MODEL_DATA="off").start()
    client = server.client("sagemaker")
    client.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://none/none.tar.gz"})


def test_a_store_that_does_not_answer_is_not_a_refusal(own: Deployment) -> None:
    """The objects process is stopped, not gone: its socket accepts, and nothing comes."""
    own.s3.put_object(Bucket=own.bucket, Key="m.tar.gz", Body=archive({"x": b""}))
    url = f"s3://{own.bucket}/m.tar.gz"
    with own.server.frozen("objects"):
        message = refusal(own, code="ServiceUnavailable", ModelDataUrl=url)
    assert "S3 cannot be reached" in message
    wait_until(
        lambda: own.sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": url})
    )
