"""The solver process itself, over the pair of sockets that its gateway has, with a scripted container."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from mooring.explainer.frames import (
    Explain,
    Explained,
    Forget,
    Frame,
    Predict,
    Predicted,
    Unexplained,
    frame_of,
    plain,
)
from mooring.explainer.reading.formats import JSON_LINES
from mooring.explainer.work.turns import AT_ONCE
from mooring.hosting.explaining import ExplainerRoute
from mooring.processes.attendants import Batches, batch

from .containers import CSV, Container, attributions_of, explain_of

WAIT_S = 30.0


def wavy(row: list[float]) -> float:
    return float(np.sin(sum(row)) + row[0] * row[1] + sum(i * x for i, x in enumerate(row)))


def record_of(features: int, start: float) -> bytes:
    return ",".join(str(start + i % 7) for i in range(features)).encode()


class Gateway:
    """This end of the sockets."""

    def __init__(self, end: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self.end = end
        self.process = process
        self._batches = Batches()
        self._heard: deque[Frame] = deque()
        end.settimeout(WAIT_S)

    def say(self, *frames: Frame) -> None:
        self.end.sendall(b"".join(batch([plain(frame) for frame in frames])))

    def heard(self) -> Frame:
        while not self._heard:
            data = self.end.recv(1 << 20)
            assert data, "the process has closed its end"
            self._heard.extend(map(frame_of, self._batches.feed(data)))
        return self._heard.popleft()

    def serve(self, ends: int, answer: Callable[[Predict], Predicted | None]) -> dict[int, Explained | Unexplained]:
        """Answer what is asked until so many calls have ended; how each did."""
        ended: dict[int, Explained | Unexplained] = {}
        while len(ended) < ends:
            frame = self.heard()
            if isinstance(frame, Predict):
                assert frame.call not in ended, "nothing more is said of a call that has ended"
                predicted = answer(frame)
                if predicted is not None:
                    self.say(predicted)
            else:
                assert frame.call not in ended
                ended[frame.call] = cast("Explained | Unexplained", frame)
        return ended


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    ours, theirs = socket.socketpair()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MOORING_")}
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mooring.explainer.process", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),), stderr=subprocess.PIPE, env={**environment, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        with process:
            try:
                yield Gateway(ours, process)
            finally:
                process.kill()


def test_explains_one_call_after_the_other(gateway: Gateway) -> None:
    container = Container(wavy)
    for call in (1, 2):
        gateway.say(explain_of(wavy, record_of(12, 1.0), call=call, baseline=",".join("0" * 12), width=2))
        said = gateway.serve(1, container.answer)[call]
        total = wavy([1.0 + i % 7 for i in range(12)]) - wavy([0.0] * 12)
        assert np.isclose(attributions_of(said)[0].sum(), total, rtol=1e-12)
    assert container.predicted.count(b",".join([b"0"] * 12)) == 1


def test_fifty_calls_at_once(gateway: Gateway) -> None:
    """Answered in any order; each gets what it would get alone."""
    container = Container(wavy)
    calls = {
        call: explain_of(wavy, record_of(9, call), call=call, baseline=",".join("0" * 9), width=2)
        for call in range(1, 51)
    }
    gateway.say(*calls.values())
    generator, waiting, ended = random.Random(1), cast("list[Predict]", []), {}
    while len(ended) < 50:
        frame = gateway.heard()
        if isinstance(frame, Predict):
            waiting.append(frame)
        else:
            ended[frame.call] = cast(Explained, frame)
        if len(waiting) > 80 or len({each.call for each in waiting}) >= min(AT_ONCE, 50 - len(ended)) > 0:
            generator.shuffle(waiting)
            gateway.say(*(container.answer(each) for each in waiting[len(waiting) // 2 :]))
            del waiting[len(waiting) // 2 :]
    for call, said in ended.items():
        row = [call + i % 7 for i in range(9)]
        assert np.isclose(attributions_of(said)[0].sum(), wavy([float(x) for x in row]) - wavy([0.0] * 9), rtol=1e-9)


def test_a_call_does_not_wait_for_a_long_one(gateway: Gateway) -> None:
    """One of many rows is under way, and a small one that came later ends before it."""
    container = Container(wavy)
    many = b"\n".join(record_of(16, start) for start in range(30))
    gateway.say(explain_of(wavy, many, call=1, baseline=",".join("0" * 16)))
    for _ in range(5):
        gateway.say(container.answer(cast(Predict, gateway.heard())))
    gateway.say(explain_of(wavy, b"1,2,3", call=2, baseline="0,0,0"))
    assert list(gateway.serve(1, container.answer)) == [2]
    assert list(gateway.serve(1, container.answer)) == [1]


def test_a_call_does_not_wait_for_a_large_one(gateway: Gateway) -> None:
    """Neither while that is read, nor while its answer is written."""
    container = Container(wavy)
    gateway.say(explain_of(wavy, b"1,2,3", call=1, baseline="0,0,0"))
    gateway.serve(1, container.answer)
    large = explain_of(wavy, b"1,2,3", call=2, baseline="0,0,0", expression="[0]>`1` && contains(@, `7`)")
    large = large._replace(request=b"\n".join([b"1,2,3"] * 100_000), answer=b"\n".join([b"0.5"] * 100_000))
    gateway.say(large)
    time.sleep(0.1)
    gateway.say(explain_of(wavy, b"1,2,4", call=3, baseline="0,0,0"))
    assert list(gateway.serve(1, container.answer)) == [3]
    said = gateway.serve(1, container.answer)[2]
    assert isinstance(said, Explained)
    assert said.records == 0


def test_many_attributions(gateway: Gateway) -> None:
    container = Container(wavy)
    many = b"\n".join(b"%d,%d,%d" % (i % 50, i % 7 + 1, i % 3) for i in range(4000))
    gateway.say(explain_of(wavy, many, call=1, baseline="0,0,0"))
    values = attributions_of(gateway.serve(1, container.answer)[1])
    assert len(values) == 4000
    assert np.isclose(values[3999].sum(), wavy([49.0, 3.0, 0.0]) - wavy([0.0] * 3))
    assert len(container.predicted) == len(set(container.predicted))


def test_a_forgotten_call_is_not_heard_of_again(gateway: Gateway) -> None:
    container = Container(wavy)
    many = b"\n".join(record_of(14, start) for start in range(20))
    gateway.say(explain_of(wavy, many, call=1, baseline=",".join("0" * 14)))
    first = cast(Predict, gateway.heard())
    gateway.say(Forget(1), Forget(99), container.answer(first), explain_of(wavy, b"1,2,3", call=2, baseline="0,0,0"))
    gateway.say(container.answer(first), Predicted(77, 1, 200, CSV, b"1", 0.1), Predicted(2, 4711, 200, CSV, b"1", 0.1))
    assert isinstance(gateway.serve(1, container.answer)[2], Explained)


def test_a_call_whose_time_is_over_is_left(gateway: Gateway) -> None:
    gateway.say(explain_of(wavy, record_of(10, 1.0), call=1, baseline=",".join("0" * 10), within_s=0.3))
    first = cast(Predict, gateway.heard())
    time.sleep(0.5)
    container = Container(wavy)
    gateway.say(container.answer(first), explain_of(wavy, b"1,2,3", call=2, baseline="0,0,0"))
    assert list(gateway.serve(1, container.answer)) == [2]


GARBAGE = [
    b"", b"\x00" * 1000, b"\xff\xfe", b"nan", b"inf\ninf", b"[" * 200_000, b'"' * 1001, b"1," * 50_000, b"{}",
    b"1\n" * 5000, b"\n" * 3000, b"'", b"1e308,1e308,1e309", b"0x10", "१२".encode(), b"null", b"()",
    b"(" * 90_000 + b")",
]  # fmt: skip


def test_no_answer_of_a_container_ends_the_process(gateway: Gateway) -> None:
    types = [CSV, "application/jsonlines", "", "image/png", "text/csv; charset=x", "\x00"]
    calls = []
    for call in range(1, len(GARBAGE) * len(types) + 1):
        calls.append(explain_of(wavy, b"1,2,3", call=call, baseline="0,0,0", route={"model": f"m/{call}/v"}))
    generator = random.Random(3)

    def answer(predict: Predict) -> Predicted:
        at = predict.call - 1
        status = generator.choice((200, 200, 200, 204, 302, 400, 500))
        return Predicted(predict.call, predict.number, status, types[at % len(types)], GARBAGE[at // len(types)], 0.001)

    gateway.say(*calls)
    for said in gateway.serve(len(calls), answer).values():
        assert isinstance(said, Unexplained)
        assert said.kind in ("explainer", "container"), said
        assert len(said.message) < 100_000
    gateway.say(explain_of(wavy, b"1,2,3", call=9999, baseline="0,0,0"))
    assert isinstance(gateway.serve(1, Container(wavy).answer)[9999], Explained)


def test_no_request_of_a_client_ends_the_process(gateway: Gateway) -> None:
    fine = explain_of(wavy, b"1,2,3", baseline="0,0,0")
    odd = [
        fine._replace(request=body, answer=answer, content_type=content_type, answered_type=content_type)
        for body in GARBAGE
        for answer in (b"1", body)
        for content_type in (CSV, "application/jsonlines", "nothing")
    ]
    odd += [fine._replace(expression=expression) for expression in ("[", "[0]", "max(@)", "`1`", "abs('a')", "x" * 64)]
    odd += [fine._replace(explainer=fine.explainer.replace("0,0,0", "0,0")), fine._replace(explainer="{}")]
    gateway.say(*(explain._replace(call=call) for call, explain in enumerate(odd, 1)))
    ended = gateway.serve(len(odd), lambda predict: Predicted(predict.call, predict.number, 400, CSV, b"no", 0.0))
    kinds = {said.kind for said in ended.values() if isinstance(said, Unexplained)}
    assert kinds <= {"caller", "explainer", "container", "mooring"}
    ours = [call for call, said in ended.items() if isinstance(said, Unexplained) and said.kind == "mooring"]
    assert ours == [len(odd)], "the last one is no explainer at all, which no client can say"
    gateway.say(explain_of(wavy, b"1,2,3", call=9999, baseline="0,0,0"))
    assert isinstance(gateway.serve(1, Container(wavy).answer)[9999], Explained)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_with_its_gateway_and_not_before(gateway: Gateway, number: signal.Signals) -> None:
    gateway.say(explain_of(wavy, record_of(14, 1.0), baseline=",".join("0" * 14)))
    gateway.heard()
    gateway.process.send_signal(number)
    time.sleep(0.3)
    assert gateway.process.poll() is None
    gateway.end.close()
    assert gateway.process.wait(WAIT_S) == 0
    assert gateway.process.stderr is not None
    assert gateway.process.stderr.read() == b""


def test_ends_while_it_writes_what_nobody_reads(gateway: Gateway) -> None:
    """A gateway that takes nothing holds it up, and no more; it goes on when it does, and ends with it."""
    big = b"\n".join(record_of(16, start) for start in range(100))
    gateway.say(*(explain_of(wavy, big, call=call, baseline=",".join("0" * 16), width=64) for call in range(1, 9)))
    time.sleep(0.5)
    first = cast(Predict, gateway.heard())
    gateway.say(Container(wavy).answer(first))
    gateway.end.close()
    assert gateway.process.wait(WAIT_S) == 0


def test_memory_is_bounded_while_nobody_reads(gateway: Gateway) -> None:
    """Rows are made as they can be sent. Twenty features of three kilobytes make sixty of each row."""
    long = b",".join(b"%d" % (10**3000 + i) for i in range(20))
    fine = explain_of(lambda row: row[0], b"1", baseline=",".join("0" * 20), width=64)
    for call in range(1, 9):
        explainer = fine.explainer.replace("m/1/v", f"m/{call}/v")
        gateway.say(fine._replace(call=call, explainer=explainer, request=long))
    for _ in range(8):
        predict = cast(Predict, gateway.heard())
        gateway.say(Predicted(predict.call, predict.number, 200, CSV, b"1", 0.00001))
    time.sleep(2.0)
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) // 1024
    assert peak < 500, f"{peak} MB"


def test_a_busy_container_is_asked_again_in_time(gateway: Gateway) -> None:
    """Nothing else happens that would wake the process."""
    container = Container(
        wavy, lambda predict: (503, b"busy") if sum(predict.call == each.call for each in container.asked) % 3 else None
    )
    gateway.say(*(explain_of(wavy, record_of(7, call), call=call, baseline=",".join("0" * 7)) for call in (1, 2, 3)))
    for said in gateway.serve(3, container.answer).values():
        assert isinstance(said, Explained)


def test_of_a_crowd_some_calls_end_and_do_not_wait_for_all(gateway: Gateway) -> None:
    """No more than a few ask at a time, the first first, so that a crowd which is too much does not fail as a whole."""
    container, asked, seen = Container(wavy), set[int](), list[tuple[int, int]]()
    body = b"\n".join(record_of(12, 1.0 + i) for i in range(3))
    gateway.say(*(explain_of(wavy, body, call=call, baseline=",".join("0" * 12), width=2) for call in range(1, 21)))
    ended: dict[int, Explained | Unexplained] = {}
    while len(ended) < 20:
        frame = gateway.heard()
        if isinstance(frame, Predict):
            asked.add(frame.call)
            gateway.say(container.answer(frame))
        else:
            ended[frame.call] = cast("Explained | Unexplained", frame)
            seen.append((len(ended), len(asked)))
    assert all(isinstance(each, Explained) for each in ended.values())
    assert all(asking <= gone + AT_ONCE for gone, asking in seen)


def test_a_forgotten_call_lets_the_next_one_ask(gateway: Gateway) -> None:
    baseline, body = ",".join("0" * 12), record_of(12, 1.0)
    gateway.say(*(explain_of(wavy, body, call=call, baseline=baseline, width=1) for call in range(1, 7)))
    waiting = [gateway.heard() for _ in range(4)]
    assert {frame.call for frame in waiting} == {1, 2, 3, 4}
    gateway.say(Forget(1), Forget(2))
    assert {gateway.heard().call, gateway.heard().call} == {5, 6}


def test_a_call_that_takes_long_to_read_is_in_nobodys_way(gateway: Gateway) -> None:
    """Its expression looks at tens of thousands of records, and small calls that come later end before it does."""
    large = explain_of(wavy, b"\n".join([b"1,2,3"] * 40_000), call=1, expression="length([?@ > `2`]) > `9`")
    container = Container(wavy)
    gateway.say(large, *(explain_of(wavy, b"1,2,3", call=call) for call in range(2, 12)))
    order = [*gateway.serve(11, container.answer)]
    assert order[-1] == 1


def test_answers_and_records_of_megabytes_are_in_nobodys_way(gateway: Gateway) -> None:
    """A record whose only feature is a list of a million numbers, and answers of as many scores."""

    def answer(predict: Predict) -> Predicted:
        if predict.call != 1:
            return container.answer(predict)
        body = b"\n".join([b",".join([b"0.5"] * 300_000)] * predict.records)
        return Predicted(1, predict.number, 200, CSV, body, 0.01)

    container = Container(wavy)
    config = {
        "InferenceConfig": {"ContentTemplate": "$features"},
        "ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "0,0"}},
    }
    large = Explain(
        1, ExplainerRoute("m/1/v", config).to_text(), JSON_LINES, None, b"[1,[" + b"1," * 1_000_000 + b"1]]",
        CSV, b",".join([b"0.5"] * 300_000), 1, 50.0,
    )  # fmt: skip
    gateway.say(large, *(explain_of(wavy, b"1,2,3", call=call) for call in range(2, 12)))
    ended = gateway.serve(11, answer)
    assert [*ended][-1] == 1
    assert isinstance(ended[1], Explained)
