"""CreateEndpointConfig, DescribeEndpointConfig, ListEndpointConfigs, DeleteEndpointConfig."""

from __future__ import annotations

from typing import Any

from mooring.api.calls import Call
from mooring.api.listing import page_answer, selection_of
from mooring.control.limits import check_count
from mooring.hosting import effects
from mooring.hosting.config_rules import check_config, check_models, completed_config, models_of
from mooring.hosting.listing import Listed
from mooring.hosting.resources import Resource
from mooring.hosting.tag_rules import tags_of
from mooring.store import Connection, endpoint_configs, models, tags


def create_endpoint_config(conn: Connection, call: Call) -> dict[str, Any]:
    check_config(call.input)
    if call.exposed:
        effects.refuse_unprotected(call.input)
    if call.settings.hosting.strict:
        effects.refuse_idle(effects.idle_in_config(call.input))
    added = tags_of(call.input.get("Tags", ()))
    named = {name: models.require(conn, call.scope, name).document for name in models_of(call.input)}
    check_models(call.input, named)
    limit = call.settings.quotas.endpoint_configs
    check_count(
        "Number of endpoint configurations", limit, "Configurations", lambda: endpoint_configs.count(conn, call.scope)
    )
    document = completed_config(call.input)
    config = Resource("endpoint-config", call.scope, call.input["EndpointConfigName"], document, call.now)
    endpoint_configs.insert(conn, config)
    tags.put(conn, config.arn, added)
    return {"EndpointConfigArn": config.arn}


def describe_endpoint_config(conn: Connection, call: Call) -> dict[str, Any]:
    config = endpoint_configs.require(conn, call.scope, call.input["EndpointConfigName"])
    return {**config.document, "EndpointConfigArn": config.arn, "CreationTime": config.created_at}


def list_endpoint_configs(conn: Connection, call: Call) -> dict[str, Any]:
    selection = selection_of(call)
    return page_answer("EndpointConfigs", endpoint_configs.page(conn, call.scope, selection), selection, _summary)


def delete_endpoint_config(conn: Connection, call: Call) -> dict[str, Any]:
    """AWS does not ask who uses it: endpoints keep their snapshot, and fail to update from then on."""
    endpoint_configs.delete(conn, call.scope, call.input["EndpointConfigName"])
    return {}


def _summary(config: Listed) -> dict[str, Any]:
    return {
        "EndpointConfigName": config.name,
        "EndpointConfigArn": config.arn,
        "CreationTime": config.created_at,
    }
