from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import InProgress, Refused
from mooring.hosting.config_rules import completed_config
from mooring.hosting.describing import described
from mooring.hosting.endpoints import IN_PROGRESS, EndpointRecord, EndpointStatus
from mooring.hosting.naming import Scope
from mooring.hosting.transitions import created, deleting, refuse_in_progress, reweighted

HERE = Scope("000000000000", "us-east-1")
MODELS: dict[str, dict[str, Any]] = {"m": {"ModelName": "m", "PrimaryContainer": {"Image": "i"}}}


def an_endpoint(weights: dict[str, float], **config: Any) -> EndpointRecord:
    variants = [
        {
            "VariantName": name,
            "ModelName": "m",
            "InstanceType": "t",
            "InitialInstanceCount": 2,
            "InitialVariantWeight": w,
        }
        for name, w in weights.items()
    ]
    whole = completed_config({"EndpointConfigName": "c", "ProductionVariants": variants, **config})
    return created("uid", HERE, {"EndpointName": "e"}, whole, MODELS, 5.0)


def test_created_it_wishes_what_the_config_says_and_has_nothing() -> None:
    record = an_endpoint({"a": 1, "b": 0})
    assert record.status is EndpointStatus.CREATING
    assert [(v.desired_weight, v.desired_count, v.current_weight, v.current_count) for v in record.variants] == [
        (1.0, 2, 0.0, 0),
        (0.0, 2, 0.0, 0),
    ]


@pytest.mark.parametrize("status", list(EndpointStatus))
def test_only_what_is_not_in_progress_can_be_deleted_unless_forced(status: EndpointStatus) -> None:
    record = replace(an_endpoint({"a": 1}), status=status)
    if status in IN_PROGRESS:
        with pytest.raises(InProgress, match="Cannot update in-progress endpoint"):
            deleting(record, 6.0)
    else:
        refuse_in_progress(record)
        assert deleting(record, 6.0).status is EndpointStatus.DELETING
    forced = deleting(record, 6.0, forced=True)
    assert (forced.status, forced.forced, forced.modified_at) == (EndpointStatus.DELETING, True, 6.0)


@given(
    before=st.lists(st.floats(0.5, 10), min_size=1, max_size=4),
    data=st.data(),
)
def test_only_what_is_named_changes(before: list[float], data: st.DataObject) -> None:
    record = an_endpoint({f"v{n}": weight for n, weight in enumerate(before)})
    names = [variant.name for variant in record.variants]
    named = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    changes = {name: data.draw(st.floats(0, 10)) for name in named}
    request = [{"VariantName": name, "DesiredWeight": weight} for name, weight in changes.items()]
    wished = {variant.name: changes.get(variant.name, variant.desired_weight) for variant in record.variants}
    if sum(wished.values()) <= 0:
        with pytest.raises(Refused, match="sum of all production variant weights"):
            reweighted(record, request, 6.0)
        return
    after = reweighted(record, request, 6.0)
    assert {variant.name: variant.desired_weight for variant in after.variants} == wished
    assert [v.current_weight for v in after.variants] == [v.current_weight for v in record.variants]
    assert [v.desired_count for v in after.variants] == [2] * len(names)
    assert (after.status, after.modified_at) == (EndpointStatus.UPDATING, 6.0)


def test_an_asynchronous_endpoint_scales_to_zero() -> None:
    change = [{"VariantName": "a", "DesiredInstanceCount": 0}]
    record = an_endpoint({"a": 1}, AsyncInferenceConfig={"OutputConfig": {}})
    assert reweighted(record, change, 6.0).variants[0].desired_count == 0
    with pytest.raises(Refused, match="DesiredInstanceCount must be greater than 0"):
        reweighted(an_endpoint({"a": 1}), change, 6.0)


def test_a_failed_endpoint_shows_no_variants_even_while_it_is_deleted() -> None:
    failed = replace(an_endpoint({"a": 1}), status=EndpointStatus.FAILED, failure_reason="why")
    assert described(failed)["FailureReason"] == "why"
    assert "ProductionVariants" not in described(failed)
    assert "ProductionVariants" not in described(deleting(failed, 6.0))
