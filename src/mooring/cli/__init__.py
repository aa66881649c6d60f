"""The `mooring` command. Everything but `mooring serve` talks to a running server through its API.

`main` is the console entry. Errors are one line on standard error: exit code 2 for what the caller can mend in the
command itself, 1 for the rest, refusals of the server among it. `mooring serve` in its plain form is recognised before
Typer is imported, because that costs 80 ms and 8 MB which the supervisor would keep for as long as it lives.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from mooring.errors import BadInput, MooringError, Refused

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _dispatch(arguments)
    except MooringError as error:
        _complain(str(error))
        return 2 if isinstance(error, BadInput) and not isinstance(error, Refused) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _complain(str(error))
        return 1


def _dispatch(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "serve":
        from mooring.cli import serving

        flags = serving.plain_flags(arguments[1:])
        if flags is not None:
            return serving.serve(flags)
    from mooring.cli import commands

    return commands.run(arguments)


def _complain(message: str) -> None:
    print(f"mooring: {' '.join(message.split())}", file=sys.stderr)
