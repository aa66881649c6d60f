"""CreateEndpoint, DescribeEndpoint, ListEndpoints, the two updates, DeleteEndpoint; and stop and start, beyond AWS.

They write what is wished and wake the reconciler; none of them waits for a replica.
"""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace
from typing import Any

from mooring.api.calls import Call
from mooring.api.endpoint_keys import unusable_key
from mooring.api.listing import page_answer, selection_of
from mooring.api.scaling_calls import require_deregistration
from mooring.control.limits import check_quotas, fitted
from mooring.hosting import effects, transitions
from mooring.hosting.config_rules import models_of
from mooring.hosting.describing import described
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.events import EventKind, event
from mooring.hosting.listing import Listed
from mooring.hosting.rollout.progress import told
from mooring.hosting.rollout.rules import check_deployment
from mooring.hosting.rollout.updates import updated
from mooring.hosting.tag_rules import tags_of
from mooring.processes import machine
from mooring.scaling.variants import refuse_unregistering
from mooring.store import Connection, endpoint_configs, endpoints, events, models, scaling, tags

_log = logging.getLogger("mooring.api")


def create_endpoint(conn: Connection, call: Call) -> dict[str, Any]:
    added = tags_of(call.input.get("Tags", ()))
    config = endpoint_configs.require(conn, call.scope, call.input["EndpointConfigName"]).document
    check_deployment(call.input.get("DeploymentConfig", {}), config)
    found = _models(conn, call, config)
    idle = _without_effect(call, config, found)
    record = transitions.created(uuid.uuid4().hex, call.scope, call.input, config, found, call.now)
    if record.status is EndpointStatus.CREATING and (unusable := unusable_key(conn, call, config)):
        record = replace(record, status=EndpointStatus.FAILED, failure_reason=unusable)
    if record.status is EndpointStatus.CREATING:
        check_quotas(conn, call.settings, record, new=True)
        record = fitted(conn, call.settings, record)
    endpoints.insert(conn, record)
    _tell_without_effect(conn, call, record, idle)
    tags.put(conn, record.arn, added)
    if record.status is EndpointStatus.CREATING:
        call.woken.append(record.uid)
    return {"EndpointArn": record.arn}


def describe_endpoint(conn: Connection, call: Call) -> dict[str, Any]:
    return described(endpoints.require(conn, call.scope, call.input["EndpointName"]))


def list_endpoints(conn: Connection, call: Call) -> dict[str, Any]:
    selection = selection_of(call)
    return page_answer("Endpoints", endpoints.page(conn, call.scope, selection), selection, _summary)


def delete_endpoint(conn: Connection, call: Call) -> dict[str, Any]:
    record = endpoints.require(conn, call.scope, call.input["EndpointName"])
    endpoints.save(conn, transitions.deleting(record, call.now))
    for held in scaling.targets.of_endpoint(conn, call.scope, record.name):
        require_deregistration(call, held)
        scaling.deregister(conn, held)
        call.rescaled = True
    call.woken.append(record.uid)
    return {}


def update_endpoint(conn: Connection, call: Call) -> dict[str, Any]:
    record = endpoints.require(conn, call.scope, call.input["EndpointName"])
    transitions.refuse_in_progress(record)
    transitions.refuse_failed(record)
    config = endpoint_configs.require(conn, call.scope, call.input["EndpointConfigName"]).document
    endpoint_configs.require(conn, call.scope, record.config_name)  # AWS refuses without the old one too
    targets = [each.target for each in scaling.targets.of_endpoint(conn, call.scope, record.name)]
    refuse_unregistering(targets, record, config)
    found = _models(conn, call, config)
    idle = _without_effect(call, config, found)
    wished = updated(record, call.input, config, found, call.now, call.settings.deployments.timeout_s)
    if wished.rollout is not None and (unusable := unusable_key(conn, call, config)):
        wished = transitions.failed_at_once(record, unusable, call.now)
    if wished.rollout is not None:
        check_quotas(conn, call.settings, wished, new=False)
        wished = fitted(conn, call.settings, wished)
    endpoints.save(conn, transitions.kept_as_it_was(record, wished))
    text = told(record, wished) or f"to {config['EndpointConfigName']}, not begun: {wished.failure_reason}"
    events.add(conn, record.uid, [event(call.now, EventKind.DEPLOYMENT, text)])
    _tell_without_effect(conn, call, record, idle)
    call.woken.append(record.uid)
    return {"EndpointArn": record.arn}


def update_endpoint_weights_and_capacities(conn: Connection, call: Call) -> dict[str, Any]:
    record = endpoints.require(conn, call.scope, call.input["EndpointName"])
    transitions.refuse_in_progress(record)
    transitions.refuse_failed(record)
    transitions.refuse_unserving(record)
    endpoint_configs.require(conn, call.scope, record.config_name)
    wished = transitions.reweighted(record, call.input["DesiredWeightsAndCapacities"], call.now)
    check_quotas(conn, call.settings, wished, new=False)
    endpoints.save(conn, transitions.kept_as_it_was(record, fitted(conn, call.settings, wished)))
    call.woken.append(record.uid)
    return {"EndpointArn": record.arn}


def stop_endpoint(conn: Connection, call: Call) -> dict[str, Any]:
    record = endpoints.require(conn, call.scope, call.input["EndpointName"])
    endpoints.save(conn, transitions.stopped(record, call.now))
    call.woken.append(record.uid)
    return {}


def start_endpoint(conn: Connection, call: Call) -> dict[str, Any]:
    record = endpoints.require(conn, call.scope, call.input["EndpointName"])
    wished = transitions.started(record, call.now)
    check_quotas(conn, call.settings, wished, new=False)
    endpoints.save(conn, transitions.kept_as_it_was(record, fitted(conn, call.settings, wished)))
    call.woken.append(record.uid)
    return {}


def _models(conn: Connection, call: Call, config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The documents of a config's models that exist, by name."""
    named = models_of(config)
    return {name: model.document for name in named if (model := models.get(conn, call.scope, name)) is not None}


def _without_effect(call: Call, config: dict[str, Any], found: dict[str, dict[str, Any]]) -> list[str]:
    """What is asked for in vain. Raises `Refused` for it where the settings want that."""
    idle = effects.without_effect(call.input, config, found)
    if call.settings.hosting.strict:
        effects.refuse_idle(idle)
    return idle if machine.accelerators() else idle + effects.without_accelerator(config)


def _tell_without_effect(conn: Connection, call: Call, record: EndpointRecord, idle: list[str]) -> None:
    events.add(conn, record.uid, [event(call.now, EventKind.NO_EFFECT, each) for each in idle])
    for each in idle:
        _log.warning("endpoint %r: no effect yet: %s", record.name, each)


def _summary(endpoint: Listed) -> dict[str, Any]:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.modified_at,
        "EndpointStatus": endpoint.status,
    }
