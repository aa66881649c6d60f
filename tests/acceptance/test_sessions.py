"""Stateful sessions through boto3: two gateways, a container that keeps state, kills, weights and expiry."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.acceptance.running import Deployment, Server, archive, wait_until

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/stateful:latest"
CONTAINER = """
import http.server, json, os, sys, time, uuid
sessions = {}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def answer(self, document, **headers):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer({})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        named = self.headers.get("X-Amzn-SageMaker-Session-Id")
        if named == "NEW_SESSION":
            named = str(uuid.uuid4())
            sessions[named] = []
            expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + body.get("lasts", 600)))
            self.answer({"pid": os.getpid()}, X_Amzn_SageMaker_Session_Id=f"{named}; Expires={expires}")
        elif body.get("requestType") == "CLOSE":
            del sessions[named]
            self.answer({"pid": os.getpid()}, X_Amzn_SageMaker_Closed_Session_Id=named)
        else:
            if named is not None:
                sessions[named].append(body["say"])
            self.answer({"pid": os.getpid(), "said": sessions.get(named)})
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class Stateful:
    """Endpoint `chat` with variants `one` and `two`, two replicas each, and a client a call: any gateway answers."""

    def __init__(self, server: Server) -> None:
        self.deployment = Deployment(server)
        self.server = server
        for name in ("one", "two"):
            self.deployment.model(name, data=archive({"weights": "none"}), Image=IMAGE)
        variants = [self.deployment.variant(name, InitialInstanceCount=2) for name in ("one", "two")]
        self.deployment.endpoint("chat", *variants)
        self.deployment.wait("chat")

    def call(self, document: dict[str, Any], session: str | None = None, **members: Any) -> dict[str, Any]:
        client = self.server.client("sagemaker-runtime", retries=3)
        named = members if session is None else {**members, "SessionId": session}
        answer = client.invoke_endpoint(EndpointName="chat", Body=json.dumps(document), **named)
        told = {name: answer.get(name) for name in ("NewSessionId", "ClosedSessionId", "InvokedProductionVariant")}
        client.close()
        return {**json.loads(answer["Body"].read()), **told}

    def open(self, lasts: int = 600, **members: Any) -> tuple[str, int]:
        """A session, and the process that has it."""
        answer = self.call({"lasts": lasts}, "NEW_SESSION", **members)
        return answer["NewSessionId"].partition("; Expires=")[0], answer["pid"]

    def refused(self, session: str) -> str:
        with pytest.raises(ClientError) as error:
            self.call({"say": "?"}, session)
        assert error.value.response["Error"]["Code"] == "ValidationError"
        return str(error.value.response["Error"]["Message"])

    def kill_gateways(self) -> None:
        pids = self._gateways()
        assert len(pids) == 2
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def kill_one(self) -> None:
        """One of the gateways, drawn by its number of the moment."""
        pids = self._gateways()
        os.kill(pids[max(pids) % len(pids)], signal.SIGKILL)

    def _gateways(self) -> list[int]:
        return [each["pid"] for each in self.server.status()["processes"] if each["name"].startswith("gateway")]


@pytest.fixture
def stateful(make_server: Callable[..., Server], tmp_path: Path) -> Stateful:
    script = tmp_path / "container.py"
    script.write_text(CONTAINER)
    commands = json.dumps({"*/stateful:*": [sys.executable, str(script), "{port}"]})
    return Stateful(make_server(MOORING_IMAGES_COMMANDS=commands).start("--workers", "2"))


def test_a_conversation_through_all_that_can_happen(stateful: Stateful) -> None:
    sessions = [stateful.open() for _ in range(6)]
    said: dict[str, list[str]] = {session: [] for session, _ in sessions}
    assert len({pid for _, pid in sessions}) > 1

    def say(word: str) -> None:
        for session, pid in sessions:
            said[session].append(word)
            answer = stateful.call({"say": word}, session)
            assert (answer["said"], answer["pid"]) == (said[session], pid), "another replica knows nothing of it"

    for word in ("one", "two", "three"):  # each time by either gateway
        say(word)
    opened = stateful.open()
    stateful.kill_gateways()  # between the answer to NEW_SESSION and the first use
    sessions.append(opened)
    said[opened[0]] = []
    say("after the gateways")

    deployment = stateful.deployment
    weights = [{"VariantName": "one", "DesiredWeight": 0.0}, {"VariantName": "two", "DesiredWeight": 1.0}]
    deployment.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="chat", DesiredWeightsAndCapacities=weights
    )
    deployment.wait("chat")
    assert {stateful.call({"say": "x"})["InvokedProductionVariant"] for _ in range(10)} == {"two"}
    say("after the weights")

    session, _ = sessions.pop()
    assert stateful.call({"requestType": "CLOSE"}, session)["ClosedSessionId"] == session
    for _ in range(6):
        assert stateful.refused(session).startswith(f"Session {session} of endpoint chat does not exist")
    say("after the close")

    doomed, pid = sessions.pop()
    others = [each for each in sessions if each[1] != pid]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in {each["pid"] for each in stateful.server.replicas("chat")}, what="the replica to go")
    wait_until(lambda: _is_lost(stateful, doomed), what="the session to be called lost")
    sessions[:] = others
    say("after a replica")


@pytest.mark.timeout(180)  # gateways that die often are started again later and later
def test_no_session_is_forgotten_whose_client_has_heard_of_it(stateful: Stateful) -> None:
    """Gateways are killed while sessions are opened: what was answered is good, whatever was not."""
    opened: list[tuple[str, int]] = []
    over = threading.Event()

    def opening() -> None:
        client = stateful.server.client("sagemaker-runtime", connect_timeout=5, read_timeout=20)
        while not over.wait(0.1):  # each is to be asked for again
            with contextlib.suppress(HTTPClientError, ClientError):
                answer = client.invoke_endpoint(EndpointName="chat", Body=b"{}", SessionId="NEW_SESSION")
                session = answer["NewSessionId"].partition(";")[0]
                opened.append((session, json.loads(answer["Body"].read())["pid"]))
        client.close()

    threads = [threading.Thread(target=opening, name=f"opening {number}") for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(4):
        before = len(opened)
        wait_until(lambda before=before: len(opened) > before + 8, what="sessions to be opened")
        stateful.kill_one()
    over.set()
    for thread in threads:
        thread.join(30)
    clients = [stateful.server.client("sagemaker-runtime", retries=3) for _ in range(4)]
    for number, (session, pid) in enumerate(opened):
        answer = clients[number % 4].invoke_endpoint(EndpointName="chat", Body=b'{"say": "there?"}', SessionId=session)
        assert json.loads(answer["Body"].read()) == {"pid": pid, "said": ["there?"]}
    for client in clients:
        client.close()


def _is_lost(stateful: Stateful, session: str) -> bool:
    """A replica that dies is missed by control in a moment; until then its calls fail as any call to it."""
    try:
        stateful.call({"say": "?"}, session)
    except ClientError as error:
        found = error.response["Error"]
        assert found["Code"] in ("ValidationError", "ServiceUnavailable", "ModelError"), found
        return found["Code"] == "ValidationError" and f"Session {session} of endpoint chat is lost" in found["Message"]
    raise AssertionError("another replica answered it")


def test_a_session_expires_for_every_gateway(stateful: Stateful) -> None:
    session, pid = stateful.open(lasts=3, TargetVariant="two")
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline - 1.5:
        assert stateful.call({"say": "x"}, session)["pid"] == pid
    time.sleep(max(0.0, deadline - time.monotonic()) + 1)
    for _ in range(6):
        assert "it was never opened, was closed or has expired" in stateful.refused(session)
