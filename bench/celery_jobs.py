"""The task of `async_inference.py`'s peer: input from S3, one call of the model, output to S3. Celery imports it."""

import http.client
import os
import socket

import boto3
from botocore.config import Config
from celery import Celery

BUCKET = "bench"

app = Celery("celery_jobs", broker=os.environ["BENCH_BROKER"])
app.conf.task_acks_late = True
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 4
app.conf.broker_connection_retry_on_startup = True


class Model(http.client.HTTPConnection):
    """The model's own socket, kept between calls."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(os.environ["BENCH_MODEL"])


_kept: dict[str, object] = {}


def _s3() -> object:
    if "s3" not in _kept:
        _kept["s3"] = boto3.client(
            "s3",
            endpoint_url=os.environ["BENCH_S3"],
            region_name="us-east-1",
            aws_access_key_id="b",
            aws_secret_access_key="b",
            config=Config(request_checksum_calculation="when_required", response_checksum_validation="when_required"),
        )
    return _kept["s3"]


@app.task
def infer(source: str, target: str) -> None:
    s3 = _s3()
    found = s3.get_object(Bucket=BUCKET, Key=source)
    model = _kept.setdefault("model", Model("localhost"))
    model.request("POST", "/invocations", found["Body"].read(), {"Content-Type": found["ContentType"]})
    answer = model.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(body)
    s3.put_object(Bucket=BUCKET, Key=target, Body=body, ContentType=answer.headers["Content-Type"])
