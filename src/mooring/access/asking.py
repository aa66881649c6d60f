"""What a call asks for, in IAM's words: an action, and the ARN of what it is done to.

SageMaker's come from its model: the required members that name a resource. The others are short tables, since their
models do not say it. What lists or has no resource is asked of `*`. Where a call does not tell its resource in a form
that is understood here, the resource is None: only a policy that allows all of them allows that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mooring.hosting.kms_names import alias_arn
from mooring.hosting.naming import Scope, partition
from mooring.scaling.naming import target_arn, target_id
from mooring.wire.recognition import SAGEMAKER
from mooring.wire.service_models import Operation

ANY = "*"


@dataclass(frozen=True, slots=True)
class Asked:
    """One permission that a call needs."""

    action: str
    resource: str | None = ANY


# SageMaker

_KINDS = {
    "ModelName": "model",
    "EndpointConfigName": "endpoint-config",
    "EndpointName": "endpoint",
    "InferenceComponentName": "inference-component",
}


def of_sagemaker(operation: Operation, params: Mapping[str, Any], scope: Scope) -> list[Asked]:
    """Control plane and runtime alike; of several resources each must be allowed, as CreateEndpoint's config."""
    action = f"{SAGEMAKER}:{operation.name}"
    resources: list[str | None] = []
    for member in _naming_members(operation):
        value = params.get(member)
        if not isinstance(value, str):
            resources.append(None)
        else:
            resources.append(value if member == "ResourceArn" else _sagemaker_arn(scope, _KINDS[member], value))
    return [Asked(action, resource) for resource in resources] or [Asked(action)]


def _sagemaker_arn(scope: Scope, kind: str, name: str) -> str:
    return f"arn:{partition(scope.region)}:{SAGEMAKER}:{scope.region}:{scope.account}:{kind}/{name}"


def invocation(action: str, scope: Scope, endpoint: str) -> Asked:
    """Of one endpoint, without a model: for the path that must be fast."""
    return Asked(f"{SAGEMAKER}:{action}", _sagemaker_arn(scope, "endpoint", endpoint))


@functools.cache
def _naming_members(operation: Operation) -> tuple[str, ...]:
    shape = operation.input
    if shape is None:
        return ()
    return tuple(name for name in shape.required if name in _KINDS or name == "ResourceArn")


# S3


_S3_ACTIONS = {
    "ListBuckets": "ListAllMyBuckets",
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "HeadObject": "GetObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "ListParts": "ListMultipartUploadParts",
}
"""S3's operations by the actions that allow them; all others are called as they are."""


def of_s3(operation: str, bucket: str, key: str, source: tuple[str, str] | None, region: str) -> list[Asked]:
    """One request of S3; `source` is the bucket and key that a copy reads."""
    asked = [Asked(f"s3:{_S3_ACTIONS.get(operation, operation)}", s3_arn(bucket, key, region))]
    if source is not None:
        asked.append(Asked("s3:GetObject", s3_arn(*source, region)))
    return asked


def s3_arn(bucket: str, key: str, region: str) -> str:
    """The ARN of a bucket, or of an object in it; `*` without either."""
    if not bucket:
        return ANY
    return f"arn:{partition(region)}:s3:::{bucket}/{key}" if key else f"arn:{partition(region)}:s3:::{bucket}"


# KMS

_OF_NO_KEY = frozenset(("CreateKey", "ListKeys", "ListAliases", "GenerateRandom"))


def of_kms(operation: str, params: Mapping[str, Any], scope: Scope) -> list[Asked]:
    """What a call asks for besides the key that it is about: that is known only once the key is found."""
    if operation in _OF_NO_KEY:
        return [Asked(f"kms:{operation}")]
    alias = params.get("AliasName")
    return [Asked(f"kms:{operation}", alias_arn(scope, alias))] if isinstance(alias, str) else []


# Application Auto Scaling


def of_scaling(operation: str, params: Mapping[str, Any], scope: Scope) -> list[Asked]:
    """A call about one scalable target, registered or not, or what describes them."""
    action = f"application-autoscaling:{operation}"
    if operation.startswith("Describe"):
        return [Asked(action)]
    if isinstance(arn := params.get("ResourceARN"), str):
        return [Asked(action, arn)]
    resource_id, dimension = params.get("ResourceId"), params.get("ScalableDimension")
    if not isinstance(resource_id, str) or not isinstance(dimension, str):
        return [Asked(action, None)]
    return [Asked(action, target_arn(scope, target_id(scope, resource_id, dimension)))]


# Mooring's own API


def of_administration(method: str, parts: Iterable[str], scope: Scope) -> list[Asked]:
    """A page of the admin API: reading and changing are two actions, the page is the resource."""
    action = "mooring:Read" if method == "GET" else "mooring:Write"
    page = "/".join(parts)
    return [Asked(action, f"arn:{partition(scope.region)}:mooring:{scope.region}:{scope.account}:{page}")]


# Neighbours

Params = Mapping[str, Any]
Arn = Callable[[Scope, str], str]


def _named(service: str, form: str = "{}", *, regional: bool = True) -> Arn:
    def arn(scope: Scope, name: str) -> str:
        if name.startswith("arn:"):
            return name
        region = scope.region if regional else ""
        return f"arn:{partition(scope.region)}:{service}:{region}:{scope.account}:{form.format(name)}"

    return arn


def _queue(scope: Scope, url: str) -> str:
    return _named("sqs")(scope, url.rpartition("/")[2])


def _log_group(scope: Scope, name: str) -> str:
    plain = name.partition(":log-group:")[2].removesuffix(":*") if name.startswith("arn:") else name
    return _named("logs")(scope, f"log-group:{plain}:*")


def _subscription(_: Scope, arn: str) -> str:
    return arn.rpartition(":")[0]


_iam = functools.partial(_named, "iam", regional=False)
_MEMBERS: dict[str, dict[str, Arn]] = {
    "sqs": {"QueueUrl": _queue, "QueueName": _named("sqs"), "SourceArn": _named("sqs")},
    "sns": {
        "TopicArn": _named("sns"), "SubscriptionArn": _subscription, "TargetArn": _named("sns"),
        "ResourceArn": _named("sns"), "Name": _named("sns"), "EndpointArn": _named("sns"),
        "PlatformApplicationArn": _named("sns"),
    },
    "logs": {
        "logGroupName": _log_group, "logGroupNames": _log_group, "logGroupIdentifier": _log_group,
        "logGroupIdentifiers": _log_group, "logGroupArn": _log_group, "resourceArn": _named("logs"),
        "destinationName": _named("logs", "destination:{}"),
    },
    "iam": {
        "RoleName": _iam("role/{}"), "UserName": _iam("user/{}"), "GroupName": _iam("group/{}"),
        "InstanceProfileName": _iam("instance-profile/{}"), "PolicyArn": _iam(), "PolicyName": _iam("policy/{}"),
    },
    "monitoring": {
        "AlarmName": _named("cloudwatch", "alarm:{}"), "AlarmNames": _named("cloudwatch", "alarm:{}"),
        "DashboardName": _named("cloudwatch", "dashboard/{}", regional=False),
        "DashboardNames": _named("cloudwatch", "dashboard/{}", regional=False), "ResourceARN": _named("cloudwatch"),
    },
    "sts": {"RoleArn": _iam("role/{}")},
}  # fmt: skip
"""The members that name a resource, and the ARN of what each names. All that are there are asked for, since who serves
the call may heed any; of IAM the first, as on AWS, where a policy attached to a role is no resource of the call.
"""
_PREFIXES = {"monitoring": "cloudwatch"}
"""Where IAM's prefix is not the name that a call is signed for."""
_WITHOUT_RESOURCE = ("List", "Describe", "Get", "PutMetricData", "CheckIfPhone", "DecodeAuthorizationMessage")
_NEED_NOTHING = frozenset(("sts:GetCallerIdentity", "sts:GetSessionToken"))
"""What AWS allows to everyone whose signature is good, whatever the policy says."""


def of_neighbour(service: str, operation: str, params: Params | None, scope: Scope) -> list[Asked]:
    """A call of STS, IAM, SNS, SQS, Logs or CloudWatch; `params` are None when they could not be read."""
    action = f"{_PREFIXES.get(service, service)}:{operation}"
    if action in _NEED_NOTHING:
        return []
    if params is None:
        return [Asked(action, None)]
    named = _MEMBERS.get(service, {})
    found = [arn(scope, name) for member, arn in named.items() for name in _texts(params.get(member))]
    if service == "logs" and isinstance(stream := params.get("logStreamName"), str):
        found = [f"{group.removesuffix(':*')}:log-stream:{stream}" for group in found]
    if service == "iam":
        del found[1:]
    if found:
        return [Asked(action, resource) for resource in found] + _delivered_to(action, params)
    return [Asked(action, ANY if operation.startswith(_WITHOUT_RESOURCE) else None)]


def _delivered_to(action: str, params: Params) -> list[Asked]:
    """What a subscription sends to. On AWS a queue's own policy decides who may; here nothing but keys does."""
    endpoint = params.get("Endpoint")
    if action == "sns:Subscribe" and isinstance(endpoint, str) and endpoint.startswith("arn:"):
        return [Asked("sqs:SendMessage", endpoint)]
    return []


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
