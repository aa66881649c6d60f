"""Alarms over a store of their own and a clock that the test sets: when they are judged, by what, and what they owe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from mooring.control.alarm_actions import ATTEMPTS, AlarmActions
from mooring.control.alarm_book import AlarmBook
from mooring.control.alarm_evaluation import AlarmEvaluation
from mooring.control.metering import Metering
from mooring.control.topics import Topics
from mooring.errors import NotInstalled, Unavailable
from mooring.hosting.naming import Scope
from mooring.http1.messages import Request
from mooring.metrics.alarms import COMPOSITE, METRIC, Alarm, too_few_samples
from mooring.metrics.distributions import Distribution
from mooring.metrics.evaluating import State
from mooring.metrics.series import Point, Series
from mooring.store import Store, alarms
from mooring.store.metric_data import Retention
from mooring.store.metric_store import MetricStore
from mooring.wire.errors import WireResponse

HERE = Scope("1", "us-east-1")
START = 1_800_000_000.0
M = Series("1", "us-east-1", "N", "m", (), "None")
TOPIC = "arn:aws:sns:us-east-1:1:t"


class SetClock:
    def __init__(self) -> None:
        self.now = START

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def alarm(name: str = "a", kind: str = METRIC, now: float = START, **members: Any) -> Alarm:
    definition: dict[str, Any] = {"AlarmName": name, "AlarmActions": [TOPIC]}
    if kind == METRIC:
        definition |= {
            "Namespace": "N", "MetricName": "m", "Statistic": "Sum", "Period": 10, "EvaluationPeriods": 1,
            "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold",
        }  # fmt: skip
    return Alarm("1", "us-east-1", f"arn:{name}", kind, {**definition, **members}, now)


class Sns:
    """The neighbours, as far as a topic is told."""

    def __init__(self) -> None:
        self.outcomes: list[Any] = []
        self.told: list[bytes] = []

    async def ask(self, request: Request, request_id: str) -> WireResponse:
        outcome = self.outcomes.pop(0) if self.outcomes else 200
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == 200:
            self.told.append(request.body)
        return WireResponse(outcome, (), b"<Error/>")


class Scene:
    def __init__(self, store: Store, metrics: MetricStore, clock: SetClock, book: AlarmBook) -> None:
        self.store, self.metrics, self.clock, self.book = store, metrics, clock, book
        self.sns = Sns()
        self.evaluation = AlarmEvaluation(book, cast(Metering, metrics), clock)

    def see(self, value: float, at: float) -> None:
        self.metrics.record([Point(M, int(at), Distribution.of([value]))])

    async def state(self, at: float, name: str = "a") -> State | None:
        """After a look at that many seconds from the start."""
        self.clock.now = START + at
        await self.evaluation.look()
        return self.book.state_of(HERE, name)

    async def act(self) -> None:
        """Until nothing is owed, or the actions pause."""
        task = asyncio.create_task(AlarmActions(self.book, Topics(cast(Any, self.sns), "")).run())
        for _ in range(200):
            await asyncio.sleep(0.01)
            if not any(each.owed for each in self.book.all()):
                break
        task.cancel()


def played(path: Path, script: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        clock = SetClock()
        store = await Store.open(path / "state.db")
        retention = Retention({1: 10_800, 60: 1e6, 300: 1e6, 3600: 1e6}, 100)
        metrics = await MetricStore.open(path / "metrics.db", retention, clock.wall)
        await script(Scene(store, metrics, clock, await AlarmBook.open(store, clock)))
        await metrics.close()
        await store.close()

    asyncio.run(run())


def test_a_short_alarm_is_judged_at_the_ends_of_its_periods(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.book.put(alarm(), {})
        assert await scene.state(1) is State.INSUFFICIENT_DATA
        scene.see(9, START + 1)
        assert await scene.state(9) is State.INSUFFICIENT_DATA
        assert await scene.state(11.9) is State.INSUFFICIENT_DATA  # the gateways have not told everything
        assert await scene.state(12.1) is State.ALARM
        scene.see(1, START + 13)
        assert await scene.state(21) is State.ALARM
        assert await scene.state(22.1) is State.OK
        (entry,) = [each for *_, each in await scene.store.read(lambda c: alarms.history(c, "1", "us-east-1"))][-1:]
        assert entry.summary == "Alarm updated from ALARM to OK"
        assert "1 datapoint [1.0 (" in entry.data["newState"]["stateReason"]

    played(tmp_path, script)


def test_what_is_set_by_hand_holds_for_a_step_also_after_control_died(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.book.put(alarm(TreatMissingData="notBreaching"), {})
        assert await scene.state(1) is State.OK
        held = scene.book.get(HERE, "a")
        assert held is not None
        scene.clock.now = START + 9
        await scene.book.move(held, State.ALARM, "try", "", by_hand=True)
        assert await scene.state(12.5) is State.ALARM
        book = await AlarmBook.open(scene.store, scene.clock)
        again = Scene(scene.store, scene.metrics, scene.clock, book)
        assert await again.state(18) is State.ALARM
        assert await again.state(19.5) is State.OK

    played(tmp_path, script)


def test_a_definition_that_changes_is_judged_at_once_and_an_old_look_changes_nothing(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        scene.see(7, START - 5)
        await scene.book.put(alarm(Threshold=10.0), {})
        assert await scene.state(3) is State.OK
        old = scene.book.get(HERE, "a")
        assert old is not None
        await scene.book.put(alarm(now=START + 4, Threshold=1.0), {})
        assert await scene.book.move(old, State.INSUFFICIENT_DATA, "late", "") is None
        assert scene.book.state_of(HERE, "a") is State.OK  # kept
        assert await scene.state(4) is State.ALARM

    played(tmp_path, script)


def test_few_samples_of_a_percentile_leave_an_alarm_as_it_is(tmp_path: Path) -> None:
    assert too_few_samples("p99", 999)
    assert not too_few_samples("p99", 1000)
    assert too_few_samples("p10", 99)
    assert not too_few_samples("Sum", 1)

    async def script(scene: Scene) -> None:
        ignoring = {"Statistic": None, "ExtendedStatistic": "p90", "EvaluateLowSampleCountPercentile": "ignore"}
        await scene.book.put(alarm(**ignoring), {})
        scene.see(9, START + 1)
        assert await scene.state(12.5) is State.INSUFFICIENT_DATA
        for _ in range(100):
            scene.see(9, START + 15)
        assert await scene.state(22.5) is State.ALARM

    played(tmp_path, script)


def test_expressions_and_composites_follow(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        stat = {"Metric": {"Namespace": "N", "MetricName": "m"}, "Period": 10, "Stat": "Sum"}
        queries = [{"Id": "m1", "MetricStat": stat, "ReturnData": False}, {"Id": "e", "Expression": "FILL(m1, 0) * 2"}]
        rest = dict.fromkeys(("Namespace", "MetricName", "Statistic", "Period"))
        math = alarm("math")
        definition = {name: value for name, value in math.definition.items() if name not in rest}
        await scene.book.put(alarm("math"), {})
        held = Alarm("1", "us-east-1", "arn:math", METRIC, {**definition, "Metrics": queries}, START + 1)
        await scene.book.put(held, {})
        await scene.book.put(alarm("one", COMPOSITE, AlarmRule="ALARM(math)"), {})
        await scene.book.put(alarm("two", COMPOSITE, AlarmRule="NOT ALARM(one)"), {})
        assert await scene.state(2, "math") is State.OK  # FILL
        assert scene.book.state_of(HERE, "two") is State.ALARM
        scene.see(3, START + 3)
        assert await scene.state(12.5, "math") is State.ALARM
        assert scene.book.state_of(HERE, "one") is State.ALARM
        assert scene.book.state_of(HERE, "two") is State.OK

    played(tmp_path, script)


def test_composites_that_lead_back_to_themselves_rest(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        rules = {"self": "NOT ALARM(self)", "e": "ALARM(f)", "f": "NOT ALARM(e)", "behind": "NOT ALARM(f)"}
        for name, text in rules.items():
            await scene.book.put(alarm(name, COMPOSITE, AlarmRule=text), {})
        await scene.state(2)
        assert {scene.book.state_of(HERE, name) for name in rules} == {State.INSUFFICIENT_DATA}
        await scene.book.put(alarm("f", COMPOSITE, now=START + 3, AlarmRule="FALSE"), {})  # the way out that AWS names
        await scene.state(3)
        assert scene.book.state_of(HERE, "e") is State.OK
        assert scene.book.state_of(HERE, "behind") is State.ALARM

    played(tmp_path, script)


def test_one_look_settles_a_long_way_of_composites(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        for number in reversed(range(40)):
            rule = f"ALARM(n{number - 1})" if number else "TRUE"
            await scene.book.put(alarm(f"n{number}", COMPOSITE, AlarmRule=rule), {})
        assert await scene.state(2, "n39") is State.ALARM

    played(tmp_path, script)


def test_actions_are_owed_until_they_are_taken(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.book.put(alarm(), {})
        scene.see(9, START + 1)
        assert await scene.state(12.5) is State.ALARM
        book = await AlarmBook.open(scene.store, scene.clock)  # control died before it told anybody
        again = Scene(scene.store, scene.metrics, scene.clock, book)
        await again.act()
        (told,) = again.sns.told
        assert b"TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A1%3At" in told
        held = again.book.get(HERE, "a")
        assert held is not None
        assert held.owed == ()
        assert not [each.owed for each in await again.store.read(alarms.all) if each.owed]
        for outcome in (NotInstalled(), 400):
            await again.book.move(cast(Alarm, again.book.get(HERE, "a")), State.OK, "x", "")
            await again.book.move(cast(Alarm, again.book.get(HERE, "a")), State.ALARM, "x", "")
            again.sns.outcomes = [outcome]
            await again.act()
        entries = [each for *_, each in await again.store.read(lambda c: alarms.history(c, "1", "us-east-1"))]
        assert [each.data["actionState"] for each in entries if each.kind == "Action"] == [
            "Succeeded",
            "Failed",
            "Failed",
        ]
        assert json.dumps(entries[-1].data)

    played(tmp_path, script)


def test_a_topic_that_is_away_is_told_later_and_given_up_at_last(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.book.put(alarm(), {})
        actions = AlarmActions(scene.book, Topics(cast(Any, scene.sns), ""))
        await scene.book.move(cast(Alarm, scene.book.get(HERE, "a")), State.ALARM, "x", "")
        (owed,) = cast(Alarm, scene.book.get(HERE, "a")).owed
        scene.sns.outcomes = [Unavailable("away"), 503, 200]
        found = [await actions._taken(cast(Alarm, scene.book.get(HERE, "a")), owed) for _ in range(3)]
        assert found == [False, False, True]
        assert len(scene.sns.told) == 1
        scene.sns.outcomes = [Unavailable("away")] * ATTEMPTS
        found = [await actions._taken(cast(Alarm, scene.book.get(HERE, "a")), owed) for _ in range(ATTEMPTS)]
        assert found == [False] * (ATTEMPTS - 1) + [True]

    played(tmp_path, script)


def test_actions_that_are_off_are_not_owed(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.book.put(alarm(), {})
        await scene.book.enable_actions(HERE, ["a", "nobody"], enabled=False)
        moved = await scene.book.move(cast(Alarm, scene.book.get(HERE, "a")), State.ALARM, "x", "")
        assert moved is not None
        assert moved.owed == ()

    played(tmp_path, script)


def test_a_name_writes_no_line_of_its_own_into_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def script(scene: Scene) -> None:
        await scene.book.put(alarm("a\n\x1b[31mERROR", COMPOSITE, AlarmRule="TRUE"), {})
        await scene.state(2)
        scene.sns.outcomes = [400]
        await scene.act()

    with caplog.at_level("INFO"):
        played(tmp_path, script)
    told = [record.getMessage() for record in caplog.records if "ERROR" in record.getMessage()]
    assert len(told) == 2
    assert all(text.isprintable() for text in told)
