"""The commands about endpoints: `deploy`, `logs`, and `endpoints …`."""

from __future__ import annotations

from typing import Annotated

import typer

from mooring.cli import events, finding, logs
from mooring.cli.aws import SageMaker
from mooring.cli.client import client_of, region_of
from mooring.cli.options import DataDir, Region, Url, preferred_region
from mooring.errors import BadInput, InProgress, Refused

DEFAULT_INSTANCE_TYPE = "ml.m5.large"

endpoints = typer.Typer(help="Endpoints, beyond what AWS's own tools do.", rich_markup_mode=None)


def deploy(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE", help="A model directory, a .tar.gz, one model file or script, or an s3:// URI."
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            "--variant", metavar="NAME=SOURCE[:WEIGHT]", help="One of several models behind the endpoint; repeatable."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The endpoint's name.  [default: the source's]")] = None,
    framework: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[VARIANT=]FRAMEWORK",
            help="sklearn, xgboost, pytorch or huggingface, instead of a guess.",
        ),
    ] = None,
    image: Annotated[
        list[str] | None, typer.Option(metavar="[VARIANT=]URI", help="The image, instead of a framework.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="A variable of the models; repeatable.")
    ] = None,
    instances: Annotated[int, typer.Option(help="Replicas of each variant.", min=1)] = 1,
    instance_type: Annotated[str, typer.Option(help="The instance type.")] = DEFAULT_INSTANCE_TYPE,
    role: Annotated[
        str | None, typer.Option(help="The role's ARN.  [default: arn:aws:iam::ACCOUNT:role/mooring]")
    ] = None,
    bucket: Annotated[
        str | None, typer.Option(help="For the archives; made if missing.  [default: sagemaker-REGION-ACCOUNT]")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", help="The endpoint's region.  [env var: AWS_REGION; default: the server's]"),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Delete an endpoint of that name first.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until it is in service.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make nothing; print the boto3 and AWS CLI lines that would.")
    ] = False,
    url: Url = None,
    data_dir: DataDir = None,
) -> int:
    """Deploy a model, and show each step.

    Packs and uploads it, and creates model, config and endpoint.
    """
    from mooring.cli.deploy import planning
    from mooring.cli.deploy.deploying import Deployment
    from mooring.cli.progress import Steps

    wanted = planning.wanted_of(source, variant or [])
    if name is None and source is None:
        raise BadInput("several variants need --name: what the endpoint shall be called")
    order = planning.Order(
        wanted=wanted,
        name=planning.checked_name(name, "--name") if name is not None else planning.name_of(wanted[0].given),
        instance_type=instance_type,
        instances=instances,
        frameworks=planning.frameworks_of(framework or [], wanted),
        images=planning.by_variant("--image", image or [], wanted),
        environment=planning.variables_of(env or []),
        role=role,
        bucket=bucket,
    )
    client = client_of(finding.find(url, data_dir))
    found = region or preferred_region() or str(client.status().get("region"))
    deployment = Deployment(order, client, found, Steps(), replace=replace)
    if dry_run:
        deployment.show()
        return 0
    return deployment.run(wait=not no_wait)


def show_logs(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    last: Annotated[
        int | None,
        typer.Option("--lines", "-n", help="Of what there is, only the last so many lines of each replica.", min=0),
    ] = None,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Print what the replicas of an endpoint wrote."""
    client = client_of(finding.find(url, data_dir))
    logs.show(client, endpoint, region_of(client, endpoint, region, preferred_region()), follow=follow, last=last)


@endpoints.command()
def delete(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    force: Annotated[bool, typer.Option("--force", help="Also while it is being created or updated.")] = False,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Delete an endpoint; with --force in whatever state it is."""
    client = client_of(finding.find(url, data_dir))
    found = region_of(client, name, region, preferred_region())
    if force:
        client.force_delete(name, found)
        print(f"deleted {name}")
    else:
        _delete(SageMaker(client.url, found, credentials=client.credentials), name)
        print(f"deleting {name}")


def _delete(sagemaker: SageMaker, name: str) -> None:
    try:
        sagemaker.call("DeleteEndpoint", EndpointName=name)
    except Refused as error:
        # AWS has one code for every refusal; only its words tell which this is.
        if "in-progress" not in str(error):
            raise
        raise InProgress(f"{error} Use --force to delete it nevertheless.") from None


@endpoints.command()
def stop(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Switch an endpoint off until it is started again.

    It stays, OutOfService, and nothing of it runs.
    """
    client = client_of(finding.find(url, data_dir))
    client.stop_endpoint(name, region_of(client, name, region, preferred_region()))
    print(
        f"{name} is OutOfService; its replicas finish what they hold. `mooring endpoints start {name}` brings it back"
    )


@endpoints.command()
def start(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Switch a stopped endpoint on again."""
    client = client_of(finding.find(url, data_dir))
    client.start_endpoint(name, region_of(client, name, region, preferred_region()))
    print(f"starting {name}; `mooring endpoints events {name} --follow` shows how far it is")


@endpoints.command(name="events")
def show_events(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it is gone, or until Ctrl-C.")] = False,
    region: Region = None,
    url: Url = None,
    data_dir: DataDir = None,
) -> None:
    """Print what happened to an endpoint.

    Steps, statuses, replicas that went, data capture, fields without effect.
    """
    client = client_of(finding.find(url, data_dir))
    events.show(client, name, region_of(client, name, region, preferred_region()), follow=follow)


@endpoints.callback()
def _endpoints() -> None:
    pass
