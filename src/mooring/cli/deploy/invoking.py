"""How the endpoint that was made is called: an example that fits what serves it, to be changed in its body alone."""

from __future__ import annotations

import json
import re
import shlex

from mooring.cli.deploy.planning import Model, Plan
from mooring.cli.deploy.sources import CODE

JSON, CSV = "application/json", "text/csv"
_ROWS = {JSON: "[[0.1, 0.2, 0.3]]", CSV: "0.1,0.2,0.3"}
_OWN_INPUT = re.compile(rb"^def (?:input_fn|transform_fn)\(", re.MULTILINE)


def examples(plan: Plan) -> str:
    """A call with curl and one with boto3."""
    content_type, body = _request(plan.models[0])
    given = {"EndpointName": plan.endpoint, "ContentType": content_type, "Body": body}
    arguments = ", ".join(f"{name}={json.dumps(value)}" for name, value in given.items())
    return "\n".join(
        [
            "# Invoke it with curl; put your own rows in place of these",
            _curl(plan, content_type, body),
            "",
            '# Invoke it with boto3 (after eval "$(mooring env)")',
            "import boto3",
            "",
            f'runtime = boto3.client("sagemaker-runtime", region_name={json.dumps(plan.region)})',
            "answer = runtime.invoke_endpoint(",
            f"    {arguments}",
            ")",
            'print(answer["Body"].read().decode())',
        ]
    )


def _request(model: Model) -> tuple[str, str]:
    """A content type that the model takes, and a body of that type."""
    program = model.source.program
    script = model.source.heads.get(f"{CODE}/{program}", b"") if program else b""
    if _OWN_INPUT.search(script):
        content_type = CSV if CSV.encode() in script and JSON.encode() not in script else JSON
    elif model.framework == "xgboost":
        content_type = CSV
    elif model.framework == "huggingface":
        return JSON, '{"inputs": "I like this"}'
    else:
        content_type = JSON
    return content_type, _ROWS[content_type]


def _curl(plan: Plan, content_type: str, body: str) -> str:
    words = ["curl", f"{plan.url}/endpoints/{plan.endpoint}/invocations", "-H", f"Content-Type: {content_type}"]
    if plan.region != plan.default_region:
        # An unsigned call is for the server's own region.
        words += ["--aws-sigv4", f"aws:amz:{plan.region}:sagemaker", "--user", "any:any"]
    return shlex.join([*words, "-d", body])
