"""Every service that botocore knows, by its metadata alone: for calls of services that are not here.

A model's metadata stand at its very beginning, so of each of the hundreds of files only the first kilobytes are read
and unpacked: a tenth of a second, once, and only when somebody calls what is not here. Services that share a signing
name are told apart by what the request says: the prefix of its target, its version, or else its path.
"""

from __future__ import annotations

import functools
import json
import logging
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mooring.wire.dialects import CBOR, EC2, JSON, QUERY, REST_JSON, REST_XML, Spoken
from mooring.wire.service_models import data_directory, load_document, model_file
from mooring.wire.uri_templates import UriTemplate

log = logging.getLogger("mooring.wire")

_READ_BYTES = 8192
_GZIP = 31
_METADATA = b'"metadata":'
_SPOKEN_AS = {
    JSON: frozenset((JSON,)),
    CBOR: frozenset((CBOR,)),
    QUERY: frozenset((QUERY, EC2)),
    REST_JSON: frozenset((REST_JSON, REST_XML)),
}


class Listed(NamedTuple):
    """One service."""

    name: str
    """botocore's, with which a client is made."""
    service_id: str
    signing_name: str
    protocols: frozenset[str]
    target_prefix: str | None
    api_version: str

    @property
    def endpoint_variable(self) -> str:
        """The environment variable that gives this service alone an endpoint, as every SDK derives it."""
        return f"AWS_ENDPOINT_URL_{self.service_id.replace(' ', '_').replace('-', '_').upper()}"


def signed_as(signing_name: str) -> list[Listed]:
    """The services that are signed under a name, the one that is also called so first."""
    found = [service for service in listed() if service.signing_name == signing_name]
    return sorted(found, key=lambda service: service.name != signing_name)


def asked_for(signing_name: str | None, said: Spoken, method: bytes, path: bytes) -> list[Listed]:
    """The services that have what a request asks for, by the name that it is signed for; None means unsigned."""
    found = signed_as(signing_name) if signing_name else list(listed())
    found = [service for service in found if service.protocols & _SPOKEN_AS[said.protocol]]
    if said.protocol in (JSON, CBOR):
        return [service for service in found if service.target_prefix == said.marker]
    if said.protocol == QUERY:
        return [service for service in found if service.api_version == said.marker]
    # Without a signature the path would have to be held against every model there is.
    return [service for service in found if _has_path(service, method, path)] if signing_name else []


def endpoint_variables(services: Sequence[Listed]) -> str:
    """The variables of all of them, for a sentence."""
    return " or ".join(service.endpoint_variable for service in services)


@functools.cache
def listed() -> tuple[Listed, ...]:
    """All services, each in its newest version."""
    return tuple(_read_all())


def _read_all() -> Iterator[Listed]:
    for folder in sorted(data_directory().iterdir()):
        path = model_file(folder.name)
        if path is None:
            continue
        try:
            yield _read(folder.name, path)
        except (OSError, ValueError, KeyError, zlib.error) as error:
            log.warning("the model of %s cannot be read: %s", folder.name, error)


def _read(name: str, path: Path) -> Listed:
    with path.open("rb") as file:
        head = file.read(_READ_BYTES)
    if path.suffix == ".gz":
        head = zlib.decompressobj(_GZIP).decompress(head, _READ_BYTES)
    text = head[head.index(_METADATA) + len(_METADATA) :].decode("utf-8", "ignore").lstrip()
    metadata, _ = json.JSONDecoder().raw_decode(text)
    return Listed(
        name=name,
        service_id=metadata["serviceId"],
        signing_name=metadata.get("signingName", metadata["endpointPrefix"]),
        protocols=frozenset((metadata["protocol"], *metadata.get("protocols", ()))),
        target_prefix=metadata.get("targetPrefix"),
        api_version=metadata["apiVersion"],
    )


def _has_path(service: Listed, method: bytes, path: bytes) -> bool:
    return any(wanted == method and template.match(path) is not None for wanted, template in _paths(service.name))


@functools.lru_cache(maxsize=32)
def _paths(name: str) -> Sequence[tuple[bytes, UriTemplate]]:
    # Of the model, which is large, nothing else is kept.
    bindings = [operation["http"] for operation in load_document(name)["operations"].values()]
    return [(http["method"].encode("ascii"), UriTemplate(http["requestUri"])) for http in bindings]
