"""`mooring shadow …`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mooring.cli import finding
from mooring.cli.client import client_of, region_of
from mooring.cli.options import AsJson, DataDir, Region, Url, preferred_region

shadow = typer.Typer(help="What shadow variants would have answered: `shadow report`.", rich_markup_mode=None)


@shadow.command()
def report(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Compare a shadow variant with production.

    Latencies, errors, dropped copies, and how far the answers agree.

    Of the calls that were copied since the endpoint config is in effect.
    """
    client = client_of(finding.find(url, data_dir))
    document = client.shadow_report(endpoint, region_of(client, endpoint, region, preferred_region()))
    if as_json:
        print(json.dumps(document, indent=2))
        return
    from mooring.cli import shadow_display

    shadow_display.show(document)


@shadow.callback()
def _shadow() -> None:
    pass
