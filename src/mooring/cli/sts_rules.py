"""botocore's endpoint rules for STS, with this server in them.

The SageMaker SDK asks STS for account and role at AWS's regional host, which it spells out whatever AWS_ENDPOINT_URL
says. botocore puts even such a URL through its rules for the service, and looks for these in AWS_DATA_PATH first. There
it finds ours: that host is this server, any other URL is taken as it is given, and without one AWS's host is meant.
They use only what the first botocore with such rules knows, since a client's may be of any age.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mooring.processes.files import write_atomically

FILE = "sts/2011-06-15/endpoint-rule-set-1.json"
"""Service, API version (STS has had no other) and kind, as botocore looks for it."""
REGIONAL_HOST = "https://sts.{Region}.{Partition#dnsSuffix}"

Rule = dict[str, Any]
_GIVEN, _REGION = {"ref": "Endpoint"}, {"ref": "Region"}
_ENDPOINT_GIVEN: Rule = {"fn": "isSet", "argv": [_GIVEN]}
_REGION_GIVEN: Rule = {"fn": "isSet", "argv": [_REGION]}
_PARTITION: Rule = {"fn": "aws.partition", "argv": [_REGION], "assign": "Partition"}


def write(directory: Path, url: str) -> None:
    """Write them below `directory`, a place for AWS_DATA_PATH; who reads meanwhile sees the old ones or the new."""
    path = directory / FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(path, json.dumps(_rules(url)).encode())


def _rules(url: str) -> dict[str, Any]:
    spelled_out: Rule = {"fn": "stringEquals", "argv": [_GIVEN, REGIONAL_HOST]}
    return {
        "version": "1.0",
        "parameters": {
            "Region": {"builtIn": "AWS::Region", "required": False, "documentation": "", "type": "string"},
            "Endpoint": {"builtIn": "SDK::Endpoint", "required": False, "documentation": "", "type": "string"},
        },
        "rules": [
            _leading_to(url, _ENDPOINT_GIVEN, _REGION_GIVEN, _PARTITION, spelled_out),
            _leading_to(_GIVEN, _ENDPOINT_GIVEN),
            _leading_to(REGIONAL_HOST, _REGION_GIVEN, _PARTITION),
            {"conditions": [], "error": "A region is needed.", "type": "error"},
        ],
    }


def _leading_to(url: str | dict[str, str], *conditions: Rule) -> Rule:
    endpoint: dict[str, Any] = {"url": url, "properties": {}, "headers": {}}
    return {"conditions": list(conditions), "endpoint": endpoint, "type": "endpoint"}
