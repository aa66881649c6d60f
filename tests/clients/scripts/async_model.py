"""An asynchronous endpoint as the SDK's guide has it: AsyncPredictor in its two ways, a failure, scaling to zero."""

import pathlib
import tarfile

import boto3
import sagemaker
from sagemaker.async_inference import AsyncInferenceConfig, WaiterConfig
from sagemaker.deserializers import JSONDeserializer
from sagemaker.exceptions import AsyncInferenceModelError
from sagemaker.predictor_async import AsyncPredictor
from sagemaker.serializers import JSONSerializer
from sagemaker.sklearn import SKLearnModel

pathlib.Path("inference.py").write_text(
    "import json\n"
    "def model_fn(model_dir): return None\n"
    "def input_fn(body, content_type):\n"
    "    assert content_type == 'application/json', content_type\n"
    "    return json.loads(body)\n"
    "def predict_fn(data, model): return 1 / data['divisor']\n"
    "def output_fn(result, accept): return json.dumps({'result': result}), 'application/json'\n"
)
pathlib.Path("model").write_text("nothing")
with tarfile.open("model.tar.gz", "w:gz") as tar:
    tar.add("model")
session = sagemaker.Session()
model = SKLearnModel(
    model_data=session.upload_data("model.tar.gz", key_prefix="asynchronous"),
    role=sagemaker.get_execution_role(),
    entry_point="inference.py",
    framework_version="1.2-1",
)
plain = model.deploy(
    initial_instance_count=1,
    instance_type="ml.m5.large",
    serializer=JSONSerializer(),
    deserializer=JSONDeserializer(),
    async_inference_config=AsyncInferenceConfig(max_concurrent_invocations_per_instance=2),
)
assert isinstance(plain, AsyncPredictor), plain
# The SDK looks for the output in one thread and for the failure in another, which ends when its attempts are over.
quickly = WaiterConfig(max_attempts=60, delay=0.5)
assert plain.predict({"divisor": 4}, waiter_config=quickly) == {"result": 0.25}

answer = plain.predict_async({"divisor": 2})
assert answer.output_path.startswith("s3://"), answer.output_path
assert answer.failure_path.startswith("s3://"), answer.failure_path
assert answer.get_result(quickly) == {"result": 0.5}

bucket = session.default_bucket()
boto3.client("s3").put_object(
    Bucket=bucket, Key="asynchronous/eight.json", Body=b'{"divisor": 8}', ContentType="application/json"
)
location = f"s3://{bucket}/asynchronous/eight.json"
assert plain.predict_async(input_path=location).get_result(quickly) == {"result": 0.125}

failing = plain.predict_async({"divisor": 0})
try:
    failing.get_result(quickly)
except (AsyncInferenceModelError, ValueError) as error:  # its JSON deserializer reads what the container wrote
    assert error
else:
    raise AssertionError("a model that raises has a result")

name = plain.endpoint_name
scaling = boto3.client("application-autoscaling")
of = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": f"endpoint/{name}/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
scaling.register_scalable_target(**of, MinCapacity=0, MaxCapacity=2)
scaling.put_scaling_policy(
    **of,
    PolicyName="backlog",
    PolicyType="TargetTrackingScaling",
    TargetTrackingScalingPolicyConfiguration={
        "TargetValue": 5.0,
        "CustomizedMetricSpecification": {
            "MetricName": "ApproximateBacklogSizePerInstance",
            "Namespace": "AWS/SageMaker",
            "Dimensions": [{"Name": "EndpointName", "Value": name}],
            "Statistic": "Average",
        },
        "ScaleInCooldown": 300,
        "ScaleOutCooldown": 300,
    },
)
step = scaling.put_scaling_policy(
    **of,
    PolicyName="from-zero",
    PolicyType="StepScaling",
    StepScalingPolicyConfiguration={
        "AdjustmentType": "ChangeInCapacity",
        "MetricAggregationType": "Average",
        "Cooldown": 1,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
    },
)
boto3.client("cloudwatch").put_metric_alarm(
    AlarmName=f"from-zero-{name}",
    MetricName="HasBacklogWithoutCapacity",
    Namespace="AWS/SageMaker",
    Statistic="Average",
    EvaluationPeriods=1,
    DatapointsToAlarm=1,
    Threshold=1,
    ComparisonOperator="GreaterThanOrEqualToThreshold",
    TreatMissingData="missing",
    Dimensions=[{"Name": "EndpointName", "Value": name}],
    Period=10,
    AlarmActions=[step["PolicyARN"]],
)
sagemaker_client = boto3.client("sagemaker")
in_service = sagemaker_client.get_waiter("endpoint_in_service")
sagemaker_client.update_endpoint_weights_and_capacities(
    EndpointName=name, DesiredWeightsAndCapacities=[{"VariantName": "AllTraffic", "DesiredInstanceCount": 0}]
)
in_service.wait(EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
assert sagemaker_client.describe_endpoint(EndpointName=name)["ProductionVariants"][0]["CurrentInstanceCount"] == 0
waiting = plain.predict_async({"divisor": 5})
assert waiting.get_result(quickly) == {"result": 0.2}
activities = scaling.describe_scaling_activities(ServiceNamespace="sagemaker", ResourceId=of["ResourceId"])
assert any("from-zero" in each["Cause"] for each in activities["ScalingActivities"]), activities

scaling.deregister_scalable_target(**of)
plain.delete_endpoint()
