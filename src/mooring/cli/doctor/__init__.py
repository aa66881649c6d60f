"""`mooring doctor`: what could be wrong between SageMaker code and its answer, where, and what to do about it.

A check is a function of a `Scene` that yields findings; it looks and changes nothing. Whatever it cannot find out is
said, never guessed. No secret is shown: of credentials only that they are there, of URLs nothing but the address.
"""

from __future__ import annotations

from collections.abc import Iterator

from mooring.cli.doctor import clients, environment, frameworks, machine, places, server
from mooring.cli.doctor.findings import Check, Finding, Scene, Verdict

CHECKS: tuple[tuple[str, Check], ...] = (
    ("machine", machine.python),
    ("machine", machine.memory),
    ("machine", machine.descriptors),
    ("machine", machine.gpus),
    ("data", places.settings),
    ("data", places.data_directory),
    ("data", places.disk),
    ("data", places.file_system),
    ("data", places.sockets),
    ("data", places.lock),
    ("data", places.port),
    ("runtimes", frameworks.installed),
    ("runtimes", frameworks.uv),
    ("runtimes", frameworks.package_index),
    ("runtimes", frameworks.explanations),
    ("runtimes", frameworks.neighbours),
    ("server", server.reachable),
    ("server", server.version),
    ("server", server.clock),
    ("server", server.certificate),
    ("server", server.limits),
    ("server", server.endpoints),
    ("server", server.without_effect),
    ("clients", clients.libraries),
    ("clients", clients.aws_cli),
    ("environment", environment.endpoint_url),
    ("environment", environment.ignored),
    ("environment", environment.of_services),
    ("environment", environment.issuers),
    ("environment", environment.proxies),
    ("environment", environment.profile),
    ("environment", environment.region),
    ("environment", environment.credentials),
)


def examined(scene: Scene) -> Iterator[Finding]:
    """The findings of every check, in their order; a check that fails itself is one."""
    for area, check in CHECKS:
        try:
            yield from (finding.of(area) for finding in check(scene))
        except Exception as error:  # noqa: BLE001 - one check's defect must not hide the others
            name = check.__name__.replace("_", " ")
            text = f"could not be checked: {type(error).__name__}: {error}"
            yield Finding(name, Verdict.WARN, text, area=area)
