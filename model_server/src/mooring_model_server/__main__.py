"""`python -m mooring_model_server --spec PATH`: serve one replica here; its socket is descriptor 3.

This is how a replica starts when it cannot be forked from a zygote: an environment of its own, or a variable that is
read at import.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mooring_model_server import server
from mooring_model_server.output import leave
from mooring_model_server.replica import LISTENER, forget_working_directory
from mooring_model_server.spec import ReplicaSpec, SpecError


def main() -> None:
    """Read the spec and serve."""
    parser = argparse.ArgumentParser(prog="python -m mooring_model_server", description=__doc__.partition("\n")[0])
    parser.add_argument("--spec", type=Path, required=True, help="JSON file with the replica's spec")
    parser.add_argument("--listen-fd", type=int, default=LISTENER, help="inherited listening socket (default: 3)")
    arguments = parser.parse_args()
    forget_working_directory()
    try:
        spec = ReplicaSpec.from_file(arguments.spec)
    except SpecError as error:
        sys.stderr.write(f"mooring_model_server: {error}\n")
        raise SystemExit(2) from error
    sys.argv = ["mooring-replica", spec.replica_id]
    leave(server.run(spec, arguments.listen_fd))


if __name__ == "__main__":
    main()
