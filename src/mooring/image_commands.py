"""The setting that maps images to commands: parsed once, when the server starts.

Guarantees: what `commands_of` returns is a mapping of patterns to argument lists that hold no other placeholder than
those of `PLACEHOLDERS`; everything else is a `SettingsError` that names the pattern. A file is read when the server
starts, so that all of its processes know the same commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from mooring.errors import SettingsError

VARIABLE = "MOORING_IMAGES_COMMANDS"
PLACEHOLDERS = ("port", "fd", "model_dir", "code_dir", "python")
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")

Commands = Mapping[str, tuple[str, ...]]


def plain(text: str) -> str:
    """The setting as JSON: `text` is that already, or names a JSON or TOML file. Raises `SettingsError`."""
    return json.dumps(dict(_checked(_read(text.strip())))) if text.strip() else ""


def commands_of(plain_text: str) -> Commands:
    """The commands of a setting that `plain` returned, by pattern, in their order."""
    return _checked(json.loads(plain_text)) if plain_text else {}


def _read(text: str) -> object:
    if text.startswith("{"):
        return _parsed(text, VARIABLE, toml=False)
    try:
        path = Path(text).expanduser()
        content = path.read_text("utf-8")
    except (OSError, ValueError, RuntimeError) as error:  # the last: ~ of nobody
        reason = "it is not UTF-8" if isinstance(error, UnicodeError) else getattr(error, "strerror", None) or error
        raise SettingsError(
            f"{VARIABLE}={text!r}: a JSON object or the path of a JSON or TOML file is needed ({reason})"
        ) from None
    return _parsed(content, str(path), toml=path.suffix == ".toml")


def _parsed(text: str, where: str, *, toml: bool) -> object:
    try:
        if toml:
            import tomllib  # few name a file, and every process imports the settings

            return tomllib.loads(text)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{where}: {error}") from None


def _checked(document: object) -> Commands:
    if not isinstance(document, dict):
        raise SettingsError(f"{VARIABLE}: an object is needed, image patterns to lists of words")
    return {pattern: _command(pattern, words) for pattern, words in document.items()}


def _command(pattern: str, words: object) -> tuple[str, ...]:
    where = f"{VARIABLE}: {pattern!r}"
    if not pattern:
        raise SettingsError(f"{where}: an empty pattern matches no image")
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        raise SettingsError(f'{where}: a list of words is needed, such as ["python3", "/srv/serve.py", "{{port}}"]')
    if not words[0] or any("\0" in word for word in words):
        raise SettingsError(f"{where}: the program is empty, or a word has a NUL in it")
    named = {name for word in words for name in _PLACEHOLDER.findall(word)}
    if unknown := sorted(named.difference(PLACEHOLDERS)):
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise SettingsError(f"{where}: {{{unknown[0]}}} is not known; there are {known}")
    if {"port", "fd"} <= named:
        raise SettingsError(f"{where}: it listens on {{port}} or on {{fd}}, not on both")
    return tuple(words)


def filled(words: tuple[str, ...], values: Mapping[str, str]) -> tuple[str, ...]:
    """`words` with the placeholders that are in `values` replaced; others stay."""
    return tuple(_PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), word) for word in words)
