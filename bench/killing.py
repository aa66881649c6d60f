"""A server whose processes are killed with SIGKILL, one kind or all at once, and that is started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import boto3
import figures
from botocore.config import Config
from figures import MOORING

PROGRAMS = {"mooring.gateway": "gateway", "mooring.api": "control", "mooring.objects": "objects"}
KINDS = ("gateway", "gateway", "control", "objects", "replica", "supervisor", "everything")


class Server(figures.Server):
    """One that is started again at the same port after its supervisor was killed."""

    def start_again(self, workers: int) -> None:
        self.process.wait(timeout=60)
        with self.log.open("ab") as sink:
            self.process = subprocess.Popen(
                [
                    *(MOORING, "serve", "--port", str(self.port), "--data-dir", self.data),
                    *("--log-level", "warning", "--workers", str(workers)),
                ],
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._first_answer(time.perf_counter())

    def stop(self) -> None:
        """As people do."""
        self.process.terminate()
        self.process.wait(timeout=60)

    def impatient_client(self, service: str) -> Any:
        """One that never tries again, so that each call that it makes is one."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="b",
            aws_secret_access_key="b",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def kill(self, kind: str) -> bool:
        """Whether there was one to kill; after the supervisor's death the server must be started again."""
        pids = self.pids()
        victims = [pid for found in pids.values() for pid in found] if kind == "everything" else pids[kind]
        if not victims:
            return False
        for pid in victims if kind == "everything" else [random.choice(victims)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def pids(self) -> dict[str, list[int]]:
        """Those of this server that are there now, by their kind."""
        found: dict[str, list[int]] = {kind: [] for kind in KINDS if kind != "everything"}
        found["supervisor"].append(self.process.pid)
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
            for child in map(int, children):
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                    for program, kind in PROGRAMS.items():
                        if program in words:
                            found[kind].append(child)
        for path in (self.data / "run" / "replicas").glob("*/identity.json"):
            with contextlib.suppress(OSError, ValueError):
                found["replica"].append(json.loads(path.read_text())["pid"])
        return found
