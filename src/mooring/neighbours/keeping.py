"""Which calls change a resource and must be made again at the next start. What is not known here is kept."""

from __future__ import annotations

from typing import Final

_READING: Final = ("Check", "Describe", "Filter", "Get", "List", "Simulate", "Test")
_TRAFFIC: Final = {
    "iam": frozenset(("GenerateCredentialReport", "GenerateServiceLastAccessedDetails")),
    "logs": frozenset(
        ("PutLogEvents", "StartQuery", "StopQuery", "StartLiveTail", "CreateExportTask", "CancelExportTask")
    ),
    "monitoring": frozenset(("PutMetricData",)),
    "sns": frozenset(("Publish", "PublishBatch")),
    "sqs": frozenset(
        (
            "SendMessage",
            "SendMessageBatch",
            "ReceiveMessage",
            "DeleteMessage",
            "DeleteMessageBatch",
            "ChangeMessageVisibility",
            "ChangeMessageVisibilityBatch",
            "PurgeQueue",
            "StartMessageMoveTask",
            "CancelMessageMoveTask",
        )
    ),
}
"""What must not be made again: a message would be sent twice."""


def is_kept(service: str, operation: str) -> bool:
    """Whether the journal keeps a call. STS's credentials here are for servers that take any: nothing of it is kept."""
    if service == "sts" or operation.startswith(_READING):
        return False
    return operation not in _TRAFFIC.get(service, frozenset())
