"""CreateModel, DescribeModel, ListModels, DeleteModel."""

from __future__ import annotations

from typing import Any

from mooring.api.calls import Call, Control
from mooring.api.listing import page_answer, selection_of
from mooring.control.limits import check_count
from mooring.hosting import effects
from mooring.hosting.image_rules import check_images
from mooring.hosting.listing import Listed
from mooring.hosting.model_rules import check_model, completed_model
from mooring.hosting.resources import Resource
from mooring.hosting.tag_rules import tags_of
from mooring.store import Connection, models, tags

RECOMMENDATION = {"RealTimeInferenceRecommendations": [], "RecommendationStatus": "COMPLETED"}
"""AWS shows it with every model."""


async def check_what_it_names(call: Call, control: Control) -> None:
    """The model's images and data. Raises `Refused`, or `Unavailable`."""
    check_model(call.input)
    check_images(call.input, call.scope.account, call.settings.hosting, control.is_prebuilt)
    if call.settings.hosting.check_model_data:
        await control.require_model_data(call.input, call.scope.region)


def create_model(conn: Connection, call: Call) -> dict[str, Any]:
    if call.exposed:
        effects.refuse_unprotected(call.input)
    if call.settings.hosting.strict:
        effects.refuse_idle(effects.idle_in_model(call.input))
    added = tags_of(call.input.get("Tags", ()))
    check_count("Number of models", call.settings.quotas.models, "Models", lambda: models.count(conn, call.scope))
    model = Resource("model", call.scope, call.input["ModelName"], completed_model(call.input), call.now)
    models.insert(conn, model)
    tags.put(conn, model.arn, added)
    call.made_models.append(model.document)
    return {"ModelArn": model.arn}


def describe_model(conn: Connection, call: Call) -> dict[str, Any]:
    model = models.require(conn, call.scope, call.input["ModelName"])
    return {
        **model.document,
        "ModelArn": model.arn,
        "CreationTime": model.created_at,
        "DeploymentRecommendation": RECOMMENDATION,
    }


def list_models(conn: Connection, call: Call) -> dict[str, Any]:
    selection = selection_of(call)
    return page_answer("Models", models.page(conn, call.scope, selection), selection, _summary)


def delete_model(conn: Connection, call: Call) -> dict[str, Any]:
    """AWS does not ask who uses it: endpoints keep their snapshot."""
    models.delete(conn, call.scope, call.input["ModelName"])
    return {}


def _summary(model: Listed) -> dict[str, Any]:
    return {"ModelName": model.name, "ModelArn": model.arn, "CreationTime": model.created_at}
