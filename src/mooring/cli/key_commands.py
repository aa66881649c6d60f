"""`mooring keys`: who may call a server, made, shown and revoked through its admin API, or in its data directory."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mooring.cli import finding, unserved_keys
from mooring.cli.client import client_of
from mooring.cli.options import AsJson, DataDir, Url
from mooring.cli.terminal import safe
from mooring.errors import BadInput

keys = typer.Typer(help="Access keys: who may call a server that is open to the network.", no_args_is_help=True)


@keys.command()
def create(
    name: Annotated[str | None, typer.Option("--name", help="Whose it is; told to it as its session name.")] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="An IAM policy as a JSON file; without one it may do everything.")
    ] = None,
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show its secret, this once."""
    made = _ask("POST", "keys", {"name": name, "policy": None if policy is None else _policy(policy)}, url, data_dir)
    if as_json:
        print(json.dumps(made, indent=2))
        return
    print(f"export AWS_ACCESS_KEY_ID={made['access_key_id']}")
    print(f"export AWS_SECRET_ACCESS_KEY={made['secret_access_key']}")
    typer.echo("The secret is not shown again.", err=True)


@keys.command(name="list")
def show(url: Url = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show all keys, without their secrets."""
    found = _ask("GET", "keys", None, url, data_dir)["keys"]
    if as_json:
        print(json.dumps(found, indent=2))
        return
    if not found:
        print("no access keys; `mooring keys create` makes one")
    for key in found:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(key["created_at"]))
        print(f"{key['access_key_id']}  {made}  {safe(str(key['name'])):<20}  {_summary(key['policy'])}")


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id or its name.")],
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Take a key out of force, everywhere and at once."""
    print(f"revoked {_ask('DELETE', f'keys/{key}', None, url, data_dir)['access_key_id']}")


def _ask(
    method: str, page: str, document: dict[str, Any] | None, url: str | None, data_dir: str | None
) -> dict[str, Any]:
    server = finding.find(url, data_dir)
    if server.running or server.paths is None:
        return client_of(server).keys(method, page, document)
    return unserved_keys.ask(server.paths, method, page, document)


def _policy(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise BadInput(f"cannot read the policy {file}: {error.strerror}") from None
    except ValueError as error:
        raise BadInput(f"the policy {file} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadInput(f"the policy {file} is not a JSON object with a Statement")
    return document


def _summary(policy: dict[str, Any] | None) -> str:
    if policy is None:
        return "may do everything"
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    return "; ".join(_said(each) for each in statements)


def _said(statement: dict[str, Any]) -> str:
    actions = statement.get("Action", statement.get("NotAction"))
    listed = actions if isinstance(actions, str) else ", ".join(actions or [])
    turned = "all but " if "NotAction" in statement else ""
    return safe(f"{statement['Effect'].lower()} {turned}{listed}")
