"""What the model server costs: CPU per call beside bare uvicorn, in interleaved rounds on one machine.

    python bench/model_server.py [--rounds 7] [--seconds 1] [--connections 32 1]

Both answer the same request with the same bytes (uvicorn writes header names in lower case): uvicorn, on uvloop and
httptools, by the smallest ASGI application that reads the body and sends it back, the model server by a script that
does. Every server listens on TCP, since that is what wrk speaks, and runs on core 0 with all its processes; the load
runs on core 1. The figure to quote is the ratio of CPU microseconds per call, taken within each round. The model server
is also measured with the parser of its own instead of httptools, and with two workers, whose calls pass through one
process more.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from candidates import Candidate, answer_of, free_port, on_core, pinned, running, tree
from loads import Call, best_load
from rounds import interleaved, table

CALL = Call(
    "/invocations",
    {
        "X-Amzn-SageMaker-Forwarded-Api": "InvokeEndpoint",
        "Content-Type": "application/json",
        "Accept": "application/json",
    },
)
"""As a gateway sends it to a replica."""

FUNCTIONS = """
def model_fn(model_dir): return None
def input_fn(body, content_type): return body
def predict_fn(data, model): return data
def output_fn(prediction, accept): return prediction
"""
TRANSFORM = """
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept): return body
"""
APPLICATION = """
async def application(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    headers = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
"""
QUIET = ("--no-access-log", "--no-server-header", "--no-date-header", "--log-level", "warning")


@contextlib.contextmanager
def uvicorn(directory: Path) -> Iterator[Candidate]:
    """Bare uvicorn with one process."""
    directory.mkdir()
    (directory / "bare.py").write_text(APPLICATION)
    port = free_port()
    command = [*on_core(0), sys.executable, "-m", "uvicorn", "bare:application", "--port", str(port), *QUIET]
    with running([*command, "--loop", "uvloop", "--http", "httptools"], port, cwd=directory) as process:
        yield Candidate("uvicorn", port, (process.pid,))


@contextlib.contextmanager
def model_server(
    directory: Path, name: str, script: str, *, workers: int = 1, without: tuple[str, ...] = ()
) -> Iterator[Candidate]:
    """A replica as its own program; `without` names modules that it is not to find."""
    for part in ("model", "code", "work", "run", "absent"):
        (directory / part).mkdir(parents=True)
    (directory / "code" / "inference.py").write_text(script)
    for module in without:
        (directory / "absent" / f"{module}.py").write_text("raise ImportError('not here')\n")
    spec = {
        "replica_id": "bench",
        "framework": "generic",
        "model_dir": str(directory / "model"),
        "code_dir": str(directory / "code"),
        "program": "inference.py",
        "work_dir": str(directory / "work"),
        "run_dir": str(directory / "run"),
        "workers": workers,
    }
    spec_file = directory / "spec.json"
    spec_file.write_text(json.dumps(spec))
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        command = [*on_core(0), sys.executable, "-m", "mooring_model_server", "--spec", str(spec_file)]
        process = running(
            [*command, "--listen-fd", str(listener.fileno())],
            listener,
            pass_fds=(listener.fileno(),),
            cwd=directory / "work",
            env={**os.environ, "PYTHONPATH": str(directory / "absent")},
        )
        with process as started:
            answer_of(listener.getsockname()[1], CALL.message(0))  # its workers are there
            yield Candidate(name, listener.getsockname()[1], tuple(tree(started.pid)))


@contextlib.contextmanager
def everything(directory: Path) -> Iterator[list[Candidate]]:
    """The candidates, started; whatever happens, their processes are ended."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(uvicorn(directory / "uvicorn"))] if importlib.util.find_spec("uvicorn") else []
        for name, script, options in (
            ("mooring", FUNCTIONS, {}),
            ("mooring, transform_fn", TRANSFORM, {}),
            ("mooring, standard library", FUNCTIONS, {"without": ("httptools",)}),
            ("mooring, 2 workers", FUNCTIONS, {"workers": 2}),
        ):
            place = directory / re.sub(r"\W+", "-", name)
            found.append(stack.enter_context(model_server(place, name, script, **options)))  # type: ignore[arg-type]
        answers = {each.name: answer_of(each.port, CALL.message(each.port)).data for each in found}
        if len({data.lower() for data in answers.values()}) > 1:
            raise SystemExit(f"the answers differ: {answers}")
        yield found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--connections", type=int, nargs="+", default=[32, 1])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mooring-bench-") as name:
        directory = Path(name)
        load = best_load(directory, CALL)
        with everything(directory) as candidates:
            time.sleep(1)  # what starts a process is over
            for connections in given.connections:
                print(f"load: {load.name}, {connections} connections; {given.rounds} rounds of {given.seconds} s")
                samples = interleaved([(each, load) for each in candidates], given.rounds, given.seconds, connections)
                print(table(samples, "server", "uvicorn"), flush=True)
            print(f"pinned to cores: {'yes' if pinned() else 'no'}")


if __name__ == "__main__":
    main()
