"""Every operation that Mooring serves, by AWS's names. What is not here is answered as unknown, and logged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mooring.api import config_operations as configs
from mooring.api import endpoint_operations as endpoints
from mooring.api import identity_operations as identity
from mooring.api import kms_alias_operations as kms_aliases
from mooring.api import kms_cryptographic_operations as kms
from mooring.api import kms_key_operations as kms_keys
from mooring.api import kms_policy_operations as kms_policies
from mooring.api import model_operations as models
from mooring.api import scaling_policy_operations as scaling_policies
from mooring.api import scaling_schedule_operations as scaling_schedules
from mooring.api import scaling_target_operations as scaling_targets
from mooring.api import tag_operations as tags
from mooring.api.calls import Call, Control
from mooring.api.kms_calls import make_service_key
from mooring.store import Connection

Function = Callable[[Connection, Call], dict[str, Any]]
Check = Callable[[Call, Control], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reading:
    """Runs on the reader, and may be repeated freely."""

    run: Function
    held: bool = False
    """Whether a waiter's call is answered when there is something to tell (`mooring.api.holding`)."""
    prepare: Check | None = None
    """What makes now what is made at its first use, before it is read."""


@dataclass(frozen=True, slots=True)
class Changing:
    """Runs as one durable change, whose answer is kept for a caller that repeats the call."""

    run: Function
    check: Check | None = None
    """What cannot be asked within the change, as it may take its time: its refusal is the call's."""


OPERATIONS: dict[str, dict[str, Reading | Changing]] = {
    "sagemaker": {
        "CreateModel": Changing(models.create_model, check=models.check_what_it_names),
        "DescribeModel": Reading(models.describe_model),
        "ListModels": Reading(models.list_models),
        "DeleteModel": Changing(models.delete_model),
        "CreateEndpointConfig": Changing(configs.create_endpoint_config),
        "DescribeEndpointConfig": Reading(configs.describe_endpoint_config),
        "ListEndpointConfigs": Reading(configs.list_endpoint_configs),
        "DeleteEndpointConfig": Changing(configs.delete_endpoint_config),
        "CreateEndpoint": Changing(endpoints.create_endpoint),
        "DescribeEndpoint": Reading(endpoints.describe_endpoint, held=True),
        "ListEndpoints": Reading(endpoints.list_endpoints),
        "DeleteEndpoint": Changing(endpoints.delete_endpoint),
        "UpdateEndpoint": Changing(endpoints.update_endpoint),
        "UpdateEndpointWeightsAndCapacities": Changing(endpoints.update_endpoint_weights_and_capacities),
        "AddTags": Changing(tags.add_tags),
        "ListTags": Reading(tags.list_tags),
        "DeleteTags": Changing(tags.delete_tags),
    },
    "kms": {
        "CreateKey": Changing(kms_keys.create_key),
        "DescribeKey": Reading(kms_keys.describe_key, prepare=make_service_key),
        "ListKeys": Reading(kms_keys.list_keys),
        "UpdateKeyDescription": Changing(kms_keys.update_key_description),
        "EnableKey": Changing(kms_keys.enable_key),
        "DisableKey": Changing(kms_keys.disable_key),
        "ScheduleKeyDeletion": Changing(kms_keys.schedule_key_deletion),
        "CancelKeyDeletion": Changing(kms_keys.cancel_key_deletion),
        "TagResource": Changing(kms_keys.tag_resource),
        "UntagResource": Changing(kms_keys.untag_resource),
        "ListResourceTags": Reading(kms_keys.list_resource_tags),
        "CreateAlias": Changing(kms_aliases.create_alias),
        "UpdateAlias": Changing(kms_aliases.update_alias),
        "DeleteAlias": Changing(kms_aliases.delete_alias),
        "ListAliases": Reading(kms_aliases.list_aliases),
        "GetKeyPolicy": Reading(kms_policies.get_key_policy),
        "PutKeyPolicy": Changing(kms_policies.put_key_policy),
        "ListKeyPolicies": Reading(kms_policies.list_key_policies),
        "EnableKeyRotation": Changing(kms_policies.enable_key_rotation),
        "DisableKeyRotation": Changing(kms_policies.disable_key_rotation),
        "GetKeyRotationStatus": Reading(kms_policies.get_key_rotation_status),
        "RotateKeyOnDemand": Changing(kms_policies.rotate_key_on_demand),
        "ListKeyRotations": Reading(kms_policies.list_key_rotations),
        "Encrypt": Reading(kms.encrypt),
        "Decrypt": Reading(kms.decrypt),
        "ReEncrypt": Reading(kms.re_encrypt),
        "GenerateDataKey": Reading(kms.generate_data_key),
        "GenerateDataKeyWithoutPlaintext": Reading(kms.generate_data_key_without_plaintext),
        "GenerateRandom": Reading(kms.generate_random),
    },
    "application-autoscaling": {
        "RegisterScalableTarget": Changing(scaling_targets.register_scalable_target),
        "DescribeScalableTargets": Reading(scaling_targets.describe_scalable_targets),
        "DeregisterScalableTarget": Changing(scaling_targets.deregister_scalable_target),
        "PutScalingPolicy": Changing(scaling_policies.put_scaling_policy, check=scaling_policies.load_shapes),
        "DescribeScalingPolicies": Reading(scaling_policies.describe_scaling_policies),
        "DeleteScalingPolicy": Changing(scaling_policies.delete_scaling_policy),
        "GetPredictiveScalingForecast": Reading(scaling_policies.get_predictive_scaling_forecast),
        "PutScheduledAction": Changing(scaling_schedules.put_scheduled_action),
        "DescribeScheduledActions": Reading(scaling_schedules.describe_scheduled_actions),
        "DeleteScheduledAction": Changing(scaling_schedules.delete_scheduled_action),
        "DescribeScalingActivities": Reading(scaling_targets.describe_scaling_activities),
        "TagResource": Changing(scaling_targets.tag_resource),
        "UntagResource": Changing(scaling_targets.untag_resource),
        "ListTagsForResource": Reading(scaling_targets.list_tags_for_resource),
    },
    "sts": {
        "GetCallerIdentity": Reading(identity.get_caller_identity),
    },
}

_TRAINING = (
    "Mooring hosts models and trains none: train where you like, pack the model's files and code/inference.py into "
    "model.tar.gz, upload that to s3://BUCKET/KEY, and name it as ModelDataUrl in CreateModel."
)
INSTEAD = {
    "CreateTrainingJob": _TRAINING,
    "CreateHyperParameterTuningJob": _TRAINING,
    "CreateAutoMLJob": _TRAINING,
    "CreateAutoMLJobV2": _TRAINING,
}
"""For operations that are not there: what to do instead."""
