"""Keys: each finds its own bytes again, none leaves its bucket, and listings are those of a flat, sorted map."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.objects.conditions import WriteCondition
from mooring.objects.errors import S3Error
from mooring.objects.keys import part_of, path_of
from mooring.objects.listing import ABOVE, Listing
from mooring.objects.records import Record
from mooring.objects.storage import Storage
from tests.objects.conftest import ObjectsServer

ODD = ["a//b", "a", "a/b", "a/", "a//", "/a", "//", ".", "..", "../x", "a/../b", "a/./b", "a%2Fb", "%", "%-", "a%",
       "a.b/c.d",
       "a.b", "a.b/", "ü/ß", "日本", "a b+c", "a\tb", "new\nline", "back\\slash", "?q=1&x", "#f", "~", "a:b",
       "\u00e9", "e\u0301",
       "CON", ".hidden", "dir./x", "-", "*",
       "<&>'\"", "😀/😀.txt", "x" * 254]  # fmt: skip

anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
tight = st.text("ab./%-+~", min_size=1, max_size=7)
keys = st.one_of(tight, anything)


def split(path: bytes) -> list[bytes | None]:
    *directories, name = path.split(b"/")
    return [*(part_of(each, directory=True) for each in directories), part_of(name, directory=False)]


@given(keys)
@settings(max_examples=500)
def test_a_path_is_safe_and_leads_back_to_its_key(key: str) -> None:
    path = path_of(key)
    parts = path.split(b"/")
    assert b"" not in parts
    assert b"." not in parts
    assert b".." not in parts
    assert b"\x00" not in path
    assert split(path) == key.encode().split(b"/")


@given(keys, keys)
@settings(max_examples=500)
def test_two_keys_never_need_one_name_as_file_and_as_directory(one: str, other: str) -> None:
    file, parts = path_of(one), path_of(other).split(b"/")
    directories = {b"/".join(parts[:end]) for end in range(1, len(parts))}
    assert file not in directories
    assert (path_of(one) == path_of(other)) is (one == other)


@pytest.mark.parametrize("name", [b"plain", b"a.b%", b"%zz", b"%2e%", b"\xff", b"%41%", b"%-"])
def test_files_that_no_key_names_are_not_listed(name: bytes) -> None:
    assert part_of(name, directory=False) is None


@pytest.mark.parametrize("key", ["", "k" * 1025, "a" * 255, "a" * 256 + "/b", "ü" * 130, "\x01" * 90])
def test_keys_that_cannot_be_kept_are_refused(key: str) -> None:
    with pytest.raises(S3Error) as caught:
        path_of(key)
    assert caught.value.status == 400


def test_odd_keys_through_boto3(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    for key in ODD:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for key in ODD:
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode(), key
    listed = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert listed == sorted(ODD, key=str.encode)
    for key in ODD[::2]:
        s3.delete_object(Bucket=bucket, Key=key)
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in ODD[1::2]]})
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    assert list((server.paths.objects / "buckets" / bucket).iterdir()) == []
    outside = {each.name for each in server.paths.objects.iterdir()}
    assert outside == {"buckets", "records", "staging", "uploads"}


class Bucket:
    """A bucket made of empty files, and the flat map that it must look like."""

    def __init__(self, root: str, names: set[str]) -> None:
        storage = Storage(Path(root))
        storage.open()
        storage.create_bucket("bucket", "us-east-1")
        self.top = storage.bucket_path("bucket")
        self.names = sorted(name.encode() for name in names)
        for name in self.names:
            path = Path(os.fsdecode(self.top)) / os.fsdecode(path_of(name.decode()))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def expected(self, prefix: str, delimiter: str, after: bytes) -> list[str]:
        shown: list[str] = []
        for name in self.names:
            if not name.startswith(prefix.encode()):
                continue
            end = name.find(delimiter.encode(), len(prefix.encode())) if delimiter else -1
            item = name if end < 0 else name[: end + len(delimiter.encode())]
            if name > after and item.decode() not in shown:
                shown.append(item.decode())
        return shown

    def pages(self, prefix: str, delimiter: str, after: bytes, limit: int) -> Iterator[list[str]]:
        position: bytes | None = after
        while position is not None:
            page = Listing(self.top).page(prefix, delimiter, position, limit)
            yield sorted(page.keys + page.groups, key=str.encode)
            position = page.next_after


@given(
    names=st.sets(tight, max_size=15),
    prefix=st.text("ab./", max_size=3),
    delimiter=st.sampled_from(["", "/", "a", "//", "b/"]),
    after=st.one_of(st.just(b""), tight.map(str.encode), tight.map(lambda key: key.encode() + ABOVE)),
    limit=st.integers(1, 5),
)
@settings(max_examples=150)
def test_listings_are_those_of_a_sorted_map(
    names: set[str], prefix: str, delimiter: str, after: bytes, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as root:
        bucket = Bucket(root, names)
        pages = list(bucket.pages(prefix, delimiter, after, limit))
        assert [item for page in pages for item in page] == bucket.expected(prefix, delimiter, after)
        assert all(len(page) == limit for page in pages[:-1])


def test_listings_through_boto3_page_and_group(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    for number in range(7):
        s3.put_object(Bucket=bucket, Key=f"g{number}/x y", Body=b"")
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=b"")
    for operation in ("list_objects_v2", "list_objects"):
        pages = list(
            s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 3})
        )
        assert [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])] == [
            f"g{number}/" for number in range(7)
        ]
        assert [each["Key"] for page in pages for each in page.get("Contents", [])] == [f"k{n}" for n in range(7)]
    assert s3.list_objects_v2(Bucket=bucket, StartAfter="g6/x y")["KeyCount"] == 7
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0


def test_a_crash_between_record_and_bytes_shows_the_old_object_whole(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.open()
    storage.create_bucket("bucket", "us-east-1")

    def put(content: bytes, kind: str) -> None:
        with storage.stage() as staged:
            staged.write(memoryview(content))
            record = Record("e" + kind, {"content-type": kind})
            storage.commit("bucket", "k", staged, record, WriteCondition())

    class Crash(Exception):
        pass

    def crash(*_: object) -> None:
        raise Crash

    put(b"old", "one")
    storage._place = crash  # type: ignore[method-assign]  # the process dies before the rename
    with pytest.raises(Crash):
        put(b"new", "two")
    again = Storage(tmp_path)
    again.open()
    with again.opened("bucket", "k") as (fd, found):
        assert (os.read(fd, 10), found.record) == (b"old", Record("eone", {"content-type": "one"}))
