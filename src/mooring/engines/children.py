"""Running a child that may be slow or hostile: own session, a deadline, and killed whole.

Guarantees: when `run` returns or is cancelled, the child is dead and reaped, and everything in its session that did not
leave it has been killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mooring.settings import RESOLVED, Settings

OUTPUT_LIMIT_BYTES = 1024 * 1024
_READING = (
    "PATH",
    "TMPDIR",  # where the sockets of a deep data directory lie
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended. `returncode` is negative for a signal; `output` is stdout, cut at a megabyte."""

    returncode: int
    output: bytes
    timed_out: bool


def reading_environment(settings: Settings) -> dict[str, str]:
    """The environment of a child of Mooring's own that reads S3."""
    passed = {name: os.environ[name] for name in _READING if name in os.environ}
    return {**passed, RESOLVED: settings.without_master_key().to_json()}


async def run(
    command: Sequence[str],
    *,
    stdin: bytes,
    environment: Mapping[str, str],
    timeout_s: float,
    stderr: Path | None = None,
) -> Finished:
    """Run `command` to its end, or kill its session after `timeout_s`. `stderr` is appended to that file."""
    sink = os.open(stderr or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=sink,
            env=dict(environment),
            start_new_session=True,
        )
    finally:
        os.close(sink)
    try:
        async with asyncio.timeout(timeout_s):
            output = await _converse(process, stdin)
            return Finished(await process.wait(), output, timed_out=False)
    except TimeoutError:
        return Finished(-signal.SIGKILL, b"", timed_out=True)
    finally:
        # Also when it has ended: what it left in its group keeps the group's number from being another's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())


async def _converse(process: asyncio.subprocess.Process, stdin: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(stdin)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await process.stdin.drain()
    process.stdin.close()
    output = b""
    while chunk := await process.stdout.read(65536):
        output = (output + chunk)[-OUTPUT_LIMIT_BYTES:]
    return output
