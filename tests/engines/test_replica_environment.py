"""What a replica finds in its environment."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mooring.engines.replica_environment import replica_environment
from mooring.settings import ObjectSettings, ServerSettings, Settings

SETTINGS = Settings(server=ServerSettings(port=8123))


def environment(settings: Settings = SETTINGS, **own: str) -> dict[str, str]:
    return replica_environment(settings, own, model_dir=Path("/m"), work=Path("/w"), region="eu-west-1", shared={})


def test_the_contracts_variables() -> None:
    found = environment()
    assert found["SM_MODEL_DIR"] == "/m"
    assert {found[name] for name in ("HOME", "TMPDIR")} == {"/w"}
    assert {found[name] for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "SAGEMAKER_REGION")} == {"eu-west-1"}
    assert found["AWS_ENDPOINT_URL"] == "http://127.0.0.1:8123"


def test_the_model_has_the_last_word() -> None:
    found = environment(AWS_ACCESS_KEY_ID="its own", OMP_WAIT_POLICY="ACTIVE", HOME="/h")
    assert (found["AWS_ACCESS_KEY_ID"], found["OMP_WAIT_POLICY"], found["HOME"]) == ("its own", "ACTIVE", "/h")


def test_nobodys_keys_are_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a real one")
    monkeypatch.setenv("AWS_PROFILE", "work")
    found = environment()
    assert "a real one" not in found.values()
    assert "AWS_PROFILE" not in found


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::", "http://[::1]:1"),
        ("::1", "http://[::1]:1"),
        ("a.b", "http://a.b:1"),
    ],
)
def test_the_url_can_be_reached_from_here(host: str, url: str) -> None:
    assert environment(Settings(server=ServerSettings(host=host, port=1)))["AWS_ENDPOINT_URL"] == url


def test_another_s3_is_named_without_its_keys() -> None:
    objects = ObjectSettings(endpoint_url="https://s3.example", access_key_id="AKIA", secret_access_key="secret")
    found = environment(dataclasses.replace(SETTINGS, objects=objects))
    assert found["AWS_ENDPOINT_URL_S3"] == "https://s3.example"
    assert not {"AKIA", "secret"} & set(found.values())
