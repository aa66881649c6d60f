"""What a browser may not do here: a page of somewhere else must not use the server of the one who looks at it.

Two ways lead from a foreign page to a server on one's own machine. A *cross-site request* goes to the server's own
address, and a browser says so in `Origin` and `Sec-Fetch-Site`, which no page can change; what is simple enough to
need no preflight would otherwise be carried out. *DNS rebinding* gives the page's own name the address 127.0.0.1, so
that to the browser the request is the page's own; only `Host` tells, a name that no server on loopback has.

SDKs, the AWS CLI and curl send neither `Origin` nor `Sec-Fetch-Site`, and name an address or `localhost` as `Host`.
A signature changes nothing: a page may have been given one. Whatever is malformed is refused, and no input makes it
raise.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import Final

HOST: Final = b"host"
ORIGIN: Final = b"origin"
SEC_FETCH_SITE: Final = b"sec-fetch-site"

LOOKED_AT: Final = frozenset((HOST, ORIGIN, SEC_FETCH_SITE))
"""The headers that decide: two requests that agree in these get the same verdict."""

_FOREIGN = frozenset((b"cross-site", b"same-site"))
_AUTHORITY = re.compile(rb"(\[[0-9a-f:.]{2,45}\]|[0-9a-z._-]{1,255}?)\.?(?::([0-9]{0,5}))?")
_ORIGIN = re.compile(rb"(https?)://([^/?#@]{1,300})")
_DEFAULT_PORT = {b"http": b"80", b"https": b"443"}
_DIGITS = re.compile(r"[0-9.]+")
_SHOWN = 100

_FROM_A_PAGE = (
    "The request comes from a web page of {origin}, which is not served by this Mooring. Browsers may not call it "
    "across sites; use an AWS SDK, the AWS CLI or curl."
)
_FOREIGN_NAME = (
    "The Host {host} is not a name of this Mooring, which listens on loopback: use localhost or 127.0.0.1, or add the "
    "name to MOORING_ALLOWED_HOSTS."
)


def refusal(
    headers: Iterable[tuple[bytes, bytes]], *, loopback: bool, allowed_hosts: Collection[str] = ()
) -> str | None:
    """Why a request with these headers (lower-cased names) must be answered with 403; None when it may pass.

    `loopback` says that the server listens on loopback only; `allowed_hosts` are the names (of `allowed_names`) that it
    has there besides `localhost`, names below `localhost`, and addresses.
    """
    host: bytes | None = None
    origins: list[bytes] = []
    foreign = False
    for name, value in headers:
        if name == HOST:
            if loopback and not _is_own(value, allowed_hosts):
                return _FOREIGN_NAME.format(host=_shown(value))
            host = value
        elif name == ORIGIN:
            origins.append(value)
        elif name == SEC_FETCH_SITE:
            foreign = foreign or value.strip().lower() in _FOREIGN
    for origin in origins:
        if not _same_place(origin, host):
            return _FROM_A_PAGE.format(origin=_shown(origin))
    return _FROM_A_PAGE.format(origin=_shown(origins[0]) if origins else "another site") if foreign else None


def is_loopback(address: str) -> bool:
    """Whether a server that listens on `address` can be reached from its own machine only."""
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def allowed_names(setting: str) -> frozenset[str]:
    """The names in a comma-separated setting; `*.example.com` means every name below `example.com`."""
    return frozenset(name.rstrip(".") for name in (piece.strip().lower() for piece in setting.split(",")) if name)


def _is_own(value: bytes, allowed: Collection[str]) -> bool:
    name = _name(value)
    if name is None:
        return False
    if _is_local(name) or name in allowed:
        return True
    return any(entry.startswith("*.") and name.endswith(entry[1:]) for entry in allowed)


def _is_local(name: str) -> bool:
    # Resolvers take a name of digits and dots for an address, so nobody can own it.
    local = name in ("", "localhost") or name.endswith(".localhost")
    return local or name.startswith("[") or _DIGITS.fullmatch(name) is not None


@functools.lru_cache(maxsize=256)
def _name(value: bytes) -> str | None:
    authority = value.strip().lower()
    found = _AUTHORITY.fullmatch(authority)
    return found[1].decode("ascii") if found is not None else None if authority else ""


def _same_place(origin: bytes, host: bytes | None) -> bool:
    found = _ORIGIN.fullmatch(origin.strip().lower())
    if found is None or host is None:
        return False
    ours, theirs = _AUTHORITY.fullmatch(host.strip().lower()), _AUTHORITY.fullmatch(found[2])
    if ours is None or theirs is None:
        return False
    default = _DEFAULT_PORT[found[1]]
    return (ours[1], ours[2] or default) == (theirs[1], theirs[2] or default)


def _shown(value: bytes) -> str:
    return ascii(value[:_SHOWN].decode("latin-1"))
