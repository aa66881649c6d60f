"""The setting that maps images to commands."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.engines.images import COMMAND, runtime_of
from mooring.errors import SettingsError
from mooring.image_commands import commands_of, filled
from mooring.settings import RESOLVED, Settings, load

WORDS = ["python3", "/srv/serve.py", "--port", "{port}", "--model={model_dir}"]


def setting(text: str) -> str:
    return load({"MOORING_IMAGES_COMMANDS": text}).images.commands


def test_an_object_in_the_variable() -> None:
    resolved = setting(json.dumps({"*/mine:*": WORDS}))
    assert commands_of(resolved) == {"*/mine:*": tuple(WORDS)}
    settings = load({"MOORING_IMAGES_COMMANDS": json.dumps({"*/mine:*": WORDS})})
    assert load({RESOLVED: settings.to_json()}) == settings
    assert commands_of(setting("")) == {}
    assert commands_of(Settings().images.commands) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("commands.json", json.dumps({"*/mine:*": WORDS})),
        ("commands.toml", f'"*/mine:*" = {json.dumps(WORDS)}\n'),
    ],
)
def test_a_file_is_read_when_the_server_starts(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    resolved = setting(str(tmp_path / name))
    (tmp_path / name).unlink()
    assert commands_of(resolved) == {"*/mine:*": tuple(WORDS)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "MOORING_IMAGES_COMMANDS"),
        ("{}x", "MOORING_IMAGES_COMMANDS"),
        ("[" * 100_000, "No such file or directory|File name too long"),
        ("/no/such/file.json", "/no/such/file.json.*No such file"),
        ('{"a": "python3"}', "'a': a list of words is needed"),
        ('{"a": []}', "'a': a list of words is needed"),
        ('{"a": ["x", 1]}', "'a': a list of words is needed"),
        ('{"a": [""]}', "'a': the program is empty"),
        ('{"a": ["x", "\\u0000"]}', "NUL"),
        ("~nobody-here/commands.json", "home directory"),
        ('{"": ["x"]}', "an empty pattern"),
        ('{"a": ["x", "{prot}"]}', "{prot} is not known"),
        ('{"a": ["x", "{port}", "{fd}"]}', "not on both"),
    ],
)
def test_what_it_is_not_is_said_in_a_line(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        setting(text)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[1", b"a = ", b"1"])
def test_a_file_of_something_else(tmp_path: Path, content: bytes) -> None:
    for name in ("x.json", "x.toml"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SettingsError):
            setting(str(tmp_path / name))


@given(st.text())
def test_no_text_gets_anything_but_commands_or_a_refusal(text: str) -> None:
    with contextlib.suppress(SettingsError):
        commands_of(setting(text))


def test_the_first_pattern_that_fits_the_whole_uri_counts_and_goes_before_frameworks() -> None:
    commands = {"mine": ("no",), "*/sagemaker-scikit-learn:1.*": ("first",), "*": ("second",)}
    assert runtime_of("1.ecr/sagemaker-scikit-learn:1.2-1", commands).command == ("first",)
    assert runtime_of("mine:latest", commands).command == ("second",)
    assert runtime_of("anything", commands).framework == COMMAND


def test_only_placeholders_are_filled() -> None:
    words = ("{port}", "a{model_dir}b", "{}", "{ port }", '{"x": 1}', "{fd}")
    assert filled(words, {"port": "1", "model_dir": "/m"}) == ("1", "a/mb", "{}", "{ port }", '{"x": 1}', "{fd}")


@pytest.mark.parametrize("name", ["MOORING_IMAGES_VERSIONS", "MOORING_IMAGES_TORCH_BACKEND"])
def test_other_settings_of_images(name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load({name: "--no such"})
