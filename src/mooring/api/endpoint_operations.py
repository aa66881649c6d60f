"""CreateEndpoint, DescribeEndpoint, ListEndpoints, DeleteEndpoint, UpdateEndpointWeightsAndCapacities.

They write what is wished and wake the reconciler; none of them waits for a replica.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

from mooring.api.calls import Call
from mooring.api.limits import check_quotas, fitted
from mooring.api.listing import page_answer, selection_of
from mooring.hosting import effects, transitions
from mooring.hosting.config_rules import models_of
from mooring.hosting.describing import described
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.events import EventKind, event
from mooring.hosting.tag_rules import tags_of
from mooring.processes import machine
from mooring.store import Connection, endpoint_configs, endpoints, events, models, tags

_log = logging.getLogger("mooring.api")


def create_endpoint(conn: Connection, call: Call) -> dict[str, Any]:
    added = tags_of(call.input.get("Tags", ()))
    config = endpoint_configs.require(conn, call.scope, call.input["EndpointConfigName"])
    named = models_of(config.document)
    found = {name: model.document for name in named if (model := models.get(conn, call.scope, name)) is not None}
    idle = effects.without_effect(call.input, config.document, found)
    if call.settings.hosting.strict:
        effects.refuse_idle(idle)
    if not machine.accelerators():
        idle += effects.without_accelerator(config.document)
    record = transitions.created(uuid.uuid4().hex, call.scope, call.input, config.document, found, call.now)
    if record.status is EndpointStatus.CREATING:
        check_quotas(conn, call, record, new=True)
        record = fitted(conn, call, record)
    endpoints.insert(conn, record)
    events.add(conn, record.uid, [event(call.now, EventKind.NO_EFFECT, each) for each in idle])
    for each in idle:
        _log.warning("endpoint %r: no effect yet: %s", record.name, each)
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
    call.woken.append(record.uid)
    return {}


def update_endpoint_weights_and_capacities(conn: Connection, call: Call) -> dict[str, Any]:
    record = endpoints.require(conn, call.scope, call.input["EndpointName"])
    transitions.refuse_in_progress(record)
    transitions.refuse_failed(record)
    endpoint_configs.require(conn, call.scope, record.config_name)
    wished = transitions.reweighted(record, call.input["DesiredWeightsAndCapacities"], call.now)
    check_quotas(conn, call, wished, new=False)
    endpoints.save(conn, transitions.kept_as_it_was(record, fitted(conn, call, wished)))
    call.woken.append(record.uid)
    return {"EndpointArn": record.arn}


def _summary(record: EndpointRecord) -> dict[str, Any]:
    return {
        "EndpointName": record.name,
        "EndpointArn": record.arn,
        "CreationTime": record.created_at,
        "LastModifiedTime": record.modified_at,
        "EndpointStatus": str(record.status),
    }
