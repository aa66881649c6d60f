"""What a hostile or broken model archive can and cannot do."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.engines.unpacking import unpack
from mooring.errors import ArtifactError
from mooring.settings import ArtifactSettings

BOUNDS = ArtifactSettings()


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    packed.seek(0)
    return packed


def member(name: str, kind: bytes = tarfile.REGTYPE, linkname: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = linkname
    return info


def test_files_and_directories_arrive(tmp_path: Path) -> None:
    unpack(archive((member("a/b.txt"), b"one"), (member("./c"), b"two")), tmp_path, BOUNDS)
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"one"
    assert (tmp_path / "c").read_bytes() == b"two"


def test_a_plain_tar_is_taken(tmp_path: Path) -> None:
    unpack(io.BytesIO(gzip.decompress(archive((member("a"), b"x")).getvalue())), tmp_path, BOUNDS)
    assert (tmp_path / "a").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/etc/out"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    target = tmp_path / "model"
    target.mkdir()
    with pytest.raises(ArtifactError, match="outside the model directory"):
        unpack(archive((member(name), b"x")), target, BOUNDS)
    assert not (tmp_path / "out").exists()


@given(name=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40))
def test_any_name_stays_inside(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    top = tmp_path_factory.mktemp("any")
    target = top / "model"
    target.mkdir()
    with contextlib.suppress(ArtifactError):
        unpack(archive((member(name), b"x")), target, BOUNDS)
    assert [path.name for path in top.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "symbolic link"),
        (tarfile.CHRTYPE, "neither a file nor a directory"),
        (tarfile.BLKTYPE, "neither a file nor a directory"),
        (tarfile.FIFOTYPE, "neither a file nor a directory"),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        unpack(archive((member("x", kind, "/etc/passwd"), b"")), tmp_path, BOUNDS)
    assert not list(tmp_path.iterdir())


def test_a_symbolic_link_cannot_be_written_through(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    with pytest.raises(ArtifactError):
        unpack(archive((member("d", tarfile.SYMTYPE, ".."), b""), (member("d/out"), b"x")), target, BOUNDS)
    assert not (tmp_path / "out").exists()


def test_a_hard_link_becomes_a_copy(tmp_path: Path) -> None:
    unpack(archive((member("a"), b"data"), (member("b", tarfile.LNKTYPE, "a"), b"")), tmp_path, BOUNDS)
    assert (tmp_path / "b").read_bytes() == b"data"
    assert (tmp_path / "b").stat().st_nlink == 1


def test_a_hard_link_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="outside"):
        unpack(archive((member("b", tarfile.LNKTYPE, "../../etc/passwd"), b"")), tmp_path, BOUNDS)


def test_a_bomb_stops_at_the_bound(tmp_path: Path) -> None:
    bounds = replace(BOUNDS, unpacked_limit_bytes=100_000)
    with pytest.raises(ArtifactError, match="larger than the limit"):
        unpack(archive((member("zeros"), bytes(10_000_000))), tmp_path, bounds)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000


def test_hard_links_count_towards_the_bound(tmp_path: Path) -> None:
    links = [(member(f"l{number}", tarfile.LNKTYPE, "a"), b"") for number in range(20)]
    with pytest.raises(ArtifactError, match="larger than the limit"):
        unpack(archive((member("a"), bytes(1000)), *links), tmp_path, replace(BOUNDS, unpacked_limit_bytes=5000))


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    members = [(member(f"f{number}"), b"") for number in range(11)]
    with pytest.raises(ArtifactError, match="more than 10 members"):
        unpack(archive(*members), tmp_path, replace(BOUNDS, file_limit=10))


@pytest.mark.parametrize("data", [b"", b"not a tar", b"\x1f\x8b\x08\x00broken", bytes(2000)])
def test_what_is_not_an_archive_is_named_so(tmp_path: Path, data: bytes) -> None:
    if data.strip(b"\0"):
        with pytest.raises(ArtifactError, match="archive|damaged"):
            unpack(io.BytesIO(data), tmp_path, BOUNDS)
    else:
        # Nothing but the end mark of a tar: an archive of nothing.
        with contextlib.suppress(ArtifactError):
            unpack(io.BytesIO(data), tmp_path, BOUNDS)
    assert not list(tmp_path.iterdir())


@given(cut=st.integers(0, 400), flip=st.integers(0, 399))
def test_damage_is_an_artifact_error(cut: int, flip: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = bytearray(archive((member("a/b"), bytes(range(256)) * 20), (member("c"), b"x" * 600)).getvalue()[:cut])
    if flip < len(data):
        data[flip] ^= 0x55
    with contextlib.suppress(ArtifactError):
        unpack(io.BytesIO(bytes(data)), tmp_path_factory.mktemp("damaged"), BOUNDS)
