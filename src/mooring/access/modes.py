"""Whether callers are asked for keys at all."""

from __future__ import annotations

from mooring.settings import Settings
from mooring.wire.browsers import is_loopback


def keys_are_needed(settings: Settings) -> bool:
    """Whether a call without a good signature is refused."""
    mode = settings.access.mode
    return mode == "keys" or (mode == "auto" and not is_loopback(settings.server.host))


def is_exposed(settings: Settings) -> bool:
    """Whether the server listens on more than loopback."""
    return not is_loopback(settings.server.host)
