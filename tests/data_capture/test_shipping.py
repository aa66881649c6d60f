"""Shipping: each segment becomes one object, whatever fails, and whoever dies in between."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.data_capture import shipping
from mooring.data_capture.sealing import SegmentSeal
from mooring.data_capture.shipping import Shipper
from mooring.data_capture.streams import DESCRIPTION, Stream, new_segment_name
from mooring.errors import KmsError
from mooring.journal.segments import SEALED, Segment
from mooring.objects.client import SourceError
from mooring.settings import CaptureSettings

STREAM = Stream("123456789012", "us-east-1", "ep", "v", "bucket", "captured")
KEY = bytes(range(32))


class Store:
    """S3, which fails as it is told to: before it has an object, or after."""

    def __init__(self, fails: Callable[[], str] = lambda: "") -> None:
        self.objects: dict[tuple[str, str], bytes] = {}
        self.headers: list[dict[str, str]] = []
        self.puts = 0
        self._fails = fails

    def put(self, bucket: str, key: str, body: BinaryIO, length: int, headers: Any) -> None:
        self.puts += 1
        failure = self._fails()
        if failure == "before":
            raise SourceError("Unreachable", key)
        data = body.read()
        assert len(data) == length
        held = self.objects.setdefault((bucket, key), data)
        assert held == data, "another object under the same key"
        self.headers.append(dict(headers))
        if failure == "after":
            raise SourceError("Unreachable", key)


async def key_of(stream: Stream) -> bytes:
    return KEY


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping, "LOOK_S", 0.005)
    monkeypatch.setattr(shipping, "RETRY_S", 0.005)


def written(spool: Path, stream: Stream, lines: list[bytes], at: float, *, torn: bytes = b"") -> str:
    """A segment that its writer has let go of; returns its key."""
    directory = spool / stream.id()
    stream.describe(directory)
    segment = Segment.create(directory, new_segment_name(at))
    for line in lines:
        segment.append(line)
    if torn:
        os.write(segment._descriptor, torn)
    segment.close()
    return stream.key_of(segment.name)


def left(spool: Path) -> list[Path]:
    return [path for path in spool.rglob("*-*-*-*") if path.is_file()]


def ship(spool: Path, store: Store, *, until: Callable[[Shipper], bool], open_key: Any = key_of) -> Shipper:
    """Ship until something holds."""

    async def run() -> Shipper:
        shipper = Shipper(spool, store, CaptureSettings(retry_max_s=0.02), open_key)  # type: ignore[arg-type]
        task = asyncio.create_task(shipper.run())
        deadline = time.monotonic() + 20
        try:
            while not until(shipper):
                assert time.monotonic() < deadline, "it did not come true"
                await asyncio.sleep(0.002)
        finally:
            task.cancel()
            await asyncio.wait({task})
        return shipper

    return asyncio.run(run())


def test_segments_become_objects(tmp_path: Path) -> None:
    store = Store()
    keys = [written(tmp_path, STREAM, [b"%d\n" % number], 1e9 + number, torn=b"torn") for number in range(3)]
    other = replace(STREAM, variant="w", bucket="other")
    keys.append(written(tmp_path, other, [b"w\n"], 1e9))
    ship(tmp_path, store, until=lambda shipper: not left(tmp_path))
    assert store.objects == {
        **{("bucket", key): b"%d\n" % number for number, key in enumerate(keys[:3])},
        ("other", keys[3]): b"w\n",
    }


@settings(max_examples=15)
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_each_is_there_once_whatever_fails(seed: int, count: int) -> None:
    """S3 fails before and after it has an object, and the shipper dies and begins anew."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as made:
        spool = Path(made)
        store = Store(lambda: dice.choice(["", "", "before", "after"]))
        expected = {}
        for number in range(count):
            stream = replace(STREAM, bucket=dice.choice(["one", "other"]))
            key = written(spool, stream, [b"%d\n" % number] * dice.randint(1, 3), 1e9 + number)
            expected[stream.bucket, key] = number
        while left(spool):
            most = store.puts + dice.randint(1, 4)
            ship(spool, store, until=lambda shipper, most=most: store.puts >= most or not left(spool))
        assert {place: int(data.split(b"\n")[0]) for place, data in store.objects.items()} == expected


def test_what_is_refused_is_told_and_holds_up_nobody_else(tmp_path: Path) -> None:
    class Choosy(Store):
        def put(self, bucket: str, *rest: Any) -> None:
            if bucket == "absent":
                raise SourceError("NoSuchBucket", f"s3://{bucket}")
            super().put(bucket, *rest)

    store = Choosy()
    written(tmp_path, replace(STREAM, bucket="absent"), [b"1\n"], 1e9)
    written(tmp_path, STREAM, [b"2\n"], 1e9)
    shipper = ship(
        tmp_path, store, until=lambda it: bool(store.objects) and [bool(w.problem) for w in it.waiting()] == [True]
    )
    (waiting,) = shipper.waiting()
    assert (waiting.stream.bucket, waiting.segments, waiting.bytes) == ("absent", 1, 2)
    assert waiting.problem == "s3://absent: there is no such bucket"
    assert len(left(tmp_path)) == 1


def test_sealed_records_are_opened_and_the_key_goes_with_them(tmp_path: Path) -> None:
    stream = replace(STREAM, key_id="arn:aws:kms:us-east-1:123456789012:key/k", sealed_data_key="c2VhbGVk")
    name = new_segment_name(1e9)
    stream.describe(tmp_path / stream.id())
    seal = SegmentSeal(KEY, name)
    lines = [b"first\n", b"second\n"]
    (tmp_path / stream.id() / f"{name}{SEALED}").write_bytes(b"".join(map(seal.sealed, lines)))
    store = Store()
    refusals = [KmsError("DisabledException", "it is disabled")] * 2

    async def opened(asked: Stream) -> bytes:
        assert asked == stream
        if refusals:
            raise refusals.pop()
        return KEY

    ship(tmp_path, store, until=lambda shipper: not left(tmp_path), open_key=opened)
    assert store.objects == {("bucket", stream.key_of(name)): b"first\nsecond\n"}
    assert store.headers[0]["x-amz-server-side-encryption"] == "aws:kms"
    assert store.headers[0]["x-amz-server-side-encryption-aws-kms-key-id"] == stream.key_id


def test_records_that_were_changed_on_disk_are_not_shipped(tmp_path: Path) -> None:
    stream = replace(STREAM, sealed_data_key="c2VhbGVk")
    name = new_segment_name(1e9)
    stream.describe(tmp_path / stream.id())
    line = bytearray(SegmentSeal(KEY, name).sealed(b"record\n"))
    line[3] ^= 1
    (tmp_path / stream.id() / f"{name}{SEALED}").write_bytes(line)
    store = Store()
    shipper = ship(tmp_path, store, until=lambda it: any(waiting.problem for waiting in it.waiting()))
    assert store.objects == {}
    assert shipper.waiting()[0].problem is not None


def test_what_is_no_stream_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / f"x{SEALED}").write_bytes(b"1\n")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("/etc")
    written(tmp_path, STREAM, [b"1\n"], 1e9)
    store = Store()
    ship(tmp_path, store, until=lambda shipper: bool(store.objects))
    assert (tmp_path / "stranger" / f"x{SEALED}").exists()


def aged(directory: Path) -> None:
    long_ago = time.time() - shipping.FORGOTTEN_AFTER_S - 1
    os.utime(directory, (long_ago, long_ago))


def test_a_stream_that_nobody_uses_goes_and_may_come_back(tmp_path: Path) -> None:
    directory = tmp_path / STREAM.id()
    STREAM.describe(directory)
    aged(directory)
    ship(tmp_path, Store(), until=lambda shipper: not list(tmp_path.iterdir()))
    written(tmp_path, STREAM, [b"1\n"], 1e9)
    store = Store()
    ship(tmp_path, store, until=lambda shipper: bool(store.objects))


def test_one_that_is_begun_while_its_directory_goes_is_shipped(tmp_path: Path) -> None:
    """The writer has its directory moved away under it, between two steps; what it writes is found all the same."""
    directory = tmp_path / STREAM.id()
    STREAM.describe(directory)
    segment = Segment.create(directory, new_segment_name(1e9))
    directory.rename(tmp_path / f"{STREAM.id()}-moved.gone")
    segment.append(b"1\n")
    store = Store()

    def files() -> Iterator[Path]:
        return (path for path in tmp_path.rglob("*") if path.is_file() and path.name != DESCRIPTION)

    ship(tmp_path, store, until=lambda shipper: len(list(files())) == 1)
    segment.close()
    ship(tmp_path, store, until=lambda shipper: not list(tmp_path.iterdir()))
    assert list(store.objects.values()) == [b"1\n"]
