"""What is at rest: nothing that is written tells a secret, and nothing opens what is not its own."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from mooring.errors import DataDirectoryError, SettingsError
from mooring.keys.master import MasterKey, open_master_key
from mooring.keys.remote import RemoteKms
from mooring.keys.sealing import seal, unseal
from mooring.settings import AccessSettings, load


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


def test_a_master_key_may_be_given_as_text(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    material = b"0123456789abcdef" * 2
    text = base64.b64encode(material).decode()
    made = open_master_key(path, AccessSettings(master_key=text))
    assert not path.exists()
    path.write_bytes(material)
    path.chmod(0o600)
    assert made.derive("a") == open_master_key(path, AccessSettings()).derive("a")
    assert text not in repr(made) + repr(AccessSettings(master_key=text))
    for bad in ("not base64!", base64.b64encode(material[1:]).decode()):
        with pytest.raises(DataDirectoryError, match="MOORING_ACCESS_MASTER_KEY is not 32 bytes"):
            open_master_key(path, AccessSettings(master_key=bad))


def test_there_is_one_master_key(tmp_path: Path) -> None:
    given = {"MOORING_ACCESS_MASTER_KEY": "x", "MOORING_ACCESS_MASTER_KEY_FILE": "/x"}
    with pytest.raises(SettingsError, match="MOORING_ACCESS_MASTER_KEY and MOORING_ACCESS_MASTER_KEY_FILE are set"):
        load(given)


@pytest.mark.parametrize(
    ("status", "answer", "told"),
    [
        (
            400,
            {"__type": "com.amazonaws.kms#DisabledException", "message": "off"},
            "answered with DisabledException: off",
        ),
        (200, {"Plaintext": "AA=="}, "without a CiphertextBlob"),
        (200, [], "answered with 200"),
        (503, "no json", "answered with 503"),
    ],
)
def test_a_kms_that_gives_no_master_key_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, answer: Any, told: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr(RemoteKms, "_posted", lambda *_: (status, json.dumps(answer).encode()))
    wanted = AccessSettings(master_key_kms_key_id="arn:aws:kms:eu-west-1:000000000000:key/k")
    with pytest.raises(DataDirectoryError, match=told) as caught:
        open_master_key(tmp_path / "master.key", wanted)
    if "without" not in told:
        assert "https://kms.eu-west-1.amazonaws.com" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_kms_that_is_not_there_or_has_no_caller_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = AccessSettings(master_key_kms_key_id="k", master_key_kms_url="http://127.0.0.1:1")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    with pytest.raises(DataDirectoryError, match="needs AWS_ACCESS_KEY_ID"):
        open_master_key(tmp_path / "master.key", wanted)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(DataDirectoryError, match="the KMS at http://127.0.0.1:1 does not give the master key under k"):
        open_master_key(tmp_path / "master.key", wanted)


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
