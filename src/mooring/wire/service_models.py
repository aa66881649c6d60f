"""Service models of the installed botocore, loaded once per process and only when asked for.

The documents are read as data (`<botocore>/data/<service>/<version>/service-2.json.gz`, newest version) without
importing botocore; a test holds them against what botocore's own loader gives. Documentation is dropped at loading.
`corrections.json`, beside this module, is laid over them: per service, what to ``add`` where the installed model lacks
it, and what to ``replace`` where it is wrong.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.wire.shapes import ShapeTable, Structure

_CORRECTIONS = Path(__file__).with_name("corrections.json")


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation: its shapes and its place in HTTP."""

    name: str
    input: Structure | None
    output: Structure | None
    result_wrapper: str | None
    method: str
    request_uri: str
    response_code: int


class ServiceModel:
    """One service: operations, shapes and errors, all made on demand."""

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        metadata = document["metadata"]
        self.name = name
        self.protocol: str = metadata["protocol"]
        self.api_version: str = metadata["apiVersion"]
        self.target_prefix: str | None = metadata.get("targetPrefix")
        self.signing_name: str = metadata.get("signingName", metadata["endpointPrefix"])
        self.xml_namespace: str | None = metadata.get("xmlNamespace")
        self.shapes = ShapeTable(document["shapes"])
        self._operations: Mapping[str, Any] = document["operations"]
        self._made: dict[str, Operation] = {}

    @functools.cached_property
    def operation_names(self) -> frozenset[str]:
        """All operations that AWS has, also those that Mooring does not serve."""
        return frozenset(self._operations)

    def operation(self, name: str) -> Operation:
        """The operation of that name; KeyError if AWS has none."""
        made = self._made.get(name)
        if made is None:
            document = self._operations[name]
            http, output = document.get("http", {}), document.get("output")
            made = self._made[name] = Operation(
                name=name,
                input=self.shapes.structure(document["input"]["shape"]) if "input" in document else None,
                output=self.shapes.structure(output["shape"]) if output else None,
                result_wrapper=output.get("resultWrapper") if output else None,
                method=http.get("method", "POST"),
                request_uri=http.get("requestUri", "/"),
                response_code=http.get("responseCode", 200),
            )
        return made

    def error(self, code: str) -> Structure | None:
        """The modelled error of that code (its shape's name, or the code that the shape states)."""
        return self._errors.get(code)

    @functools.cached_property
    def _errors(self) -> dict[str, Structure]:
        names = {error["shape"] for operation in self._operations.values() for error in operation.get("errors", ())}
        shapes = [self.shapes.structure(name) for name in sorted(names)]
        return {shape.name: shape for shape in shapes} | {s.error_code: s for s in shapes if s.error_code}


@functools.cache
def service_model(name: str) -> ServiceModel:
    """The model of a service by botocore's name for it, such as ``sagemaker-runtime``; KeyError if there is none."""
    document = load_document(name)
    corrections = _corrections().get(name, {})
    lay_under(document, corrections.get("add", {}))
    lay_over(document, corrections.get("replace", {}))
    return ServiceModel(name, document)


def load_document(name: str) -> dict[str, Any]:
    """The model as the installed botocore ships it, without its documentation."""
    path = model_file(name)
    if path is None:
        raise KeyError(name)
    text = path.read_bytes()
    return _without_documentation(gzip.decompress(text) if path.suffix == ".gz" else text)


def model_file(name: str) -> Path | None:
    """Where the newest model of a service is, packed or plain; None if there is none."""
    folder = data_directory() / name
    versions = sorted(entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    for version in reversed(versions):
        for path in (version / "service-2.json.gz", version / "service-2.json"):
            if path.is_file():
                return path
    return None


def lay_under(document: dict[str, Any], addition: Mapping[str, Any]) -> None:
    """Add what is missing: what the installed model says wins, and lists (enums) grow."""
    for key, value in addition.items():
        present = document.get(key)
        if present is None:
            document[key] = value
        elif isinstance(present, dict):
            lay_under(present, value)
        elif isinstance(present, list):
            present.extend(item for item in value if item not in present)


def lay_over(document: dict[str, Any], correction: Mapping[str, Any]) -> None:
    """Replace what is wrong: the correction wins, and null removes."""
    for key, value in correction.items():
        present = document.get(key)
        if value is None:
            document.pop(key, None)
        elif isinstance(present, dict) and isinstance(value, dict):
            lay_over(present, value)
        else:
            document[key] = value


def data_directory() -> Path:
    """The installed botocore's models, a directory a service."""
    spec = importlib.util.find_spec("botocore")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("botocore is not installed", name="botocore")
    return Path(spec.submodule_search_locations[0]) / "data"


def _without_documentation(text: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    for part in (*document["operations"].values(), *document["shapes"].values()):
        part.pop("documentation", None)
        for member in part.get("members", {}).values():
            member.pop("documentation", None)
    return document


@functools.cache
def _corrections() -> dict[str, Any]:
    corrections: dict[str, Any] = json.loads(_CORRECTIONS.read_bytes())
    return corrections
