"""Python reads this at its start: writes down every connection and every look-up of a name beyond this machine."""

import os
import pathlib
import sys

HERE = ("localhost", "127.0.0.1", "::1", "")


def _watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else ""
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0] or ""
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host not in HERE and not host.startswith("127."):
        with pathlib.Path(os.environ["LEFT_THIS_MACHINE"]).open("a") as record:
            record.write(f"{event} {host}\n")


if "LEFT_THIS_MACHINE" in os.environ:
    sys.addaudithook(_watch)
