"""`mooring async …`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from mooring.cli import finding
from mooring.cli.client import Client, client_of, region_of
from mooring.cli.options import AsJson, DataDir, Region, Url, preferred_region

asynchronous = typer.Typer(help="Asynchronous invocations: what waits, and what became of it.", rich_markup_mode=None)

Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Its InferenceId, or its id where several have that.")]


@asynchronous.command(name="list")
def list_(
    endpoint: Endpoint,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS",
            help="Waiting, Calling, Answered, Completed, Failed, Expired or Cancelled; Done is any of the last four.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="At the most so many.", min=1, max=1000)] = 50,
    after: Annotated[int, typer.Option(help="Go on behind this position.", min=0)] = 0,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the invocations of an endpoint, the oldest first."""
    client, found = _client(endpoint, region, url, data_dir)
    document = client.invocations(endpoint, found, status.capitalize() if status else None, after, limit)
    if as_json:
        print(json.dumps(document, indent=2))
        return
    from mooring.cli import async_display

    async_display.show_list(document)


@asynchronous.command()
def show(
    endpoint: Endpoint,
    identifier: Id,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what became of an invocation."""
    client, found = _client(endpoint, region, url, data_dir)
    document = client.invocation(endpoint, found, identifier)
    if as_json:
        print(json.dumps(document, indent=2))
        return
    from mooring.cli import async_display

    async_display.show_each(document)


@asynchronous.command()
def retry(
    endpoint: Endpoint,
    identifier: Id,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Try an invocation again that failed or expired.

    Its time begins anew, and its answer goes where it would have gone.
    """
    client, found = _client(endpoint, region, url, data_dir)
    _tell(client.change_invocation(endpoint, found, identifier, "retry"), "waits again", as_json=as_json)


@asynchronous.command()
def cancel(
    endpoint: Endpoint,
    identifier: Id,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Cancel an invocation that still waits.

    No answer is written, and no topic is told.
    """
    client, found = _client(endpoint, region, url, data_dir)
    _tell(client.change_invocation(endpoint, found, identifier, "cancel"), "is cancelled", as_json=as_json)


@asynchronous.callback()
def _asynchronous() -> None:
    pass


def _client(endpoint: str, region: str | None, url: str | None, data_dir: str | None) -> tuple[Client, str]:
    client = client_of(finding.find(url, data_dir))
    return client, region_of(client, endpoint, region, preferred_region())


def _tell(invocation: dict[str, Any], said: str, *, as_json: bool) -> None:
    print(json.dumps(invocation, indent=2) if as_json else f"{invocation.get('id')} {said}")
