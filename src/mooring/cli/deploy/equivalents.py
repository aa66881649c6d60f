"""What the command does, as a boto3 script and as lines for the AWS CLI: made from the requests that it sends.

Headings are comments in both languages, so that a whole block can be pasted.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from mooring.cli.deploy.planning import Model, Plan
from mooring.cli.deploy.sources import CODE, LEFT_OUT, Entry

_WIDTH = 110
_AFTER = '(after eval "$(mooring env)"; on AWS with your own role and bucket)'


def script(plan: Plan) -> str:
    """Both, with their headings."""
    return "\n".join(
        [f"# The same with boto3 {_AFTER}", *_boto3(plan), "", f"# The same with the AWS CLI {_AFTER}", *_cli(plan)]
    )


def _boto3(plan: Plan) -> list[str]:
    packed = [model for model in plan.models if model.source.entries]
    uploaded = _distinct([model for model in plan.models if model.archive is not None])
    modules = ["io"] if any(_generated(model) for model in packed) else []
    modules += ["tarfile"] if packed else []
    lines = [*(f"import {name}" for name in modules), *([""] if modules else []), "import boto3", ""]
    if any(_directories(model) for model in packed):
        lines += [_KEPT, ""]
    for model in packed:
        lines += [*_packing(plan, model), ""]
    lines.append(f"session = boto3.Session(region_name={json.dumps(plan.region)})")
    lines.append('sagemaker = session.client("sagemaker")')
    if uploaded:
        lines.append('s3 = session.client("s3")')
    if plan.makes_bucket:
        lines.append(_call("s3.create_bucket", _bucket(plan)))
    for model in uploaded:
        file = {"Filename": _archive(plan, model), "Bucket": model.bucket, "Key": model.key}
        lines.append(_call("s3.upload_file", file))
    lines += [_call("sagemaker.create_model", plan.model_request(model)) for model in plan.models]
    lines.append(_call("sagemaker.create_endpoint_config", plan.config_request()))
    lines.append(_call("sagemaker.create_endpoint", plan.endpoint_request()))
    lines.append(f'sagemaker.get_waiter("endpoint_in_service").wait(EndpointName={json.dumps(plan.endpoint)})')
    return lines


_KEPT = f"""\

def kept(member):
    left_out = {json.dumps(sorted(LEFT_OUT))}
    return None if member.name.rpartition("/")[2] in left_out else member

"""


def _packing(plan: Plan, model: Model) -> list[str]:
    directories = _directories(model)
    lines = [f'with tarfile.open({json.dumps(_archive(plan, model))}, "w:gz") as tar:']
    for path, name in model.source.tops:
        selected = ", filter=kept" if name in directories else ""
        lines.append(f"    tar.add({json.dumps(path)}, {json.dumps(name)}{selected})")
    for entry in _generated(model):
        lines += [
            f"    text = {json.dumps(entry.text.decode())}.encode()",
            f"    member = tarfile.TarInfo({json.dumps(entry.name)})",
            "    member.size = len(text)",
            "    tar.addfile(member, io.BytesIO(text))",
        ]
    return lines


def _call(function: str, members: Mapping[str, Any]) -> str:
    """A call in Python. What the requests hold (text, numbers, lists, mappings) is written alike in JSON."""
    short = f"{function}({', '.join(f'{name}={json.dumps(value)}' for name, value in members.items())})"
    if len(short) <= _WIDTH:
        return short
    written = {name: json.dumps(value, indent=4).replace("\n", "\n    ") for name, value in members.items()}
    return "\n".join([f"{function}(", *(f"    {name}={value}," for name, value in written.items()), ")"])


def _cli(plan: Plan) -> list[str]:
    region = ["--region", plan.region]
    lines = [line for model in plan.models if model.source.entries for line in _tar(plan, model)]
    if plan.makes_bucket:
        lines.append(shlex.join(["aws", "s3", "mb", f"s3://{plan.bucket}", *region]))
    uploaded = _distinct([model for model in plan.models if model.archive is not None])
    lines += [
        shlex.join(["aws", "s3", "cp", _archive(plan, model), f"s3://{model.bucket}/{model.key}", *region])
        for model in uploaded
    ]
    for model in plan.models:
        lines += _command("create-model", plan.model_request(model), region)
    lines += _command("create-endpoint-config", plan.config_request(), region)
    lines += _command("create-endpoint", plan.endpoint_request(), region)
    wait = ["aws", "sagemaker", "wait", "endpoint-in-service", "--endpoint-name", plan.endpoint, *region]
    return [*lines, shlex.join(wait)]


def _tar(plan: Plan, model: Model) -> list[str]:
    """The archive's files laid out in a directory of their own, and packed."""
    lines = ["stage=$(mktemp -d)"]
    if any(name.startswith(f"{CODE}/") for name in model.source.heads):
        lines.append(f'mkdir "$stage"/{CODE}')
    for path, name in model.source.tops:
        # Into what is there already a directory would be copied as a whole.
        copied = shlex.quote(f"{path}/.") if name == CODE else shlex.quote(path)
        lines.append(f'cp -R {copied} "$stage"/{shlex.quote(name)}')
    written = [(entry.name, entry.text.decode()) for entry in _generated(model)]
    lines += [f"cat > \"$stage\"/{name} <<'END'\n{text}END" for name, text in written]
    left_out = [f"--exclude={name} " for name in sorted(LEFT_OUT)] if _directories(model) else []
    return [*lines, f'tar -czf {shlex.quote(_archive(plan, model))} {"".join(left_out)}-C "$stage" .']


def _command(operation: str, members: Mapping[str, Any], region: list[str]) -> list[str]:
    lines = [f"aws sagemaker {operation} \\"]
    for name, value in members.items():
        text = value if isinstance(value, str) else json.dumps(value)
        lines.append(f"  --{_kebab(name)} {shlex.quote(text)} \\")
    return [*lines, f"  {shlex.join(region)}"]


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


def _bucket(plan: Plan) -> dict[str, Any]:
    if plan.region == "us-east-1":
        return {"Bucket": plan.bucket}
    return {"Bucket": plan.bucket, "CreateBucketConfiguration": {"LocationConstraint": plan.region}}


def _archive(plan: Plan, model: Model) -> str:
    """The archive's name in the lines: the caller's own, or one beside them."""
    if model.source.kind == "archive":
        return model.source.given
    return f"{plan.endpoint if len(plan.models) == 1 else model.wanted.variant}.tar.gz"


def _distinct(models: list[Model]) -> list[Model]:
    """Of models with the same archive one is enough."""
    return list({(model.bucket, model.key): model for model in models}.values())


def _directories(model: Model) -> set[str]:
    """Directories of the source, which may hold what is left out."""
    return {entry.name for entry in model.source.entries if entry.directory and entry.path is not None}


def _generated(model: Model) -> list[Entry]:
    return [entry for entry in model.source.entries if entry.path is None and not entry.directory]
