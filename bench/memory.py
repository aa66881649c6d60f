"""Section `memory`: many clients that send large bodies slowly, and what a gateway holds at its most."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gateways import gateway, route, variant
from ground import Ground, upstream
from loads import sized
from rounds import row

CLIENTS = 512
BODY_BYTES = 6_000_000
BUDGET_BYTES = 512 * 1024 * 1024
BEYOND_BYTES = 150_000_000
"""What a gateway may have besides the bodies."""
SEND_WITHIN_S = 10.0
PIECE_BYTES = 60_000
ANSWER_WITHIN_S = 300.0


def run(ground: Ground) -> Iterator[str]:
    """All clients at once, each with one call; an answer that comes before the body was sent ends the sending."""
    environment = {"MOORING_GATEWAY_BUFFERED_LIMIT_BYTES": str(BUDGET_BYTES)}
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(upstream(ground, whole_bodies=True))
        told = route(variant(at.unix))
        started = gateway(ground.place("memory"), "mooring", told, environment=environment)
        candidate = stack.enter_context(started)
        idle = resident_bytes(candidate.pids[0])
        statuses = Counter(asyncio.run(clients(candidate.port)))
        most = resident_bytes(candidate.pids[0], "VmHWM")
    allowed = BUDGET_BYTES + BEYOND_BYTES
    yield (
        f"{CLIENTS} clients, each sending {BODY_BYTES / 1e6:g} MB within {SEND_WITHIN_S:g} s; "
        f"a budget of {BUDGET_BYTES / 1e6:.0f} MB for bodies\n"
    )
    told = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    cells = {
        "resident before, MB": f"{idle / 1e6:.0f}",
        "most resident, MB": f"{most / 1e6:.0f}",
        "allowed (budget + 150 MB)": f"{allowed / 1e6:.0f}",
        "within": "yes" if most <= allowed else "no",
        "answers": told,
    }
    yield "\n".join([row(cells), row(["---"] * len(cells)), row(cells.values())]) + "\n"


def resident_bytes(pid: int, which: str = "VmRSS") -> int:
    """A process's resident memory: now, or `VmHWM`, at its most."""
    found = re.search(rf"(?m)^{which}:\s*(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def clients(port: int) -> list[str]:
    """What each client was answered."""
    call = sized(BODY_BYTES)
    return await asyncio.gather(*(client(port, call.message(port)) for _ in range(CLIENTS)))


async def client(port: int, message: bytes) -> str:
    """The status of the answer to one call that is sent slowly; else why there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.create_task(reader.readuntil(b"\r\n\r\n"))
    try:
        pieces = range(0, len(message), PIECE_BYTES)
        for start in pieces:
            await asyncio.wait({answer}, timeout=SEND_WITHIN_S / len(pieces))
            if answer.done():
                break
            writer.write(message[start : start + PIECE_BYTES])
            await writer.drain()
        head = await asyncio.wait_for(answer, ANSWER_WITHIN_S)
        return head[9:12].decode()
    except (OSError, asyncio.IncompleteReadError) as error:
        return f"no answer ({type(error).__name__})"
    except TimeoutError:
        return f"no answer within {ANSWER_WITHIN_S:g} s"
    finally:
        answer.cancel()
        writer.close()
