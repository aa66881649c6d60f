"""What a model's own environment costs: the first time, and every time after that.

    python bench/environments.py [--rounds 5]

Prepares a model with a requirements.txt through the engine, in a data directory of its own each round, then again by
the same engine and by a new one (a control that was restarted), and last deploys one on a real `mooring serve` whose
environment is there. Needs a package index, or uv's cache of what was fetched before. Prints one row a figure: median,
least and most over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from figures import IMAGE, NAMED, Server, create_model, deploy, print_table, server
from machine import described_machine

from mooring.clock import SystemClock
from mooring.engines.process import ProcessEngine
from mooring.hosting.events import EventKind
from mooring.paths import Paths
from mooring.settings import Settings

REQUIREMENTS = b"iniconfig\n"
AGAIN = 5
TIMEOUT_S = 600.0


def model_of(paths: Paths, owner: str) -> dict[str, Any]:
    """A model whose files are there already, as they are when a replica is replaced."""
    code = paths.artifacts / owner / "model" / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(NAMED.format(name="x"))
    (code / "requirements.txt").write_bytes(REQUIREMENTS)
    (paths.artifacts / owner / "complete").write_text("{}")
    return {"PrimaryContainer": {"Image": IMAGE}}


async def prepared_s(engine: ProcessEngine, paths: Paths, owner: str) -> tuple[float, bool]:
    """Seconds of one preparation, and whether an environment was made in it."""
    model, told = model_of(paths, owner), list[str]()

    def note(kind: EventKind, text: str) -> None:
        told.append(text)

    began = time.perf_counter()
    found = await engine.prepare(owner, model, TIMEOUT_S, TIMEOUT_S, paths.logs / "log", note)
    took = time.perf_counter() - began
    if found.python is None:
        raise SystemExit("no environment was made")
    return took, any("making an environment" in text for text in told)


async def preparations(root: Path) -> dict[str, float]:
    """One round through the engine."""
    paths = Paths(root)
    paths.make_private_directories()

    async def by(engine: ProcessEngine, owner: str, *, first: bool) -> float:
        took, made = await prepared_s(engine, paths, owner)
        if made is not first:
            raise SystemExit(f"{owner}: an environment was {'made' if made else 'found'}")
        return took

    engine = ProcessEngine(paths, Settings(), SystemClock())
    try:
        first = await by(engine, "first/v", first=True)
        again = [await by(engine, f"again{turn}/v", first=False) for turn in range(AGAIN)]
        others = []
        for turn in range(AGAIN):
            other = ProcessEngine(paths, Settings(), SystemClock())
            others.append(await by(other, f"other{turn}/v", first=False))
            await other.close()
    finally:
        await engine.close()
    return {
        "prepare(), the environment is made, s": first,
        "prepare(), the environment is there, s": statistics.median(again),
        "prepare(), the environment is there, by a new control, s": statistics.median(others),
    }


def deployments(at: Server) -> dict[str, float]:
    """One round through the API."""
    at.client("s3").create_bucket(Bucket="bench")
    files = {"code/inference.py": NAMED.format(name="x").encode(), "code/requirements.txt": REQUIREMENTS}
    create_model(at, "own", files)
    deploy(at, "first", ["own"])
    return {
        "create_endpoint -> InService, the environment is there, s": statistics.median(
            deploy(at, f"again{turn}", ["own"]) for turn in range(3)
        )
    }


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    print(described_machine())
    rounds = []
    for number in range(chosen.rounds):
        print(f"round {number + 1} of {chosen.rounds}", flush=True)
        with tempfile.TemporaryDirectory(prefix="mooring-bench-") as root:
            found = asyncio.run(preparations(Path(root)))
        with server() as at:
            found.update(deployments(at))
        rounds.append(found)
    print_table(rounds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
