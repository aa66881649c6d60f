"""`mooring serve`: the small process that owns the sockets, the data directory's lock and the process tree.

It has no threads, speaks no SQL and parses no request, so that nothing but a signal ends it; it starts all the other
processes by name and imports none of them. `run` is all there is to call.
"""

from mooring.supervisor.running import run

__all__ = ["run"]
