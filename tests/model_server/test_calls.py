"""What a replica says of the calls that it has: a successor of a caller that was killed asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model_server.serving import Replica, executed, prepare, until

SCRIPT = """
import os, time
def model_fn(d): return 1
def input_fn(body, content_type): return body.decode()
def predict_fn(data, model):
    while not os.path.exists(data): time.sleep(0.01)
    return data
def output_fn(data, accept): return data, "text/plain"
"""


def calls(replica: Replica) -> list[str]:
    found: list[str] = replica.ask("GET", "/mooring/calls").json["calls"]
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_a_call_is_told_until_the_model_has_answered(tmp_path: Path, workers: int) -> None:
    go = tmp_path / "go"
    with executed(prepare(tmp_path / "r", SCRIPT, workers=workers)) as replica:
        assert calls(replica) == []
        clients = [replica.connect() for _ in range(3)]
        for number, client in enumerate(clients):
            headers = {"X-Amzn-SageMaker-Inference-Id": f"id-{number}", "Content-Type": "text/plain"}
            client.request("POST", "/invocations", str(go).encode(), headers)
        until(lambda: calls(replica) == ["id-0", "id-1", "id-2"], "three calls")
        clients[0].close()
        clients[2].close()
        assert "id-0" in calls(replica), "the model works on, though nobody waits for it"
        go.touch()
        until(lambda: calls(replica) == [], "no call")
        assert clients[1].getresponse().read() == str(go).encode()


def test_a_call_without_an_id_is_not_told(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    with executed(prepare(tmp_path / "r", SCRIPT)) as replica:
        assert replica.invoke(str(go), "text/plain").status == 200
        assert calls(replica) == []
        assert replica.ask("POST", "/mooring/calls", b"").status in (404, 405)
