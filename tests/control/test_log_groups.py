"""The logs of an endpoint as one group: times that only grow, pages in bounded parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mooring.control import log_groups
from mooring.control.log_groups import Event, LogGroup, Wanted
from mooring.errors import NotFound


class SetClock:
    """A wall clock that is set by hand; it may go backwards."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def every(name: str) -> bool:
    return True


def append(directory: Path, stream: str, text: str, at: float) -> None:
    path = directory / f"{stream}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text)
    os.utime(path, (at, at))


def lines(group: LogGroup, **wanted: int) -> list[tuple[str, str, int]]:
    page = group.merged(every, Wanted(**wanted), {}, backwards=False)
    assert not page.more
    return [(event.stream, event.line.text, event.line.at) for event in page.events]


def test_a_line_has_the_time_at_which_its_file_changed(tmp_path: Path) -> None:
    clock = SetClock()
    group = LogGroup(tmp_path, clock)
    append(tmp_path, "v/a", "one\n", 999.5)
    append(tmp_path, "w/b", "two\n", 999.0)
    assert lines(group) == [("w/b", "two", 999_000), ("v/a", "one", 999_500)]
    append(tmp_path, "w/b", "late\n", 999.2)
    append(tmp_path, "v/a", "from the future\n", 5_000.0)
    assert lines(group)[2:] == [("w/b", "late", 999_501), ("v/a", "from the future", 1_000_000)]
    clock.now = 900.0
    append(tmp_path, "v/a", "back\n", 900.0)
    assert lines(group)[4:] == [("v/a", "back", 1_000_001)], "a clock that goes back does not turn the order"
    assert lines(LogGroup(tmp_path, clock)) == lines(group), "another control tells the same"


def test_a_page_is_bounded_and_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_groups, "LARGEST_PAGE_BYTES", 300)
    monkeypatch.setattr(log_groups, "LARGEST_SCAN_BYTES", 900)
    clock = SetClock()
    group = LogGroup(tmp_path, clock)
    for number in range(60):
        append(tmp_path, f"v/{number % 3}", f"line {number:02}\n" + "\n" * (number % 5), 900.0 + number)
        group.look()
    for backwards in (False, True):
        found: list[Event] = []
        positions: dict[str, int] = {}
        pages, more = 0, True
        while more:
            page = group.merged(every, Wanted(), positions, backwards=backwards)
            found += page.events
            pages, positions, more = pages + 1, page.positions, page.more
            assert len(page.events) <= 10
        assert pages > 6
        texts = [f"line {number:02}" for number in range(60)]
        assert [event.line.text for event in found] == (texts[::-1] if backwards else texts)


def test_a_log_that_is_cut_begins_again(tmp_path: Path) -> None:
    clock = SetClock()
    group = LogGroup(tmp_path, clock)
    append(tmp_path, "v/a", "a long line\n", 999.0)
    assert len(lines(group)) == 1
    os.truncate(tmp_path / "v" / "a.log", 0)
    append(tmp_path, "v/a", "new\n", 999.1)
    assert lines(group) == [("v/a", "new", 999_100)]


def test_a_data_log_is_a_stream_behind_that_of_its_replica(tmp_path: Path) -> None:
    group = LogGroup(tmp_path, SetClock())
    append(tmp_path, "v/i-1", "printed\n", 998.0)
    append(tmp_path, "v/i-1.data-log", "Completed\n", 999.0)
    append(tmp_path, "v/data-log", "expired\n", 1000.0)
    assert [stream.name for stream in group.streams()] == ["v/data-log", "v/i-1", "v/i-1/data-log"]
    assert [(stream, text) for stream, text, _ in lines(group)] == [
        ("v/i-1", "printed"), ("v/i-1/data-log", "Completed"), ("v/data-log", "expired")
    ]  # fmt: skip
    page = group.page("v/i-1/data-log", Wanted(), None, backwards=False)
    assert [event.line.text for event in page.events] == ["Completed"]
    for name in ("v/i-1.data-log", "v/i-1/data-log/", "v/i-1/data/log", "v/i-1/"):
        with pytest.raises(NotFound):
            group.page(name, Wanted(), None, backwards=False)


@pytest.mark.parametrize("name", ["", "a", "/", "v/", "v/../a", "../x/a", "v/b", "v/a\0", "v/a.log"])
def test_only_a_stream_is_read(tmp_path: Path, name: str) -> None:
    append(tmp_path / "uid", "v/a", "x\n", 999.0)
    append(tmp_path, "x/a", "not of this group\n", 999.0)
    with pytest.raises(NotFound):
        LogGroup(tmp_path / "uid", SetClock()).page(name, Wanted(), None, backwards=False)


class Following(RuleBasedStateMachine):
    """Replicas print, looks happen, clients follow by time: each sees every line once, and never a changed one."""

    def __init__(self) -> None:
        super().__init__()
        from tempfile import TemporaryDirectory

        self.directory = TemporaryDirectory()
        self.clock = SetClock()
        self.group = LogGroup(Path(self.directory.name), self.clock)
        self.printed: list[str] = []
        self.since = 0
        self.seen: dict[tuple[str, int], Event] = {}

    def teardown(self) -> None:
        self.directory.cleanup()

    @rule(stream=st.sampled_from(("v/a", "v/b", "w/c")), lag=st.integers(0, 3))
    def write(self, stream: str, lag: int) -> None:
        text = f"line {len(self.printed)}"
        self.printed.append(text)
        append(Path(self.directory.name), stream, text + "\n", self.clock.now - lag)

    @rule(seconds=st.integers(-2, 5))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @rule()
    def look(self) -> None:
        self.group.look()

    @rule()
    def restart(self) -> None:
        self.group = LogGroup(Path(self.directory.name), self.clock)

    @rule()
    def follow(self) -> None:
        for event in self.group.merged(every, Wanted(start=self.since), {}, backwards=False).events:
            assert event.line.at >= self.since
            known = self.seen.setdefault((event.stream, event.line.start), event)
            assert known == event
            self.since = max(self.since, event.line.at)

    @invariant()
    def nothing_is_missed(self) -> None:
        before = self.since
        self.follow()
        assert sorted(event.line.text for event in self.seen.values()) == sorted(self.printed)
        assert self.since >= before


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=25, stateful_step_count=20)
