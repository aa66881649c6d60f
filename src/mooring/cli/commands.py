"""The commands, their flags and their help, for Typer; each does its work in a module of its own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from mooring import __version__
from mooring.cli import (
    async_commands,
    endpoint_commands,
    environment,
    explain_commands,
    finding,
    key_commands,
    running,
    serving,
    shadow_commands,
    stopping,
)
from mooring.cli.client import client_of
from mooring.cli.options import DEFAULTS, AsJson, DataDir, Url

STOP_TIMEOUT_S = 60.0
# What every wrong command line raises; Typer exports only this child of it, and has moved the parent between releases.
USAGE_ERROR = cast("type[Exception]", typer.BadParameter.__base__)

app = typer.Typer(
    help="SageMaker hosting on your own machine.", add_completion=False, rich_markup_mode=None, no_args_is_help=False
)
app.add_typer(async_commands.asynchronous, name="async")
app.add_typer(endpoint_commands.endpoints, name="endpoints")
app.add_typer(key_commands.keys, name="keys")
app.add_typer(shadow_commands.shadow, name="shadow")


def run(arguments: Sequence[str]) -> int:
    """Run one command; a wrong command line is one line on standard error."""
    try:
        result = app(list(arguments) or ["--help"], prog_name="mooring", standalone_mode=False)
    except USAGE_ERROR as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "mooring"
        print(f"mooring: {_sentence(error)} (`{command} --help` tells more)", file=sys.stderr)
        return 2
    except typer.Abort:
        return 130
    return result if isinstance(result, int) else 0


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


def _sentence(error: BaseException) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(str(message).split()).rstrip(".")


@app.callback()
def _mooring(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass


@app.command()
def serve(
    host: Annotated[
        str | None, typer.Option(help=f"Address to listen on.  [default: {DEFAULTS.host}]", envvar="MOORING_HOST")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help=f"TCP port; 0 takes a free one.  [default: {DEFAULTS.port}]", envvar="MOORING_PORT"),
    ] = None,
    data_dir: Annotated[
        str | None,
        typer.Option(
            help=f"Where everything that must last is kept.  [default: {DEFAULTS.data_dir}]", envvar="MOORING_DATA_DIR"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help=f"Gateway processes.  [default: {DEFAULTS.workers}]", envvar="MOORING_WORKERS")
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option(
            help="Certificate in PEM, with its chain: serve HTTPS.", envvar="MOORING_TLS_CERTIFICATE", metavar="FILE"
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The certificate's key in PEM.", envvar="MOORING_TLS_KEY", metavar="FILE")
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            help=f"debug, info, warning or error.  [default: {DEFAULTS.log_level}]", envvar="MOORING_LOG_LEVEL"
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Take any credentials, also on an address that the network reaches.")
    ] = False,
) -> int:
    """Serve in the foreground until Ctrl-C or SIGTERM.

    Every other setting is an environment variable; see docs/settings.md.
    """
    flags = {"host": host, "port": port, "data_dir": data_dir, "workers": workers, "log_level": log_level}
    return serving.serve({**flags, "certificate": certificate, "key": key, "insecure": insecure})


@app.command()
def status(
    url: Url = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the server: endpoints, variants, replicas, processes."""
    document = client_of(finding.find(url, data_dir)).status()
    if as_json:
        print(json.dumps(document, indent=2))
        return
    from mooring.cli import display

    display.show(document)


@app.command()
def doctor(
    url: Url = None,
    data_dir: DataDir = None,
    online: Annotated[bool, typer.Option("--online", help="Ask the network too, as for the package index.")] = False,
    as_json: AsJson = False,
) -> int:
    """Say what is wrong here, and what to do about it.

    Looks at everything between SageMaker code and its answer.
    """
    from mooring.cli.doctor import report

    return report.report(url, data_dir, online=online, as_json=as_json)


@app.command()
def env(
    url: Url = None,
    data_dir: DataDir = None,
    shell: Annotated[str, typer.Option("--shell", help=f"One of {', '.join(environment.SHELLS)}.")] = "sh",
) -> None:
    """Print the variables that SageMaker code needs.

    For a shell: eval "$(mooring env)".
    """
    print(environment.script(environment.variables(finding.find(url, data_dir), os.environ), shell))


@app.command(name="run", context_settings={"allow_interspersed_args": False})
def run_command(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND")],
    url: Url = None,
    data_dir: DataDir = None,
) -> int:
    """Run a command with the variables of `mooring env`.

    A server is started for it if none runs, and stopped with the last command that shares it.
    """
    return running.run(command, url, data_dir)


app.command()(endpoint_commands.deploy)
app.command(name="logs")(endpoint_commands.show_logs)
app.command()(explain_commands.explain)


@app.command()
def stop(
    url: Url = None,
    data_dir: DataDir = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait until it is gone.", min=0.0)] = STOP_TIMEOUT_S,
) -> None:
    """Stop the server and wait until it is gone. Endpoints come back with the next `mooring serve`."""
    server = finding.find(url, data_dir)
    if not server.running:
        left = stopping.end_left_replicas(server.paths) if server.paths is not None else 0
        ended = f"stopped {left} replica{'' if left == 1 else 's'} that an earlier server left"
        print(ended if left else f"no server runs {server.place}")
        return
    stopped = stopping.stop(server, timeout)
    print(f"stopped the server {server.place}" if stopped else f"no server answers at {server.where}")


@app.command()
def version() -> None:
    """Print the version."""
    print(f"Mooring {__version__}")
