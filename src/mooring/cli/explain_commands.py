"""`mooring explain`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mooring.cli import finding
from mooring.cli.client import client_of, region_of
from mooring.cli.options import AsJson, DataDir, Region, Url, preferred_region

EXPLAIN_ALL = "`true`"


def explain(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
    file: Annotated[
        str, typer.Option("--input", "-i", metavar="FILE", help="Records in CSV or JSON Lines; - for standard input.")
    ],
    expression: Annotated[
        str, typer.Option(help="Which records: EnableExplanations, a JMESPath over what the model says of each.")
    ] = EXPLAIN_ALL,
    content_type: Annotated[
        str | None, typer.Option(help="Of the input.  [default: by its name and content]", metavar="TYPE")
    ] = None,
    accept: Annotated[str | None, typer.Option(help="What the model shall answer.", metavar="TYPE")] = None,
    record: Annotated[int | None, typer.Option(help="Send this record only, counted from 0.", min=0)] = None,
    top: Annotated[int, typer.Option(help="Show so many parts of each prediction; 0 shows all.", min=0)] = 20,
    html: Annotated[str | None, typer.Option(help="Write a page with waterfalls too.", metavar="FILE")] = None,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show why a model says what it says of some records.

    The endpoint's config needs an ExplainerConfig.
    """
    from mooring.cli.explain import answers, asking, inputs, scores
    from mooring.cli.explain.portions import Shown

    given = inputs.read(file, content_type)
    given = given if record is None else given.record(record)
    client = client_of(finding.find(url, data_dir))
    found = region_of(client, endpoint, region, preferred_region())
    explainer = asking.explainer_of(client, found, endpoint)
    body = asking.explained(client, found, asking.Wanted(endpoint, expression, accept), given)
    cells = given.cells((explainer.get("InferenceConfig") or {}).get("FeaturesAttribute"))
    answer = answers.read(body, cells, record or 0)
    unit = " in log-odds" if (explainer.get("ShapConfig") or {}).get("UseLogit") else ""
    shown = Shown(endpoint, expression, answer, scores.scores_of(answer, explainer), unit)
    if html is not None:
        from mooring.cli.explain import page

        page.write(html, shown, top)
    if as_json:
        print(json.dumps(json.loads(body), indent=2))
        return
    from mooring.cli.explain import drawing

    drawing.show(shown, top)
