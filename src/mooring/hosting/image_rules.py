"""AWS's refusals of images at CreateModel. Here each is a switch, off: any registry is taken.

A role's permissions and an image's labels cannot be read without its registry, so two of these know only what can be
told from the URI: whether the image is in the caller's own account, or is one that AWS has made.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mooring.errors import Refused
from mooring.hosting.model_rules import containers_of
from mooring.hosting.rules import Members
from mooring.settings import HostingSettings

_ECR = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/\S+")
MULTI_MODEL = "com.amazonaws.sagemaker.capabilities.multi-models=true"
BIND_TO_PORT = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"


def check_images(model: Members, account: str, wanted: HostingSettings, is_prebuilt: Callable[[str], bool]) -> None:
    """Raises `Refused` in AWS's words for the first image that a switched-on rule does not take.

    `is_prebuilt` tells whether an image is one of AWS's own, in an account of AWS's.
    """
    containers = containers_of(model)
    for container in containers:
        image = container.get("Image")
        if image is None:
            continue
        if wanted.ecr_only and not is_in_ecr(container):
            raise Refused(f'Using non-ECR image "{image}" without Vpc repository access mode is not supported.')
        if wanted.pull_role and not (is_of_account(image, account) or is_prebuilt(image)):
            raise Refused(
                f"Role {model.get('ExecutionRoleArn', '')} cannot pull {image}. Ensure that the role exists and the "
                "image was granted pull permission."
            )
        label = label_needed(container, of=len(containers))
        if wanted.image_labels and label is not None and not is_prebuilt(image):
            raise Refused(f"Your Ecr Image {image} does not contain required {label} Docker label(s).")


def is_in_ecr(container: Members) -> bool:
    """Whether AWS would pull the container's image: from ECR, or from a private registry through a VPC."""
    private = container.get("ImageConfig", {}).get("RepositoryAccessMode") == "Vpc"
    return private or _ECR.fullmatch(container["Image"]) is not None


def is_of_account(image: str, account: str) -> bool:
    """Whether an image is in this account's ECR; one that is not in ECR is nobody's to grant."""
    found = _ECR.fullmatch(image)
    return found is None or found[1] == account


def label_needed(container: Members, *, of: int) -> str | None:
    """The label that AWS asks of an image in a multi-model container, or in a model of several containers."""
    if container.get("Mode") == "MultiModel":
        return MULTI_MODEL
    return BIND_TO_PORT if of > 1 else None
