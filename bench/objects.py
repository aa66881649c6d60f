"""Uploads into the embedded S3: throughput, CPU seconds a gigabyte and memory of the objects front.

    python bench/objects.py --uploads 10 --megabytes 1024
    python bench/objects.py --uploads 4 --echo        # and what they do to a small request beside them

Starts one front with a data directory of its own. The uploaders are one process of raw sockets, so that the client
costs little. With `--echo` two more processes bounce a small message over TCP, alone and during the uploads: the
stand-in for an invocation, whose p50 must stay within twice its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from mooring.paths import Paths
from mooring.settings import RESOLVED, load

MIB = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")


def start(root: Path) -> tuple[subprocess.Popen[bytes], Paths, list[socket.socket], int]:
    """The front as the supervisor starts it."""
    settings = load()
    settings = dataclasses.replace(settings, server=dataclasses.replace(settings.server, data_dir=str(root)))
    paths = Paths(root)
    paths.make_private_directories()
    listeners = []
    for path in (paths.handover_socket, paths.s3_socket):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.fspath(path))
        listener.listen(128)
        listeners.append(listener)
    lifeline, held = os.pipe()
    ready, told = os.pipe()
    inherited = (listeners[0].fileno(), listeners[1].fileno(), lifeline, told)
    names = ("--handover-fd", "--s3-fd", "--lifeline-fd", "--ready-fd")
    arguments = [text for name, fd in zip(names, inherited, strict=True) for text in (name, str(fd))]
    environment = {**os.environ, RESOLVED: settings.to_json()}
    process = subprocess.Popen(
        [sys.executable, "-m", "mooring.objects", *arguments], pass_fds=inherited, env=environment
    )
    os.close(told)
    os.read(ready, 1)
    return process, paths, listeners, held


def usage(pid: int) -> tuple[float, float]:
    """CPU seconds so far, and the highest resident memory in MiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / TICKS, peak / 1024


def hand_over(paths: Paths, listener: socket.socket) -> socket.socket:
    """A TCP connection that the front was given, as a gateway gives it."""
    client = socket.create_connection(listener.getsockname())
    accepted, _ = listener.accept()
    with accepted, socket.socket(socket.AF_UNIX) as channel:
        channel.connect(os.fspath(paths.handover_socket))
        socket.send_fds(channel, [b"\0\0\0\0"], [accepted.fileno()])
    return client


def request(connection: socket.socket, line: str, length: int) -> None:
    connection.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode())


def answered(connection: socket.socket) -> None:
    answer = connection.recv(4096)
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"refused: {answer!r}")


def upload_all(paths: Paths, uploads: int, megabytes: int) -> None:
    """All uploads, a thread each."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connections = [hand_over(paths, listener) for _ in range(uploads)]
        threads = [
            threading.Thread(target=upload, args=(connection, number, megabytes))
            for number, connection in enumerate(connections)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def upload(connection: socket.socket, number: int, megabytes: int) -> None:
    block = bytes(MIB)
    with connection:
        request(connection, f"PUT /bench/object-{number}.bin", megabytes * MIB)
        for _ in range(megabytes):
            connection.sendall(block)
        answered(connection)


def echo(listener: socket.socket) -> None:
    """Answer a small message with a small message, until the other side closes."""
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while data := connection.recv(4096):
            connection.sendall(data)


def bounce(port: int, stop: multiprocessing.synchronize.Event, results: multiprocessing.Queue) -> None:
    """Round trips until told to stop; their times in microseconds."""
    times = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not stop.is_set():
            begun = time.perf_counter()
            connection.sendall(bytes(200))
            connection.recv(4096)
            times.append((time.perf_counter() - begun) * 1e6)
            time.sleep(0.0005)
    results.put(times)


def echo_during(seconds: float, work: multiprocessing.Process | None) -> tuple[float, float]:
    """p50 and p99 of the small round trip for some seconds, or while `work` runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop, results = multiprocessing.Event(), multiprocessing.Queue()
        server = multiprocessing.Process(target=echo, args=(listener,))
        client = multiprocessing.Process(target=bounce, args=(listener.getsockname()[1], stop, results))
        server.start()
        client.start()
        if work is not None:
            work.start()
            work.join()
        else:
            time.sleep(seconds)
        stop.set()
        times = results.get(timeout=10)
        client.join()
        server.join()
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=4)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--echo", action="store_true", help="measure a small round trip alone and during the uploads")
    parser.add_argument("--dir", help="where the data directory is made", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as root:
        process, paths, listeners, _ = start(Path(root))
        try:
            measure(process.pid, paths, arguments)
        finally:
            process.kill()
            process.wait()
            for listener in listeners:
                listener.close()


def measure(pid: int, paths: Paths, arguments: argparse.Namespace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, hand_over(paths, listener) as connection:
        request(connection, "PUT /bench", 0)
        answered(connection)
    alone = echo_during(3.0, None) if arguments.echo else None
    work = multiprocessing.Process(target=upload_all, args=(paths, arguments.uploads, arguments.megabytes))
    cpu, begun = usage(pid)[0], time.monotonic()
    if arguments.echo:
        beside = echo_during(0.0, work)
    else:
        work.start()
        work.join()
    wall = time.monotonic() - begun
    spent, peak = usage(pid)
    gigabytes = arguments.uploads * arguments.megabytes / 1024
    print(
        f"{arguments.uploads} uploads of {arguments.megabytes} MiB: {wall:.1f} s, {gigabytes * 1024 / wall:.0f} MiB/s"
    )
    print(f"front: {(spent - cpu) / gigabytes:.2f} CPU s per GiB, peak {peak:.0f} MiB resident")
    if alone:
        print(f"small round trip alone:   p50 {alone[0]:.0f} µs, p99 {alone[1]:.0f} µs")
        print(f"small round trip beside:  p50 {beside[0]:.0f} µs, p99 {beside[1]:.0f} µs")
        print(f"p50 beside ÷ alone: {beside[0] / alone[0]:.2f}")


if __name__ == "__main__":
    main()
