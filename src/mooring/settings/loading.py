"""Settings from the environment and from flags, checked: whoever has a `Settings` has one that means something."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from mooring import image_commands
from mooring.errors import SettingsError
from mooring.settings.topics import Settings, topics

RESOLVED = "MOORING_RESOLVED_SETTINGS"
_TLS_FLAGS = ("certificate", "key")
LOG_LEVELS = ("debug", "info", "warning", "error")
_CHOICES = {
    ("server", "log_level"): LOG_LEVELS,
    ("images", "versions"): ("auto", "tag"),
    ("capacity", "policy"): ("oversubscribe", "enforce"),
    ("access", "mode"): ("auto", "keys", "any"),
    ("serverless", "limits"): ("auto", "cgroup", "watchdog", "off"),
    ("audit", "level"): ("off", "changes", "calls", "all"),
}
_MASTER_KEYS = ("master_key", "master_key_file", "master_key_kms_key_id")
_FORMS = {
    ("account", "id"): (r"[0-9]{12}", "12 digits are needed"),
    ("account", "role"): (r"[A-Za-z0-9_+=,.@-]{1,64}", "a role's name is 1 to 64 letters, digits and _+=,.@-"),
    ("images", "torch_backend"): (r"[A-Za-z0-9.]*", "such as cpu, auto or none"),
    ("traces", "endpoint"): (r"(https?://[^\s/]+(/\S*)?)?", "the URL of an OTLP/HTTP receiver is needed"),
    ("neighbours", "sns_url"): (r"(https?://[^\s/]+(/\S*)?)?", "the URL of an SNS is needed"),
    ("quotas", "instances_by_type"): (
        r"(\s*ml\.[a-z0-9.-]+\s*=\s*\d{1,9}\s*(,|$))*",
        "ml.TYPE=COUNT, comma separated, is needed",
    ),
}


def variable_name(topic: str, name: str) -> str:
    """The environment variable of one setting."""
    return f"MOORING_{name.upper()}" if topic == "server" else f"MOORING_{topic.upper()}_{name.upper()}"


def variable_names() -> list[str]:
    """The environment variable of every setting."""
    return [variable_name(topic, name) for topic, cls in topics().items() for name in get_type_hints(cls)]


def load(environ: Mapping[str, str] | None = None, **flags: object) -> Settings:
    """Settings from defaults, then the environment, then the flags of `mooring serve` that are not None.

    Raises `SettingsError` naming the variable or flag and what it takes.
    """
    environ = os.environ if environ is None else environ
    if resolved := environ.get(RESOLVED):
        return Settings.from_json(resolved)
    groups = {name: cls(**_from_environment(name, cls, environ)) for name, cls in topics().items()}
    given = {name: value for name, value in flags.items() if value is not None}
    if given.pop("insecure", False):
        groups["access"] = dataclasses.replace(groups["access"], mode="any")
    for name, value in given.items():
        topic = "tls" if name in _TLS_FLAGS else "server"
        groups[topic] = dataclasses.replace(groups[topic], **{name: value})
    groups["images"] = dataclasses.replace(groups["images"], commands=image_commands.plain(groups["images"].commands))
    settings = Settings(**groups)
    _check(settings)
    return settings


def _from_environment(topic: str, cls: Any, environ: Mapping[str, str]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, kind in get_type_hints(cls).items():
        text = environ.get(variable_name(topic, name))
        if text is None or text == "":
            continue
        try:
            values[name] = _boolean(text) if kind is bool else kind(text)
        except ValueError:
            wanted = {int: "a whole number", float: "a number", bool: "on or off"}[kind]
            raise SettingsError(f"{variable_name(topic, name)}={text!r}: {wanted} is needed") from None
    return values


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError(text)


def _check(settings: Settings) -> None:
    server = settings.server
    if not 0 <= server.port <= 65535:
        raise SettingsError(f"port {server.port}: a TCP port is 0 to 65535")
    if not 1 <= server.workers <= 256:
        raise SettingsError(f"workers {server.workers}: 1 to 256 gateway processes")
    if bool(settings.tls.certificate) != bool(settings.tls.key):
        raise SettingsError("TLS needs both a certificate and its key: --certificate FILE --key FILE")
    masters = [name for name in _MASTER_KEYS if getattr(settings.access, name)]
    if len(masters) > 1:
        named = " and ".join(variable_name("access", name) for name in masters)
        raise SettingsError(f"{named} are set: there is one master key, so set one of them")
    for (topic, name), choices in _CHOICES.items():
        value = getattr(getattr(settings, topic), name)
        if value not in choices:
            given = f"{name.replace('_', ' ')} " if topic == "server" else f"{variable_name(topic, name)}="  # a flag
            raise SettingsError(f"{given}{value!r}: one of {', '.join(choices)} is needed")
    for (topic, name), (form, wanted) in _FORMS.items():
        value = getattr(getattr(settings, topic), name)
        if not re.fullmatch(form, value):
            raise SettingsError(f"{variable_name(topic, name)}={value!r}: {wanted}")
    for each in dataclasses.fields(settings):
        group = getattr(settings, each.name)
        for item in dataclasses.fields(group):
            value = getattr(group, item.name)
            if isinstance(value, (int, float)) and value < 0:
                raise SettingsError(f"{variable_name(each.name, item.name)}={value}: must not be negative")


def data_directory(settings: Settings) -> Path:
    """The data directory as an absolute path."""
    return Path(settings.server.data_dir).expanduser().absolute()
