"""A certificate and its key: read together, tried before they are used, and kept so that a process can start again.

What is tried is what is used: both files are copied into one, a handshake is made with the copy in memory, and only
then does it take the place of the one before. So files that are replaced one after the other, or badly, harm nobody,
and whoever starts while they are bad finds the last pair that was good.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import ssl
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mooring.errors import BadPair
from mooring.paths import Paths
from mooring.processes.files import read_small, write_atomically

LARGEST_BYTES = 1024 * 1024
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME: an expired certificate is read too
_TURNS = 10
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says of itself."""

    names: tuple[str, ...]
    """Hosts and addresses that it is for."""
    not_after: float
    anchored: bool
    """Whether its file holds a certificate that signed itself: nobody trusts such a one who is not told to."""


def take(certificate: str, key: str, paths: Paths) -> Certificate:
    """Try a pair and keep it, as the one that is served from now on. Raises `BadPair`."""
    candidate = _candidate(paths)
    try:
        pair, chain, what = _copied(certificate, key, candidate)
        described = _tried(pair, chain, what)
        write_atomically(paths.certificate, b"\n".join(chain) + b"\n")
        write_atomically(paths.certificate_facts, json.dumps(asdict(described)).encode())
        candidate.replace(paths.served_pair)
    except OSError as error:
        raise BadPair(f"the certificate cannot be kept below {paths.run}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            candidate.unlink()
    return described


def problem(certificate: str, key: str, paths: Paths) -> str | None:
    """What is wrong with a pair that may be another than the one that is served; None for nothing."""
    candidate = _candidate(paths)
    try:
        _tried(*_copied(certificate, key, candidate))
    except BadPair as error:
        return f"{error}; the pair that was served before is served on"
    except OSError as error:
        return f"the certificate cannot be tried: {error.strerror or error}"
    finally:
        with contextlib.suppress(OSError):
            candidate.unlink()
    return None


def is_for(name: str, names: Sequence[str]) -> bool:
    """Whether a certificate with these names is for `name`; a star stands for one label."""
    first, _, rest = name.partition(".")
    return name in names or bool(first and rest and f"*.{rest}" in names)


def facts(paths: Paths) -> Certificate | None:
    """What is known of the certificate that is served."""
    try:
        document = json.loads(read_small(paths.certificate_facts))
        return Certificate(tuple(document["names"]), float(document["not_after"]), bool(document["anchored"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(paths: Paths) -> None:
    """Remove what `take` kept."""
    candidates = paths.run.glob(f".{paths.served_pair.name}.*.tmp")  # of processes that were killed over them
    for path in (paths.served_pair, paths.certificate, paths.certificate_facts, *candidates):
        path.unlink(missing_ok=True)


def server_context() -> ssl.SSLContext:
    """For a server: TLS 1.2 at least, and no certificate yet."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    return context


def load(context: ssl.SSLContext, pair: Path) -> None:
    """Use a pair for the handshakes from now on. Raises OSError."""
    context.load_cert_chain(pair, password=_no_password)


def pinned_context(chain: Path) -> ssl.SSLContext:
    """For a client of this machine's own server: only who holds the key of this very certificate is believed.

    Whatever names it is for: of the chain the first alone counts, since others have certificates of the same issuers.
    """
    found = _CERTIFICATE.search(read_small(chain, LARGEST_BYTES))
    if found is None:
        raise BadPair(f"{chain} has no certificate in it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    _trust(context, [found[0]])
    return context


def name_for(host: str, names: Sequence[str]) -> str | None:
    """The name by which clients on this machine reach a server at `host`, of those that its certificate is for."""
    if host in names:
        return host
    local = [name for name in ("127.0.0.1", "localhost", "::1") if name in names]
    everywhere = host in ("", "0.0.0.0", "::", "localhost") or host.startswith("127.") or host == "::1"  # noqa: S104
    plain = [name for name in names if "*" not in name]
    return next(iter([*(local if everywhere else []), *plain]), None)


def _candidate(paths: Paths) -> Path:
    return paths.served_pair.with_name(f".{paths.served_pair.name}.{os.getpid()}-{next(_numbers)}.tmp")


def _copied(certificate: str, key: str, pair: Path) -> tuple[Path, list[bytes], str]:
    """Both files in one, the certificates in it, and what to call them."""
    chain, secret = _read(certificate), _read(key)
    found = _CERTIFICATE.findall(chain)
    if not found:
        raise BadPair(f"{certificate} has no certificate in it (PEM is needed)")
    write_atomically(pair, b"\n".join([*found, secret]))
    return pair, found, f"{certificate} with {key}"


def _read(path: str) -> bytes:
    try:
        # Opening a pipe, or reading one, would wait for who writes to it, and with it all who look at the pair.
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadPair(f"{path} is not a file")
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise BadPair(f"{path}: {error.strerror}") from None
    if len(data) > LARGEST_BYTES:
        raise BadPair(f"{path} is too large to be a certificate or a key")
    return data


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _tried(pair: Path, chain: list[bytes], what: str) -> Certificate:
    server = server_context()
    try:
        load(server, pair)
    except ssl.SSLError as error:
        raise BadPair(f"{what}: {_reason(error)}") from None
    except _Encrypted:
        advice = "write it without its password: openssl pkey -in KEY -out PLAIN"
        raise BadPair(f"{what}: the key is encrypted; {advice}") from None
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    try:
        _trust(client, chain)
        told = _handshake(client, server)
    except ssl.SSLError as error:
        raise BadPair(f"{what}: {_reason(error)}") from None
    names = tuple(value for kind, value in told.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
    if not names:
        raise BadPair(f"{what}: it names no host (subjectAltName), so no client would take it")
    roots = client.get_ca_certs()
    anchored = told.get("issuer") == told.get("subject") or any(each["issuer"] == each["subject"] for each in roots)
    return Certificate(tuple(map(_plain, names)), ssl.cert_time_to_seconds(told["notAfter"]), anchored)


def _trust(context: ssl.SSLContext, chain: Sequence[bytes]) -> None:
    context.load_verify_locations(cadata=b"\n".join(chain).decode("ascii", "replace"))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, Any]:
    """What the client is shown, in a handshake that leaves no trace outside of memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server)
    for _ in range(_TURNS):
        done = 0
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                done += 1
        if done == 2:
            break
    return dict(ours.getpeercert() or {})


class _Encrypted(Exception):
    """The key has a password."""


def _no_password() -> str:
    raise _Encrypted  # OpenSSL would ask for it on the terminal


def _reason(error: ssl.SSLError) -> str:
    words = {
        "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
        "NO_START_LINE": "one of them is not PEM",
        "PEM_LIB": "one of them is not a certificate or a key in PEM",
    }
    reason = error.reason or str(error)
    told = next((told for word, told in words.items() if word in reason.upper().replace(" ", "_")), None)
    return told or str(getattr(error, "verify_message", "") or reason).lower().replace("_", " ")


def _plain(name: str) -> str:
    """An address as people write it: OpenSSL spells those of IPv6 out."""
    import ipaddress

    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(name))
    return name


def changes(certificate: str, key: str) -> Iterator[bool]:
    """Whether either file was replaced or written since the last look."""
    before = None
    while True:
        now = _signature(certificate), _signature(key)
        yield before is not None and now != before
        before = now


def _signature(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - follows links, as those of certbot and Kubernetes
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
