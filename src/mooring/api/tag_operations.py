"""AddTags, ListTags, DeleteTags, on models, endpoint configs and endpoints."""

from __future__ import annotations

from typing import Any

from mooring.api.calls import Call
from mooring.errors import NotFound, Refused
from mooring.hosting.naming import Kind, Scope
from mooring.hosting.tag_rules import NO_SUCH_RESOURCE, listed, refuse_reserved, refuse_too_many, tags_of
from mooring.store import Connection, endpoint_configs, endpoints, models, tags


def add_tags(conn: Connection, call: Call) -> dict[str, Any]:
    added = tags_of(call.input["Tags"])
    arn = _existing(conn, call)
    tags.put(conn, arn, added)
    result = tags.of(conn, arn)
    refuse_too_many(result)
    return {"Tags": listed(result)}


def list_tags(conn: Connection, call: Call) -> dict[str, Any]:
    """A resource has 50 tags at most, and a page holds 50 at least: there is never a second."""
    arn = _existing(conn, call)
    if "NextToken" in call.input:
        raise Refused("Invalid NextToken.")
    return {"Tags": listed(tags.of(conn, arn))}


def delete_tags(conn: Connection, call: Call) -> dict[str, Any]:
    refuse_reserved(call.input["TagKeys"])
    tags.remove(conn, _existing(conn, call), call.input["TagKeys"])
    return {}


def _existing(conn: Connection, call: Call) -> str:
    """The ARN that the call names, if what it names is here. Raises `NotFound`."""
    arn: str = call.input["ResourceArn"]
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    if not _exists(conn, call.scope, arn, kind, name):
        raise NotFound(NO_SUCH_RESOURCE)
    return arn


def _exists(conn: Connection, scope: Scope, arn: str, kind: str, name: str) -> bool:
    get = {"model": models.get, "endpoint-config": endpoint_configs.get, "endpoint": endpoints.get}.get(kind)
    known: dict[str, Kind] = {"model": "model", "endpoint-config": "endpoint-config", "endpoint": "endpoint"}
    return get is not None and scope.arn(known[kind], name) == arn and get(conn, scope, name) is not None
