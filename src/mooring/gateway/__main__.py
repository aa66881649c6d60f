"""`python -m mooring.gateway`: started by the supervisor, with its descriptors."""

from __future__ import annotations

import argparse
import asyncio
import logging

from mooring.gateway.process import Gateway, Inherited
from mooring.http1.loops import new_event_loop
from mooring.settings import load


def main() -> None:
    """Run one gateway until it is told to stop."""
    parser = argparse.ArgumentParser(prog="python -m mooring.gateway", description=__doc__)
    for name in ("index", "listen-fd", "lifeline-fd", "ready-fd"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    settings = load()
    logging.basicConfig(
        level=settings.server.log_level.upper(),
        format=f"%(asctime)s gateway-{given.index} %(levelname)s %(message)s",
    )
    gateway = Gateway(settings, Inherited(given.index, given.listen_fd, given.lifeline_fd, given.ready_fd))
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(gateway.run())


if __name__ == "__main__":
    main()
