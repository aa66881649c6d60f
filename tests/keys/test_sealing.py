"""What is at rest: nothing that is written tells a secret, and nothing opens what is not its own."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mooring.errors import DataDirectoryError
from mooring.keys.master import MasterKey, open_master_key
from mooring.keys.sealing import seal, unseal
from mooring.settings import AccessSettings


def test_the_master_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    made, again = open_master_key(path, AccessSettings()), open_master_key(path, AccessSettings())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.derive("a") == again.derive("a") != made.derive("b")
    assert len(made.derived_text("a")) == 40
    assert path.read_bytes().hex() not in repr(made)


def test_a_master_key_elsewhere_must_be_there_private_and_long_enough(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere"
    with pytest.raises(DataDirectoryError, match="head -c 32 /dev/urandom"):
        open_master_key(tmp_path / "master.key", AccessSettings(master_key_file=str(path)))
    path.write_bytes(b"x" * 31)
    path.chmod(0o600)
    with pytest.raises(DataDirectoryError, match="fewer than 32 bytes"):
        open_master_key(tmp_path / "master.key", AccessSettings(master_key_file=str(path)))
    path.write_bytes(b"x" * 32)
    assert open_master_key(tmp_path / "master.key", AccessSettings(master_key_file=str(path))).derive("a")
    path.chmod(0o640)
    with pytest.raises(DataDirectoryError, match="chmod 600"):
        open_master_key(tmp_path / "master.key", AccessSettings(master_key_file=str(path)))
    assert not (tmp_path / "master.key").exists()


def test_a_sealed_secret_opens_for_its_owner_only() -> None:
    master, other = MasterKey(b"m" * 32, "master key m"), MasterKey(b"o" * 32, "master key o")
    sealed = seal(master, b"s3cret", "MKIA1")
    assert b"s3cret" not in sealed
    assert sealed != seal(master, b"s3cret", "MKIA1")
    assert unseal(master, sealed, "MKIA1") == b"s3cret"
    for key, data, owner in (
        (master, sealed, "MKIA2"),
        (other, sealed, "MKIA1"),
        (master, sealed[:-1], "MKIA1"),
        (master, b"", "MKIA1"),
    ):
        with pytest.raises(DataDirectoryError, match="was not sealed with the master key"):
            unseal(key, data, owner)
