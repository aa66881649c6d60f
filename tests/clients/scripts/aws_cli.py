"""The AWS CLI: a bucket and model data, a model, a config each way it takes them, and an endpoint's whole life."""

import json
import pathlib
import subprocess
import sys
import tarfile

AWS = pathlib.Path(sys.executable).with_name("aws")
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SCRIPT = "def model_fn(d): return {!r}\ndef transform_fn(model, body, content_type, accept): return model, 'text/csv'\n"
BUCKET = "with-the-aws-cli"


def run(*arguments, status=0):
    done = subprocess.run([AWS, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if status == 0 else done.stderr


def aws(*arguments):
    """What a command of SageMaker's prints, read."""
    printed = run("sagemaker", *arguments)
    return json.loads(printed) if printed else None


def names(listed, kind):
    return [each[f"{kind}Name"] for each in listed[f"{kind}s"]]


role = json.loads(
    run("iam", "create-role", "--role-name", "cli", "--assume-role-policy-document", '{"Version": "2012-10-17"}')
)["Role"]["Arn"]

# Buckets and objects.
run("s3", "mb", f"s3://{BUCKET}")
for name in ("one", "two"):
    pathlib.Path("inference.py").write_text(SCRIPT.format(name))
    with tarfile.open(f"{name}.tar.gz", "w:gz") as tar:
        tar.add("inference.py", "code/inference.py")
run("s3", "cp", "one.tar.gz", f"s3://{BUCKET}/one/model.tar.gz")
pathlib.Path("all").mkdir()
pathlib.Path("two.tar.gz").rename("all/model.tar.gz")
run("s3", "sync", "all", f"s3://{BUCKET}/two")
listed = run("s3", "ls", f"s3://{BUCKET}", "--recursive").split()
assert [word for word in listed if "/" in word] == ["one/model.tar.gz", "two/model.tar.gz"], listed
run("s3", "cp", f"s3://{BUCKET}/one/model.tar.gz", "back.tar.gz")
assert pathlib.Path("back.tar.gz").read_bytes() == pathlib.Path("one.tar.gz").read_bytes()

# Models: in shorthand, and in JSON.
data = f"ModelDataUrl=s3://{BUCKET}/one/model.tar.gz"
created = aws(
    *("create-model", "--model-name", "cli-one", "--execution-role-arn", role, "--tags", "Key=team,Value=churn"),
    *("--primary-container", f"Image={IMAGE},{data},Environment={{OF_THE_MODEL=1,LEVEL=20}}"),
)
definition = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/two/model.tar.gz"}
aws(
    "create-model",
    "--model-name",
    "cli-two",
    "--execution-role-arn",
    role,
    "--primary-container",
    json.dumps(definition),
)
described = aws("describe-model", "--model-name", "cli-one")
assert described["ModelArn"] == created["ModelArn"]
assert described["PrimaryContainer"]["Environment"] == {"OF_THE_MODEL": "1", "LEVEL": "20"}
image = aws("describe-model", "--model-name", "cli-two", "--query", "PrimaryContainer.Image")
assert image == IMAGE

# Configs: in shorthand, and from a file.
aws(
    *("create-endpoint-config", "--endpoint-config-name", "cli-short", "--production-variants"),
    "VariantName=One,ModelName=cli-one,InitialInstanceCount=1,InstanceType=ml.m5.large,InitialVariantWeight=1",
    "VariantName=Two,ModelName=cli-two,InitialInstanceCount=1,InstanceType=ml.m5.large,InitialVariantWeight=0",
)
variants = [
    {
        "VariantName": name.title(),
        "ModelName": f"cli-{name}",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": weight,
    }
    for name, weight in (("one", 1.0), ("two", 0.0))
]
pathlib.Path("config.json").write_text(
    json.dumps({"EndpointConfigName": "cli-file", "ProductionVariants": variants, "Tags": [{"Key": "a", "Value": "b"}]})
)
aws("create-endpoint-config", "--cli-input-json", "file://config.json")
short = aws("describe-endpoint-config", "--endpoint-config-name", "cli-short")
filed = aws("describe-endpoint-config", "--endpoint-config-name", "cli-file")
assert short["ProductionVariants"] == filed["ProductionVariants"] == variants
skeleton = run("sagemaker", "create-endpoint-config", "--generate-cli-skeleton")
assert "ProductionVariants" in json.loads(skeleton)

# An endpoint, from its creation to service.
arn = aws("create-endpoint", "--endpoint-name", "cli", "--endpoint-config-name", "cli-file", "--tags", "Key=k,Value=v")
arn = arn["EndpointArn"]
run("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli")
described = aws("describe-endpoint", "--endpoint-name", "cli")
assert (described["EndpointStatus"], described["EndpointArn"]) == ("InService", arn)
assert [each["CurrentWeight"] for each in described["ProductionVariants"]] == [1.0, 0.0]

# Invocations. The first version of the CLI takes a body as it stands; a file is named as such.
pathlib.Path("rows.csv").write_text("1,2,3\n")
invoke = ("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "cli", "--content-type", "text/csv")
answered = json.loads(run(*invoke, "--body", "fileb://rows.csv", "answer.txt"))
assert (answered["InvokedProductionVariant"], pathlib.Path("answer.txt").read_text()) == ("One", "one")
answered = json.loads(run(*invoke, "--body", "1,2,3", "--target-variant", "Two", "answer.txt"))
assert (answered["InvokedProductionVariant"], pathlib.Path("answer.txt").read_text()) == ("Two", "two")
refused = run(
    "sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "absent", "--body", "1", "answer.txt", status=255
)
assert "(ValidationError) when calling the InvokeEndpoint operation: Endpoint absent of account" in refused, refused

# Weights, and an instance more.
aws(
    *("update-endpoint-weights-and-capacities", "--endpoint-name", "cli", "--desired-weights-and-capacities"),
    *("VariantName=One,DesiredWeight=0,DesiredInstanceCount=2", "VariantName=Two,DesiredWeight=1"),
)
run("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli")
described = aws("describe-endpoint", "--endpoint-name", "cli")
seen = [(each["CurrentWeight"], each["CurrentInstanceCount"]) for each in described["ProductionVariants"]]
assert seen == [(0.0, 2), (1.0, 1)], seen
run(*invoke, "--body", "1,2,3", "answer.txt")
assert pathlib.Path("answer.txt").read_text() == "two"

# Tags.
aws("add-tags", "--resource-arn", arn, "--tags", "Key=stage,Value=prod", "Key=k,Value=w")
assert aws("list-tags", "--resource-arn", arn)["Tags"] == [
    {"Key": "k", "Value": "w"},
    {"Key": "stage", "Value": "prod"},
]
aws("delete-tags", "--resource-arn", arn, "--tag-keys", "k")
assert aws("list-tags", "--resource-arn", arn)["Tags"] == [{"Key": "stage", "Value": "prod"}]

# Lists: pages by the CLI's own words and by the service's, filters, and order.
by_name = ("--sort-by", "Name", "--sort-order", "Ascending")
assert names(aws("list-models", "--name-contains", "cli-", *by_name), "Model") == ["cli-one", "cli-two"]
first = aws("list-endpoint-configs", "--name-contains", "cli-", *by_name, "--max-items", "1")
assert names(first, "EndpointConfig") == ["cli-file"]
rest = aws("list-endpoint-configs", "--name-contains", "cli-", *by_name, "--starting-token", first["NextToken"])
assert names(rest, "EndpointConfig") == ["cli-short"]
page = aws("list-models", "--name-contains", "cli-", *by_name, "--no-paginate", "--max-results", "1")
assert names(page, "Model") == ["cli-one"]
page = aws("list-models", "--name-contains", "cli-", *by_name, "--no-paginate", "--next-token", page["NextToken"])
assert names(page, "Model") == ["cli-two"]
every_page = aws("list-models", "--name-contains", "cli-", *by_name, "--page-size", "1")
assert names(every_page, "Model") == ["cli-one", "cli-two"]


def endpoints(*filters):
    return names(aws("list-endpoints", "--name-contains", "cli", *filters), "Endpoint")


assert endpoints("--status-equals", "InService") == ["cli"]
assert endpoints("--status-equals", "Failed") == []
created_at = str(int(described["CreationTime"]))  # this version of the CLI prints times as they came, in seconds
assert endpoints("--creation-time-before", created_at) == []
assert endpoints("--creation-time-after", "2020-01-01") == ["cli"]

# What is refused, in AWS's words.
refused = run("sagemaker", "describe-endpoint", "--endpoint-name", "absent", status=255)
assert '(ValidationException) when calling the DescribeEndpoint operation: Could not find endpoint "arn:' in refused
refused = run("sagemaker", "describe-model", "--model-name", "absent", status=255)
assert '(ValidationException) when calling the DescribeModel operation: Could not find model "arn:' in refused

# Deletion.
run("sagemaker", "delete-endpoint", "--endpoint-name", "cli")
run("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "cli")
for name in ("short", "file"):
    run("sagemaker", "delete-endpoint-config", "--endpoint-config-name", f"cli-{name}")
for name in ("one", "two"):
    run("sagemaker", "delete-model", "--model-name", f"cli-{name}")
assert names(aws("list-models", "--name-contains", "cli-"), "Model") == []
run("s3", "rb", f"s3://{BUCKET}", "--force")
run("iam", "delete-role", "--role-name", "cli")
