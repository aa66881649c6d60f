"""What Application Auto Scaling calls things: ids and ARNs of targets, policies and scheduled actions.

A target's id follows from what it is of, so that whoever judges a call knows the ARN without looking it up.
"""

from __future__ import annotations

import hashlib

from mooring.hosting.naming import Scope, partition
from mooring.scaling.documents import Target

_ID_LENGTH = 36
POLICY_ARN_PART = ":autoscaling:"
"""What an alarm's action has that is a policy of ours."""


def target_id(scope: Scope, resource_id: str, dimension: str) -> str:
    """Of a scalable target's ARN."""
    text = f"{scope.account} {scope.region} {resource_id} {dimension}"
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]


def target_arn(scope: Scope, target_id: str) -> str:
    """`arn:aws:application-autoscaling:R:A:scalable-target/ID`."""
    prefix = f"arn:{partition(scope.region)}:application-autoscaling:{scope.region}:{scope.account}"
    return f"{prefix}:scalable-target/{target_id}"


def policy_arn(target: Target, unique: str, name: str) -> str:
    """Of a scaling policy; `unique` is a uuid."""
    return f"{_arn(target)}:scalingPolicy:{unique}:resource/sagemaker/{target.resource_id}:policyName/{name}"


def action_arn(target: Target, unique: str, name: str) -> str:
    """Of a scheduled action."""
    return f"{_arn(target)}:scheduledAction:{unique}:resource/sagemaker/{target.resource_id}:scheduledActionName/{name}"


def role_arn(scope: Scope) -> str:
    """The service-linked role, in whose name AWS scales variants."""
    service = "sagemaker.application-autoscaling.amazonaws.com"
    name = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    return f"arn:{partition(scope.region)}:iam::{scope.account}:role/aws-service-role/{service}/{name}"


def _arn(target: Target) -> str:
    scope = target.scope
    return f"arn:{partition(scope.region)}:autoscaling:{scope.region}:{scope.account}"
