"""The commands about endpoints: `logs`, and `endpoints …`."""

from __future__ import annotations

from typing import Annotated

import typer

from mooring.cli import events, finding, logs
from mooring.cli.aws import SageMaker
from mooring.cli.client import Client, region_of
from mooring.cli.options import DataDir, Region, Url, preferred_region
from mooring.errors import InProgress, Refused

endpoints = typer.Typer(help="Endpoints, beyond what AWS's own tools do.", rich_markup_mode=None)


def show_logs(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    last: Annotated[
        int | None, typer.Option("--lines", "-n", help="Of what there is, only the last so many lines.", min=0)
    ] = None,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Print what the replicas of an endpoint wrote."""
    client = Client(finding.find(url, data_dir).require_url())
    logs.show(client, endpoint, region_of(client, endpoint, region, preferred_region()), follow=follow, last=last)


@endpoints.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    force: Annotated[bool, typer.Option("--force", help="Also while it is being created or updated.")] = False,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Delete an endpoint: as AWS does, or with --force in whatever state it is."""
    client = Client(finding.find(url, data_dir).require_url())
    found = region_of(client, name, region, preferred_region())
    if force:
        client.force_delete(name, found)
        print(f"deleted {name}")
    else:
        _delete(SageMaker(client.url, found), name)
        print(f"deleting {name}")


def _delete(sagemaker: SageMaker, name: str) -> None:
    try:
        sagemaker.call("DeleteEndpoint", EndpointName=name)
    except Refused as error:
        # AWS has one code for every refusal; only its words tell which this is.
        if "in-progress" not in str(error):
            raise
        raise InProgress(f"{error} Use --force to delete it nevertheless.") from None


@endpoints.command(name="events")
def show_events(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it is gone, or until Ctrl-C.")] = False,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Print what happened to an endpoint: steps, statuses, replicas that went, fields without effect."""
    client = Client(finding.find(url, data_dir).require_url())
    events.show(client, name, region_of(client, name, region, preferred_region()), follow=follow)


@endpoints.callback()
def _endpoints() -> None:
    pass
