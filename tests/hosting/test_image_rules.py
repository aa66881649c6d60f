"""AWS's refusals of images: off unless switched on, and then in AWS's words."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.errors import Refused
from mooring.hosting.image_rules import check_images
from mooring.settings import HostingSettings

OWN = "000000000000.dkr.ecr.us-east-1.amazonaws.com/mine:1"
OTHERS = "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/theirs@sha256:" + "0" * 64
AWSS = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
HUB = "docker.io/library/python:3"
ALL = HostingSettings(ecr_only=True, pull_role=True, image_labels=True)


def model(*images: str, **container: Any) -> dict[str, Any]:
    return {"ExecutionRoleArn": "arn:role", "Containers": [{"Image": image, **container} for image in images]}


def check(members: dict[str, Any], wanted: HostingSettings) -> None:
    check_images(members, "000000000000", wanted, lambda image: image == AWSS)


@pytest.mark.parametrize("image", [OWN, OTHERS, AWSS, HUB, "mlflow-pyfunc"])
def test_any_registry_is_taken(image: str) -> None:
    check(model(image, image, Mode="MultiModel"), HostingSettings())


NOT_ECR = f'Using non-ECR image "{HUB}" without Vpc repository access mode is not supported.'
NOT_PULLED = (
    f"Role arn:role cannot pull {OTHERS}. Ensure that the role exists and the image was granted pull permission."
)
LABEL = (
    f"Your Ecr Image {OWN} does not contain required com.amazonaws.sagemaker.capabilities.{{}}=true Docker label(s)."
)


@pytest.mark.parametrize(
    ("wanted", "members", "message"),
    [
        ("ecr_only", model(HUB), NOT_ECR),
        ("pull_role", model(OTHERS), NOT_PULLED),
        ("image_labels", model(OWN, Mode="MultiModel"), LABEL.format("multi-models")),
        ("image_labels", model(AWSS, OWN), LABEL.format("accept-bind-to-port")),
    ],
)
def test_each_switch_refuses_in_awss_words(wanted: str, members: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        check(members, HostingSettings(**{wanted: True}))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "members",
    [
        model(OWN),
        model(AWSS, AWSS),
        model(AWSS, Mode="MultiModel"),
        model(HUB, ImageConfig={"RepositoryAccessMode": "Vpc"}),
        {"PrimaryContainer": {"ModelPackageName": "p"}},
    ],
)
def test_what_aws_takes_passes_them_all(members: dict[str, Any]) -> None:
    check(members, ALL)
