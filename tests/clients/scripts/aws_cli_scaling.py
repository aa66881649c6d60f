"""The AWS CLI: a variant registered, scaled by its bounds, by a step policy and by a schedule, and deregistered."""

import json
import pathlib
import subprocess
import sys
import tarfile
import time

AWS = pathlib.Path(sys.executable).with_name("aws")
IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
SCRIPT = "def model_fn(d): return 1\ndef transform_fn(model, body, content_type, accept): return 'x', 'text/csv'\n"
BUCKET = "scaled-with-the-aws-cli"
ROLE = "arn:aws:iam::000000000000:role/Any"
NAMESPACE = ("--service-namespace", "sagemaker")
RESOURCE = "endpoint/cli-scaled/variant/v"
ON = (
    *NAMESPACE,
    *("--resource-id", RESOURCE),
    *("--scalable-dimension", "sagemaker:variant:DesiredInstanceCount"),
)


def run(*arguments, status=0):
    done = subprocess.run([AWS, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if status == 0 else done.stderr


def scaling(*arguments):
    """What a command of Application Auto Scaling's prints, read."""
    printed = run("application-autoscaling", *arguments)
    return json.loads(printed) if printed.strip() else None


def wait_for(count):
    deadline = time.monotonic() + 60
    while True:
        found = json.loads(run("sagemaker", "describe-endpoint", "--endpoint-name", "cli-scaled"))
        if found["ProductionVariants"][0]["CurrentInstanceCount"] == count:
            return
        assert time.monotonic() < deadline, scaling("describe-scaling-activities", *NAMESPACE)
        time.sleep(0.2)


run("s3", "mb", f"s3://{BUCKET}")
pathlib.Path("inference.py").write_text(SCRIPT)
with tarfile.open("model.tar.gz", "w:gz") as tar:
    tar.add("inference.py", "code/inference.py")
run("s3", "cp", "model.tar.gz", f"s3://{BUCKET}/model.tar.gz")
data = f"Image={IMAGE},ModelDataUrl=s3://{BUCKET}/model.tar.gz"
run(
    "sagemaker", "create-model", "--model-name", "cli-scaled", "--execution-role-arn", ROLE, "--primary-container", data
)
variant = "VariantName=v,ModelName=cli-scaled,InstanceType=ml.m5.large,InitialInstanceCount=1"
config = ("create-endpoint-config", "--endpoint-config-name", "cli-scaled", "--production-variants", variant)
run("sagemaker", *config)
run("sagemaker", "create-endpoint", "--endpoint-name", "cli-scaled", "--endpoint-config-name", "cli-scaled")
run("sagemaker", "wait", "endpoint-in-service", "--endpoint-name", "cli-scaled")

bounds = ("--min-capacity", "2", "--max-capacity", "3")
arn = scaling("register-scalable-target", *ON, *bounds, "--tags", "team=blue")["ScalableTargetARN"]
wait_for(2)
assert scaling("list-tags-for-resource", "--resource-arn", arn)["Tags"] == {"team": "blue"}
(target,) = scaling("describe-scalable-targets", *NAMESPACE)["ScalableTargets"]
assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 3)

tracking = {
    "TargetValue": 100.0,
    "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
pathlib.Path("tracking.json").write_text(json.dumps(tracking))
put = ("put-scaling-policy", *ON, "--policy-name", "calls", "--policy-type", "TargetTrackingScaling")
made = scaling(*put, "--target-tracking-scaling-policy-configuration", "file://tracking.json")
alarms = [each["AlarmName"] for each in made["Alarms"]]
assert len(alarms) == 2
assert len(json.loads(run("cloudwatch", "describe-alarms", "--alarm-names", *alarms))["MetricAlarms"]) == 2

steps = "AdjustmentType=ExactCapacity,StepAdjustments=[{MetricIntervalLowerBound=0,ScalingAdjustment=3}],Cooldown=0"
put = ("put-scaling-policy", *ON, "--policy-name", "out", "--policy-type", "StepScaling")
policy = scaling(*put, "--step-scaling-policy-configuration", steps)["PolicyARN"]
run(
    *("cloudwatch", "put-metric-alarm", "--alarm-name", "cli-high", "--namespace", "T", "--metric-name", "m"),
    *("--statistic", "Sum", "--period", "60", "--evaluation-periods", "1", "--threshold", "1"),
    *("--comparison-operator", "GreaterThanThreshold", "--alarm-actions", policy),
)
state = ("--alarm-name", "cli-high", "--state-value", "ALARM", "--state-reason", "a try")
run("cloudwatch", "set-alarm-state", *state)
wait_for(3)
listed = scaling("describe-scaling-policies", *NAMESPACE, "--policy-names", "out")["ScalingPolicies"]
assert [each["AlarmName"] for each in listed[0]["Alarms"]] == ["cli-high"]
scaling("delete-scaling-policy", *ON, "--policy-name", "out")

action = ("put-scheduled-action", *ON, "--scheduled-action-name", "nightly", "--schedule", "cron(0 2 * * ? *)")
scaling(*action, "--scalable-target-action", "MinCapacity=1,MaxCapacity=1", "--timezone", "Europe/Berlin")
(found,) = scaling("describe-scheduled-actions", *NAMESPACE)["ScheduledActions"]
assert found["ScalableTargetAction"] == {"MinCapacity": 1, "MaxCapacity": 1}
scaling("delete-scheduled-action", *ON, "--scheduled-action-name", "nightly")

paged = ("--page-size", "1", "--include-not-scaled-activities")
activities = scaling("describe-scaling-activities", *NAMESPACE, *paged)["ScalingActivities"]
mine = [each for each in activities if each["ResourceId"] == RESOURCE]  # others may use the server too
causes = [each["Cause"] for each in mine if "NotScaledReasons" not in each]
assert causes == ["monitor alarm cli-high in state ALARM triggered policy out", "minimum capacity was set to 2"], causes
scaling("deregister-scalable-target", *ON)
assert "ObjectNotFoundException" in run("application-autoscaling", "deregister-scalable-target", *ON, status=255)
run("cloudwatch", "delete-alarms", "--alarm-names", "cli-high")
run("sagemaker", "delete-endpoint", "--endpoint-name", "cli-scaled")
run("sagemaker", "wait", "endpoint-deleted", "--endpoint-name", "cli-scaled")
run("s3", "rb", f"s3://{BUCKET}", "--force")
