"""The gateway's end of a solver process, which here does as it is told: it is started, fed, lost and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mooring.explainer.edge import solver as module
from mooring.explainer.edge.solver import BUSY, FAULTY, FULL, MOST_CALLS, Busy, Solver
from mooring.explainer.frames import Explain, Explained, Frame, Predict, Predicted, Unexplained
from mooring.settings import ExplainerSettings
from tests.explainer import standing_in


@pytest.fixture(autouse=True)
def stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in standing_in.environment(tmp_path).items():
        monkeypatch.setenv(name, value)


class Asking:
    """Remembers what it is told; what is to be predicted is answered at once."""

    def __init__(self, solver: Solver, *, answers: bool = True) -> None:
        self.heard_of: list[Frame] = []
        self.lost_by: tuple[str, str] | None = None
        self.done = asyncio.Event()
        self._solver = solver
        self._answers = answers

    def heard(self, frame: Predict | Explained | Unexplained) -> None:
        self.heard_of.append(frame)
        if not isinstance(frame, Predict):
            self.done.set()
        elif self._answers:
            self._solver.say(Predicted(frame.call, frame.number, 200, "text/csv", frame.body * 2, 0.001))

    def lost(self, kind: str, reason: str) -> None:
        self.lost_by = kind, reason
        self.done.set()

    @property
    def said(self) -> dict[str, Any]:
        (explained,) = [frame for frame in self.heard_of if isinstance(frame, Explained)]
        return json.loads(explained.body)


def explain(**program: Any) -> Explain:
    return Explain(0, "{}", "text/csv", None, json.dumps(program).encode(), "text/csv", b"0.5", 1, 9.0)


@asynccontextmanager
async def solving(**changes: Any) -> AsyncIterator[Solver]:
    """A solver; whatever happens, its processes go."""
    stuck_s = changes.pop("stuck_s", 20.0)
    made = Solver(ExplainerSettings(**changes), changes.pop("on_room", lambda: None), stuck_s=stuck_s)
    try:
        yield made
    finally:
        await made.finish(0.2)


async def ask(solver: Solver, **program: Any) -> Asking:
    asking = Asking(solver)
    solver.begin(asking, explain(**program))
    await asking.done.wait()
    return asking


def play(body: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30):
            await body()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_one_process_has_all_calls_and_is_started_by_the_first() -> None:
    async def body() -> None:
        async with solving() as solver:
            assert solver.starts == 0
            asking = [Asking(solver) for _ in range(20)]
            for number, each in enumerate(asking):
                solver.begin(each, explain(ask=[f"{number}"] * 3))
            for number, each in enumerate(asking):
                await each.done.wait()
                assert [told[2] for told in each.said["predicted"]] == [f"{number}" * 2] * 3
            assert len({each.said["pid"] for each in asking}) == solver.starts == 1
            assert len({each.said["call"] for each in asking}) == 20
            pid = asking[0].said["pid"]
        assert not alive(pid)

    play(body)


def test_large_bodies_go_both_ways() -> None:
    async def body() -> None:
        async with solving() as solver:
            size = 3_000_000
            asking = await ask(solver, ask=["x" * size, "y"], filler="z" * size)
            assert [len(frame.body) for frame in asking.heard_of if isinstance(frame, Predict)] == [size, 1]
            assert asking.said["predicted"][0][0] == 200

    play(body)


class TestItsEnd:
    def test_calls_are_lost_and_the_next_starts_another(self) -> None:
        async def body() -> None:
            async with solving() as solver:
                pid = (await ask(solver)).said["pid"]
                waiting = [Asking(solver) for _ in range(3)]
                for each in waiting:
                    solver.begin(each, explain(never=True))
                await asyncio.sleep(0.05)
                os.kill(pid, signal.SIGKILL)
                for each in waiting:
                    await each.done.wait()
                    assert each.lost_by is not None
                    assert (each.lost_by[0], "started again" in each.lost_by[1]) == (FAULTY, True)
                assert (await ask(solver)).said["pid"] != pid
                assert solver.starts == 2

        play(body)

    def test_one_that_dies_again_and_again_rests_ever_longer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "RESTART_S", 0.1)

        async def body() -> None:
            async with solving() as solver:
                loop = asyncio.get_running_loop()
                rests = []
                for _ in range(4):
                    assert (await ask(solver, die=True)).lost_by is not None
                    if (rest := solver._not_before - loop.time()) > 0:
                        with pytest.raises(Busy, match="again and again"):
                            solver.begin(Asking(solver), explain())
                        rests.append(rest)
                        await asyncio.sleep(rest + 0.01)
                assert len(rests) == 3
                assert rests == sorted(rests)
                assert (await ask(solver)).said
                assert (await ask(solver, die=True)).lost_by is not None
                assert (await ask(solver)).said, "it has shown that it can"

        play(body)

    def test_one_that_says_what_is_no_frame_is_ended(self, tmp_path: Path) -> None:
        (tmp_path / "sitecustomize.py").write_text(
            "import os, sys, time\n"
            "if 'mooring.explainer.process' in sys.orig_argv:\n"
            "    os.write(int(sys.orig_argv[-1]), b'\\0' * 7 + b'\\4' + b'nope')\n"
            "    time.sleep(60)\n"
        )

        async def body() -> None:
            async with solving() as solver:
                assert (await ask(solver)).lost_by is not None

        play(body)

    def test_one_that_cannot_be_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", "/nowhere/python")

        async def body() -> None:
            async with solving() as solver:
                asking = await ask(solver)
                assert asking.lost_by is not None
                assert "cannot be started: No such file" in asking.lost_by[1]

        play(body)

    def test_one_that_says_nothing_though_it_is_its_turn(self) -> None:
        async def body() -> None:
            async with solving(stuck_s=0.2) as solver:
                pid = (await ask(solver)).said["pid"]
                os.kill(pid, signal.SIGSTOP)
                loop = asyncio.get_running_loop()
                began, other = loop.time(), Asking(solver)
                number = solver.begin(Asking(solver), explain())
                solver.begin(other, explain())
                solver.forget(number, began)
                assert other.lost_by is None, "it had no time yet"
                number = solver.begin(Asking(solver), explain())
                await asyncio.sleep(0.3)
                solver.forget(number, None)
                assert other.lost_by is None, "it is the model's turn"
                number = solver.begin(Asking(solver), explain())
                solver.forget(number, began)
                await other.done.wait()
                assert (await ask(solver)).said["pid"] != pid

        play(body)

    def test_one_that_is_not_listened_to_is_not_taken_for_one_that_says_nothing(self) -> None:
        async def body() -> None:
            async with solving(stuck_s=0.2) as solver:
                pid = (await ask(solver)).said["pid"]
                began, other = asyncio.get_running_loop().time(), Asking(solver)
                solver.pause()
                number = solver.begin(Asking(solver), explain())
                solver.begin(other, explain())
                await asyncio.sleep(0.3)
                solver.forget(number, began)
                number = solver.begin(Asking(solver), explain())
                solver.resume()
                solver.forget(number, began)
                await other.done.wait()
                assert [other.said["pid"], (await ask(solver)).said["pid"]] == [pid, pid]

        play(body)

    def test_one_that_nobody_asks_is_ended_and_started_again(self) -> None:
        async def body() -> None:
            async with solving(solver_idle_s=10) as solver:
                now = asyncio.get_running_loop().time()
                pid = (await ask(solver)).said["pid"]
                waiting = Asking(solver)
                number = solver.begin(waiting, explain(never=True))
                solver.sweep(now + 1000)
                solver.sweep(now + 2000)
                solver.forget(number)
                solver.sweep(now + 2009)
                assert solver.starts == 1
                solver.sweep(now + 2011)
                await until(lambda: not alive(pid))
                assert waiting.lost_by is None
                assert (await ask(solver)).said["pid"] != pid

        play(body)

    def test_a_call_between_two_sweeps_is_no_reason_to_end(self) -> None:
        async def body() -> None:
            async with solving(solver_idle_s=10) as solver:
                pid = (await ask(solver)).said["pid"]
                solver.sweep(asyncio.get_running_loop().time() + 1)
                assert (await ask(solver)).said["pid"] == pid
                assert solver.starts == 1

        play(body)

    @pytest.mark.parametrize("stopped", [False, True])
    def test_it_goes_with_its_gateway(self, stopped: bool) -> None:
        async def body() -> None:
            async with solving() as solver:
                pid = (await ask(solver)).said["pid"]
                waiting = Asking(solver)
                solver.begin(waiting, explain(never=True))
                if stopped:
                    os.kill(pid, signal.SIGSTOP)  # it does not see the end of what it reads
                await solver.finish(0.2)
                assert waiting.lost_by is not None
                assert waiting.lost_by[0] == BUSY
                assert not alive(pid)
                with pytest.raises(Busy, match="being stopped"):
                    solver.begin(Asking(solver), explain())

        play(body)

    def test_also_when_that_is_killed(self, tmp_path: Path) -> None:
        script = tmp_path / "parent.py"
        script.write_text(
            "import asyncio, json\n"
            "from tests.explainer import test_solver as t\n"
            "async def main():\n"
            "    solver = t.Solver(t.ExplainerSettings(), lambda: None)\n"
            "    print((await t.ask(solver)).said['pid'], flush=True)\n"
            "    await asyncio.sleep(60)\n"
            "asyncio.run(main())\n"
        )
        parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE)
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            assert alive(pid)
        finally:
            parent.kill()
            parent.communicate()

        async def body() -> None:
            await until(lambda: not alive(pid))

        play(body)


class TestBounds:
    def test_bytes_of_all_calls(self) -> None:
        async def body() -> None:
            async with solving(queue_bytes=10_000) as solver:
                first = Asking(solver)
                number = solver.begin(first, explain(never=True, filler="x" * 20_000))
                assert solver.refusal == FULL, "one call is never too large"
                with pytest.raises(Busy, match="Too many calls"):
                    solver.begin(Asking(solver), explain())
                solver.forget(number)
                second = Asking(solver)
                solver.begin(second, explain(never=True, filler="x" * 5000))
                assert solver.refusal is None
                with pytest.raises(Busy):
                    solver.begin(Asking(solver), explain(filler="x" * 5000))
                assert (await ask(solver)).said

        play(body)

    def test_their_number(self) -> None:
        async def body() -> None:
            async with solving() as solver:
                numbers = [solver.begin(Asking(solver), explain(never=True)) for _ in range(MOST_CALLS)]
                with pytest.raises(Busy):
                    solver.begin(Asking(solver), explain())
                solver.forget(numbers[7])
                assert (await ask(solver)).said

        play(body)

    def test_what_the_process_does_not_take_is_told_to_who_has_more(self) -> None:
        async def body() -> None:
            room = asyncio.Event()
            solver = Solver(ExplainerSettings(), room.set)
            try:
                pid = (await ask(solver)).said["pid"]
                asking = Asking(solver, answers=False)
                number = solver.begin(asking, explain(ask=["x"] * 50))
                await until(lambda: len(asking.heard_of) == 50)
                os.kill(pid, signal.SIGSTOP)
                said = 0
                while solver.has_room:
                    solver.say(Predicted(number, said, 200, "text/csv", b"y" * 500_000, 0.0))
                    said += 1
                    await asyncio.sleep(0)
                    assert said < 50
                os.kill(pid, signal.SIGCONT)
                await room.wait()
                assert solver.has_room
                for each in range(said, 50):
                    solver.say(Predicted(number, each, 200, "text/csv", b"y", 0.0))
                await asking.done.wait()
                assert len(asking.said["predicted"]) == 50
            finally:
                await solver.finish(0.5)

        play(body)

    def test_it_is_not_listened_to_while_there_is_enough_to_do(self) -> None:
        async def body() -> None:
            async with solving() as solver:
                await ask(solver)
                asking = Asking(solver)
                solver.pause()
                solver.begin(asking, explain(ask=["x"]))
                await asyncio.sleep(0.1)
                assert not asking.heard_of
                solver.resume()
                await asking.done.wait()
                assert asking.said

        play(body)


def test_of_a_call_that_nobody_waits_for_nothing_is_heard() -> None:
    async def body() -> None:
        async with solving() as solver:
            await ask(solver)
            asking = Asking(solver)
            number = solver.begin(asking, explain(ask=["x"]))
            solver.forget(number)
            solver.forget(number)
            solver.say(Predicted(number, 0, 200, "", b"", 0.0))
            await ask(solver)
            assert not asking.heard_of

    play(body)
