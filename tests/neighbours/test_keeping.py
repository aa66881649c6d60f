"""Which calls last."""

from __future__ import annotations

import pytest

from mooring.neighbours.keeping import is_kept
from mooring.wire.recognition import NEIGHBOURS, STS
from tests.wire.botocore_half import botocore_model

NAMES = {"monitoring": "cloudwatch"}
READS = ("Get", "List", "Describe", "Check", "Filter", "Simulate", "Test")


@pytest.mark.parametrize("service", sorted(NEIGHBOURS))
def test_what_changes_a_resource_lasts(service: str) -> None:
    operations = botocore_model(NAMES.get(service, service)).operation_names
    lost = {name for name in operations if not is_kept(service, name) and not name.startswith(READS)}
    assert (
        lost
        == {
            "iam": {"GenerateCredentialReport", "GenerateServiceLastAccessedDetails"},
            "logs": {
                *("PutLogEvents", "StartLiveTail", "StartQuery", "StopQuery"),
                *("CreateExportTask", "CancelExportTask"),
            },
            "monitoring": {"PutMetricData"},
            "sns": {"Publish", "PublishBatch"},
            "sqs": {
                *("SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage", "DeleteMessageBatch"),
                *("ChangeMessageVisibility", "ChangeMessageVisibilityBatch", "PurgeQueue"),
                *("StartMessageMoveTask", "CancelMessageMoveTask"),
            },
        }[service]
    )


@pytest.mark.parametrize("service", sorted(NEIGHBOURS))
@pytest.mark.parametrize("operation", ["CreateSomethingNew", "Invent", "", "publish"])
def test_what_is_not_known_lasts(service: str, operation: str) -> None:
    assert is_kept(service, operation)


def test_credentials_do_not_last() -> None:
    assert not any(is_kept(STS, operation) for operation in botocore_model(STS).operation_names)
