"""Explanations in all figures: how exact they are for what a model predicts, how fast, and what ordinary calls feel.

    python bench/explainer.py [--quick]

One bench after the other, each in a process of its own with its seeds, machine and tables: `explainer_accuracy` (truth
by enumeration, beside shap and plain leverage sampling) and `explainer_calls` (a real server, beside shap in process).
Ends with 1 where a figure misses what it must reach.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BENCHES = {"explainer_accuracy": ["--quick"], "explainer_calls": ["--rounds", "2", "--seconds", "3"]}
"""Each with what makes it a look and no result."""


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--quick", action="store_true", help="a look, no result")
    chosen = options.parse_args()
    missed = 0
    for name, quick in BENCHES.items():
        print(f"## {name}\n", flush=True)
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), *(quick if chosen.quick else [])]
        missed |= subprocess.run(command, check=False).returncode
        print(flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
