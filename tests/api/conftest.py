from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mooring.hosting.endpoints import EndpointStatus
from tests.api.serving import Serving, serving

_numbers = itertools.count(1)
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("edge") / "state.db") as running:
        yield running


@dataclass
class Account:
    """boto3 in a region that no other test uses, so that lists hold only what the test made."""

    edge: Serving
    region: str
    client: Any

    def arn(self, resource: str) -> str:
        return f"arn:aws:sagemaker:{self.region}:000000000000:{resource}"

    def model(self, name: str = "m", **more: Any) -> str:
        return str(self.client.create_model(ModelName=name, PrimaryContainer={"Image": IMAGE}, **more)["ModelArn"])

    def config(self, name: str = "c", weights: dict[str, float] | None = None, **more: Any) -> None:
        variants = [
            {
                "VariantName": variant,
                "ModelName": "m",
                "InstanceType": "ml.m5.large",
                "InitialInstanceCount": 1,
                "InitialVariantWeight": weight,
            }
            for variant, weight in (weights or {"v": 1.0}).items()
        ]
        self.client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants, **more)

    def endpoint(self, name: str = "e", *, settled: bool = True, **more: Any) -> None:
        self.client.create_endpoint(EndpointName=name, EndpointConfigName="c", **more)
        if settled:
            self.settle(name)

    def settle(self, name: str = "e", status: EndpointStatus = EndpointStatus.IN_SERVICE) -> None:
        self.edge.settle(self.region, name, status)

    def refused(self, operation: str, code: str = "ValidationException", **params: Any) -> str:
        """The message with which a call is refused."""
        with pytest.raises(ClientError) as caught:
            getattr(self.client, operation)(**params)
        assert caught.value.response["Error"]["Code"] == code
        return str(caught.value.response["Error"]["Message"])


@pytest.fixture
def account(edge: Serving) -> Account:
    region = f"test-{next(_numbers)}"
    return Account(edge, region, edge.client(region=region))
