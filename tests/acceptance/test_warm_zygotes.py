"""What a cold start needs is warm although nothing runs: zygotes of serverless endpoints are kept, and come again."""

from __future__ import annotations

import os
import signal

from tests.acceptance.running import Deployment, wait_until

NAME = "zygote sklearn"


def _zygotes(deployment: Deployment) -> list[int]:
    return [each["pid"] for each in deployment.server.status()["processes"] if each["name"] == NAME]


def test_zygotes_of_serverless_endpoints_come_again(own: Deployment) -> None:
    own.model("cold")
    config = {"MemorySizeInMB": 1024, "MaxConcurrency": 1}
    own.endpoint("cold", {"VariantName": "all", "ModelName": "cold", "ServerlessConfig": config})
    own.wait("cold")
    first = _zygotes(own)
    os.kill(own.server.process("control"), signal.SIGKILL)
    wait_until(lambda: _zygotes(own) not in ([], first), what="the next control to warm one although nobody calls")
    second = _zygotes(own)
    os.kill(second[0], signal.SIGKILL)
    wait_until(lambda: _zygotes(own) not in ([], second), what="another zygote")
    assert own.invoke("cold")["model"] == "cold"


def test_others_come_when_they_are_needed(own: Deployment) -> None:
    own.simple("plain")
    first = _zygotes(own)
    os.kill(own.server.process("control"), signal.SIGKILL)
    wait_until(lambda: own.server.replicas("plain")[0]["state"] == "healthy", what="the next control")
    assert _zygotes(own) == []
    assert first
