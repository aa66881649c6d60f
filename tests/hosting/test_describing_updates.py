"""What DescribeEndpoint and the history say at each moment of an update, against botocore's own shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from mooring.hosting.describing import described
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase
from mooring.hosting.rollout.progress import told
from mooring.hosting.rollout.rollouts import Heard, Seen, moved
from tests.hosting.test_rollouts import ALARMS, World, blue_green, in_service, rolling, size, update

OUTPUT = botocore.session.get_session().get_service_model("sagemaker").shape_for("DescribeEndpointOutput")
BAKING = "Baking: Baking for"


def valid(record: EndpointRecord) -> dict[str, Any]:
    """The description, once botocore has found nothing to object to in it."""
    answer = described(record)
    report = ParamValidator().validate(answer, OUTPUT)
    assert not report.has_errors(), report.generate_report()
    for summary in (answer, answer.get("PendingDeploymentSummary", {})):
        for variant in summary.get("ProductionVariants", ()):
            assert set(variant) <= set(
                OUTPUT.members["PendingDeploymentSummary"].members["ProductionVariants"].member.members
            )
    return answer


def moments(record: EndpointRecord, *, ringing_at: Phase | None = None) -> Iterator[EndpointRecord]:
    """Every record of an update that goes well, or until an alarm turns it back."""
    world = World(record, heard=Heard(100.0))
    yield record
    while world.record.rollout is not None:
        rollout = world.record.rollout
        rings = rollout.phase is ringing_at and rollout.turned is None
        world.heard = Heard(world.now, ringing=("alarm",) if rings else ())
        before = world.record
        world.tick(seconds=5.0)
        if world.record is not before:
            text = told(before, world.record)
            assert (text is None) is (world.record.rollout is None)
            yield world.record


def messages(record: EndpointRecord, **options: Any) -> list[str]:
    found = []
    for each in moments(record, **options):
        answer = valid(each)
        for summary in (answer, answer.get("PendingDeploymentSummary", {})):
            for variant in summary.get("ProductionVariants", ()):
                found += [
                    f"{status['Status']}: {status['StatusMessage']}" for status in variant.get("VariantStatus", ())
                ]
    return list(dict.fromkeys(found))


def test_a_canary_in_awss_words() -> None:
    deployment = blue_green("CANARY", 600, 300, CanarySize=size("#", 1))
    assert messages(update(in_service({"v": 3}), {"v": 3}, deployment)) == [
        "Creating: Launching 3 instance(s).",
        "ActivatingTraffic: Activating traffic on canary capacity of 1 instance(s).",
        f"{BAKING} 600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s).",
        "ActivatingTraffic: Activating traffic on full capacity of 3 instance(s).",
        f"{BAKING} 300 seconds (TerminationWaitInSeconds) with traffic enabled on full capacity of 3 instance(s).",
        "Deleting: Terminating 3 instance(s).",
    ]


def test_a_rolling_update_that_turns_back() -> None:
    deployment = {**rolling(size("#", 2), 600), **ALARMS}
    told_of = messages(update(in_service({"v": 4}), {"v": 4}, deployment), ringing_at=Phase.RETIRING)
    assert told_of == [
        "Creating: Launching 4 instance(s).",
        "Creating: Launching 2 instance(s).",
        "ActivatingTraffic: Activating traffic on canary capacity of 2 instance(s).",
        f"{BAKING} 600 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 2 instance(s).",
        "Deleting: Terminating 2 instance(s).",
        "Updating: Scaling out desired instance count to 4.",
    ]


def test_an_endpoint_with_a_remnant_is_described_by_its_old_config() -> None:
    record = update(in_service({"v": 2}), {"v": 2}, rolling(size("#", 1)))
    world = World(record)
    while (rollout := world.record.rollout) is not None and rollout.step == 0:
        world.tick()
    seen = Seen(new_failure="it died")
    turned = moved(world.record, seen, world.now, 60.0)
    assert turned is not None
    stranded = moved(turned, Seen(old_failure="no weights"), world.now, 60.0)
    assert stranded is not None
    answer = valid(stranded)
    assert answer["EndpointStatus"] == "UpdateRollbackFailed"
    assert answer["EndpointConfigName"] == "old"
    counts = answer["ProductionVariants"][0]
    assert (counts["CurrentInstanceCount"], counts["DesiredInstanceCount"]) == (1, 2)
    assert "it died The rollback failed: no weights" in answer["FailureReason"]


@pytest.mark.parametrize("status", [EndpointStatus.DELETING, EndpointStatus.OUT_OF_SERVICE])
def test_other_statuses_are_valid_too(status: EndpointStatus) -> None:
    assert valid(replace(in_service({"v": 1}), status=status))["ProductionVariants"]


def test_a_silent_cloudwatch_is_told_once_and_its_return_too() -> None:
    record = update(in_service({"v": 1}), {"v": 1}, {**blue_green("ALL_AT_ONCE"), **ALARMS})
    silent = moved(record, Seen(heard=Heard(101.0, silence="down")), 101.0, 60.0)
    assert silent is not None
    assert "does not say" in str(told(record, silent))
    assert moved(silent, Seen(heard=Heard(102.0, silence="down")), 102.0, 60.0) is None
    again = moved(silent, Seen(heard=Heard(103.0)), 103.0, 60.0)
    assert again is not None
    assert "says again" in str(told(silent, again))
