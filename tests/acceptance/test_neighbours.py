"""IAM, SNS, SQS, Logs, CloudWatch and STS on Mooring's URL, as unmodified boto3 sees them; and what survives."""

from __future__ import annotations

import http.client
import http.server
import itertools
import json
import os
import re
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import boto3
import pytest
from botocore.exceptions import ClientError

from mooring.processes.identity import of
from tests.acceptance.running import IMAGE, Deployment, Server, wait_until

pytestmark = pytest.mark.timeout(120)
ACCOUNT = "000000000000"
TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
POLICY = json.dumps(
    {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}
)
ALARM = {
    "MetricName": "Invocations",
    "Namespace": "AWS/SageMaker",
    "Statistic": "Sum",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    return f"n{next(_numbers)}"


def code(call: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


def answer_of(server: Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


# What answers


def test_roles_and_policies(shared: Deployment, name: str) -> None:
    iam = shared.server.client("iam")
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, Path="/service-role/")["Role"]
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/service-role/{name}"
    iam.attach_role_policy(RoleName=name, PolicyArn="arn:aws:iam::aws:policy/AmazonSageMakerFullAccess")
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=POLICY)
    assert iam.get_role(RoleName=name)["Role"] == made
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [policy["PolicyName"] for policy in attached] == ["AmazonSageMakerFullAccess"]
    assert iam.list_role_policies(RoleName=name)["PolicyNames"] == ["own"]
    assert code(lambda: iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)) == "EntityAlreadyExists"
    assert code(lambda: iam.get_role(RoleName="nobody")) == "NoSuchEntity"


def test_the_callers_role_is_one_that_iam_knows(shared: Deployment, name: str) -> None:
    """What `get_execution_role` of the SageMaker SDK does: a session's ARN, its role, the role's ARN."""
    sts, iam = shared.server.client("sts"), shared.server.client("iam")
    identity = sts.get_caller_identity()
    session = re.sub(r"^(.+)sts::(\d+):assumed-role/(.+?)/.*$", r"\1iam::\2:role/\3", identity["Arn"])
    role = iam.get_role(RoleName=session[session.rfind("/") + 1 :])["Role"]
    assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/mooring"
    assert identity["UserId"] == f"{role['RoleId']}:session"
    shared.sagemaker.create_model(ModelName=name, ExecutionRoleArn=role["Arn"], PrimaryContainer={"Image": IMAGE})
    china = shared.server.client("sts", region="cn-north-1").get_caller_identity()["Arn"]
    assert china == f"arn:aws-cn:sts::{ACCOUNT}:assumed-role/mooring/session"
    found = shared.server.client("iam", region="cn-north-1").get_role(RoleName="mooring")["Role"]
    assert found["Arn"] == f"arn:aws-cn:iam::{ACCOUNT}:role/mooring"


def test_a_role_is_assumed(shared: Deployment) -> None:
    sts = shared.server.client("sts")
    arn = "arn:aws:iam::123456789012:role/service-role/Anything"
    assumed = sts.assume_role(RoleArn=arn, RoleSessionName="me", DurationSeconds=900)
    assert assumed["AssumedRoleUser"]["Arn"] == "arn:aws:sts::123456789012:assumed-role/Anything/me"
    keys = assumed["Credentials"]
    client = boto3.client(
        "sagemaker",
        endpoint_url=shared.server.url,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    assert "Models" in client.list_models()
    assert "AccessKeyId" in sts.get_session_token()["Credentials"]
    assert code(lambda: sts.assume_role(RoleArn="arn:aws:iam::1:role/short", RoleSessionName="me")) == "ValidationError"


def test_a_topic_delivers_to_a_queue(shared: Deployment, name: str) -> None:
    sns, sqs = shared.server.client("sns"), shared.server.client("sqs")
    queue = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
    assert queue == f"{shared.server.url}/{ACCOUNT}/{name}"
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=name)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:gone")
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"{arn}-gone")
    sent = sns.publish(TopicArn=topic, Message="done", Subject="job")["MessageId"]
    [message] = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    notification = json.loads(message["Body"])
    assert (notification["Message"], notification["MessageId"]) == ("done", sent), "who is not there fails nobody"
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_a_receiver_waits_and_holds_up_nobody(shared: Deployment, name: str) -> None:
    sqs = shared.server.client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    received: list[Any] = []

    def receive() -> None:
        received.extend(shared.server.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"])

    receivers = [threading.Thread(target=receive) for _ in range(3)]
    for receiver in receivers:
        receiver.start()
    for number in range(3):
        sqs.send_message(QueueUrl=queue, MessageBody=str(number))
        assert sqs.list_queues(QueueNamePrefix=name)["QueueUrls"] == [queue]
    for receiver in receivers:
        receiver.join(timeout=15)
        assert not receiver.is_alive()
    assert sorted(message["Body"] for message in received) == ["0", "1", "2"]


def test_a_message_is_not_a_call(shared: Deployment, name: str) -> None:
    sqs = shared.server.client("sqs")
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    body = "x&Action=DeleteQueue&y=1"
    sqs.send_message(QueueUrl=queue, MessageBody=body)
    assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == body


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("in_path", [True, False])
def test_queues_in_the_query_protocol(shared: Deployment, name: str, signed: bool, in_path: bool) -> None:
    """As older SDKs speak it, at a queue's own path."""
    headers = {"Content_Type": "application/x-www-form-urlencoded; charset=utf-8"}
    if signed:
        scope = "AKIA/20260101/us-east-1/sqs/aws4_request"
        headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"

    def call(path: str, **members: str) -> ET.Element:
        status, body = answer_of(
            shared.server, "POST", path, urlencode({"Version": "2012-11-05", **members}).encode(), **headers
        )
        assert status == 200, body
        return ET.fromstring(re.sub(rb' xmlns="[^"]*"', b"", body))

    url = call("/", Action="CreateQueue", QueueName=name).findtext("CreateQueueResult/QueueUrl")
    assert url == f"{shared.server.url}/{ACCOUNT}/{name}"
    path, where = (urlsplit(url).path, {}) if in_path else ("/", {"QueueUrl": url})
    call(path, Action="SendMessage", MessageBody="a & b", **where)
    received = call(path, Action="ReceiveMessage", **where)
    assert received.findtext("ReceiveMessageResult/Message/Body") == "a & b"
    call(path, Action="DeleteQueue", **where)
    assert "QueueUrls" not in shared.server.client("sqs").list_queues(QueueNamePrefix=name)


def test_logs(shared: Deployment, name: str) -> None:
    logs = shared.server.client("logs")
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(logGroupName=name, logStreamName="s")
    now = int(time.time() * 1000)
    logs.put_log_events(logGroupName=name, logStreamName="s", logEvents=[{"timestamp": now, "message": "hello"}])
    events = logs.get_log_events(logGroupName=name, logStreamName="s")["events"]
    assert [(event["timestamp"], event["message"]) for event in events] == [(now, "hello")]
    assert code(lambda: logs.create_log_group(logGroupName=name)) == "ResourceAlreadyExistsException"


@pytest.mark.parametrize("protocol", ["json", "smithy-rpc-v2-cbor", "query"])
def test_alarms_and_metrics(shared: Deployment, name: str, protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.model.PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", (protocol,))
    cloudwatch = shared.server.client("cloudwatch")
    assert cloudwatch.meta.service_model.resolved_protocol == protocol
    began = time.time()
    cloudwatch.put_metric_alarm(AlarmName=name, **ALARM)
    [alarm] = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
    assert {key: alarm[key] for key in ALARM} == ALARM
    assert alarm["AlarmArn"] == f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:{name}"
    updated = alarm["AlarmConfigurationUpdatedTimestamp"].timestamp()
    assert began - 1 <= updated <= time.time() + 1, "the same time in every protocol"
    data = [{"MetricName": f"m{n % 3}", "Value": float(n), "Unit": "Count"} for n in range(300)]
    cloudwatch.put_metric_data(Namespace=name, MetricData=data)  # large enough for SDKs to pack it
    found = cloudwatch.list_metrics(Namespace=name)["Metrics"]
    assert {metric["MetricName"] for metric in found} == {"m0", "m1", "m2"}
    failed = code(lambda: cloudwatch.get_dashboard(DashboardName="nothing"))
    assert failed == "ResourceNotFound"


def test_what_moto_does_not_have(shared: Deployment) -> None:
    with pytest.raises(
        ClientError, match="Mooring does not implement the operation .*AWS_ENDPOINT_URL_SNS "
    ) as refused:
        shared.server.client("sns").list_origination_numbers()
    assert refused.value.response["Error"]["Code"] == "InvalidAction"
    with pytest.raises(ClientError, match=r"\(UnknownOperationException\).*AWS_ENDPOINT_URL_CLOUDWATCH_LOGS "):
        shared.server.client("logs").list_anomalies()


def test_motos_own_pages_are_not_there(shared: Deployment, name: str) -> None:
    shared.server.client("sns").create_topic(Name=name)
    for service in ("sns", "iam", "monitoring"):
        scope = f"AKIA/20260101/us-east-1/{service}/aws4_request"
        signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
        for method, path in (("POST", "/moto-api/reset"), ("GET", "/moto-api/data.json"), ("GET", "/moto-api/")):
            status, body = answer_of(shared.server, method, path, **signed)
            assert (status, b"Could not find Action" in body) == (400, True)
    topics = shared.server.client("sns").list_topics()["Topics"]
    assert any(topic["TopicArn"].endswith(f":{name}") for topic in topics)


def test_a_notification_goes_to_a_program_on_this_machine(shared: Deployment, name: str) -> None:
    taken: list[dict[str, Any]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    hook = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=hook.serve_forever)
    thread.start()
    try:
        sns = shared.server.client("sns")
        topic = sns.create_topic(Name=name)["TopicArn"]
        for endpoint in (f"http://127.0.0.1:{hook.server_port}/", "http://192.0.2.1/"):
            sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint)
        sns.publish(TopicArn=topic, Message="hello")
        wait_until(lambda: bool(taken), what="the notification")
        assert taken[0]["Message"] == "hello"
        wait_until(lambda: "no notification to 'http://192.0.2.1/'" in shared.server.log.read_text())
    finally:
        hook.shutdown()
        thread.join()
        hook.server_close()


# Regions and accounts


def test_regions_are_kept_apart_and_the_account_is_one_setting(make_server: Callable[..., Server]) -> None:
    server = make_server(MOORING_ACCOUNT_ID="123456789012", MOORING_ACCOUNT_ROLE="Executor").start()
    regions = ("eu-west-1", "us-east-1")
    identity = server.client("sts").get_caller_identity()
    assert "neighbours" not in [each["name"] for each in server.status()["processes"]], "nobody has called them"
    assert not (server.data / "neighbours.journal").exists()
    for region in regions:
        sagemaker = server.client("sagemaker", region=region)
        arn = sagemaker.create_model(
            ModelName="same",
            ExecutionRoleArn="arn:aws-us-gov:iam::999999999999:role/service-role/Any.One+=,@-_",
            PrimaryContainer={"Image": IMAGE, "Environment": {"WHERE": region}},
        )["ModelArn"]
        assert arn == f"arn:aws:sagemaker:{region}:123456789012:model/same"
        sqs, logs = server.client("sqs", region=region), server.client("logs", region=region)
        sqs.create_queue(QueueName="same", tags={"where": region})
        logs.create_log_group(logGroupName="same", tags={"where": region})
    server.client("sagemaker", region="eu-west-1").delete_model(ModelName="same")
    server.client("logs", region="eu-west-1").delete_log_group(logGroupName="same")
    there = server.client("sagemaker", region="us-east-1").describe_model(ModelName="same")
    assert there["PrimaryContainer"]["Environment"] == {"WHERE": "us-east-1"}
    assert server.client("sagemaker", region="eu-west-1").list_models()["Models"] == []
    assert server.client("logs", region="eu-west-1").describe_log_groups()["logGroups"] == []
    [group] = server.client("logs").describe_log_groups()["logGroups"]
    assert group["logGroupArn"] == "arn:aws:logs:us-east-1:123456789012:log-group:same"
    for region in regions:
        sqs = server.client("sqs", region=region)
        queue = sqs.get_queue_url(QueueName="same")["QueueUrl"]
        assert queue == f"{server.url}/123456789012/same"
        assert sqs.list_queue_tags(QueueUrl=queue)["Tags"] == {"where": region}
    assert (identity["Account"], identity["Arn"]) == (
        "123456789012",
        "arn:aws:sts::123456789012:assumed-role/Executor/session",
    )
    assert server.client("iam").get_role(RoleName="Executor")["Role"]["Arn"] == (
        "arn:aws:iam::123456789012:role/Executor"
    )


@pytest.mark.parametrize(
    "arn", ["arn:aws:iam::1234:role/too-short-an-account", "arn:aws:iam::123456789012:user/somebody"]
)
def test_a_role_that_is_none(shared: Deployment, name: str, arn: str) -> None:
    with pytest.raises(ClientError) as refused:
        shared.sagemaker.create_model(ModelName=name, ExecutionRoleArn=arn, PrimaryContainer={"Image": IMAGE})
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"] == (
        f"1 validation error detected: Value '{arn}' at 'executionRoleArn' failed to satisfy constraint: Member must "
        r"satisfy regular expression pattern: arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
    )


# What survives


class Home:
    """A server whose neighbours are killed and whose journal is broken; each test leaves it in order."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.journal = server.data / "neighbours.journal"
        self._clients: dict[tuple[str, str, int], Any] = {}

    def client(self, service: str, retries: int = 0) -> Any:
        key = self.server.url, service, retries
        if key not in self._clients:
            self._clients[key] = self.server.client(service, retries=retries)
        return self._clients[key]

    def kill_neighbours(self) -> int:
        pid = self.server.process("neighbours")
        identity = of(pid)
        assert identity is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not identity.alive(), what="the neighbours to be dead")
        return pid

    def make_everything(self) -> None:
        iam, sns, sqs, logs = (self.client(service) for service in ("iam", "sns", "sqs", "logs"))
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "k", "Value": "ü&="}])
        iam.create_user(UserName="u")
        iam.create_access_key(UserName="u")
        iam.create_policy(PolicyName="p", PolicyDocument=POLICY)
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        sqs.create_queue(QueueName="gone")
        sqs.delete_queue(QueueUrl=queue.replace("/q", "/gone"))
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "7"})
        topic = sns.create_topic(Name="t")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:{ACCOUNT}:q")
        sns.publish(TopicArn=topic, Message="once")
        logs.create_log_group(logGroupName="g")
        logs.create_log_stream(logGroupName="g", logStreamName="s")
        metric = {"metricName": "m", "metricNamespace": "n", "metricValue": "1"}
        logs.put_metric_filter(logGroupName="g", filterName="f", filterPattern="x", metricTransformations=[metric])
        self.client("cloudwatch").put_metric_alarm(AlarmName="a", **ALARM)

    def everything(self) -> dict[str, Any]:
        """All that was made, as clients are told it, with ids and times; without the server's address."""
        iam, sns, sqs, logs = (self.client(service) for service in ("iam", "sns", "sqs", "logs"))
        queue = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        lasting = ["CreatedTimestamp", "LastModifiedTimestamp", "VisibilityTimeout", "QueueArn"]
        return {
            "roles": iam.list_roles()["Roles"],
            "users": iam.list_users()["Users"],
            "keys": iam.list_access_keys(UserName="u")["AccessKeyMetadata"],
            "policies": iam.list_policies(Scope="Local")["Policies"],
            "topics": sns.list_topics()["Topics"],
            "subscriptions": sns.list_subscriptions()["Subscriptions"],
            "queues": [urlsplit(url).path for url in sqs.list_queues()["QueueUrls"]],
            "queue": sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=lasting)["Attributes"],
            "groups": logs.describe_log_groups()["logGroups"],
            "streams": logs.describe_log_streams(logGroupName="g")["logStreams"],
            "filters": logs.describe_metric_filters()["metricFilters"],
            "alarms": self.client("cloudwatch").describe_alarms()["MetricAlarms"],
        }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    server = Server(tmp_path_factory.mktemp("home") / "data")
    try:
        found = Home(server.start())
        found.make_everything()
        yield found
    finally:
        server.end()


def test_resources_survive_and_messages_do_not(home: Home) -> None:
    before = home.everything()
    queue = home.client("sqs").get_queue_url(QueueName="q")["QueueUrl"]
    [message] = home.client("sqs").receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"]
    assert json.loads(message["Body"])["Message"] == "once"
    home.kill_neighbours()
    whole = home.journal.read_bytes()
    home.journal.write_bytes(whole + whole[-200:-1])  # as if it had been killed amid a write
    assert home.everything() == before
    assert "Messages" not in home.client("sqs").receive_message(QueueUrl=queue), "nothing was sent again"
    assert home.journal.read_bytes() == whole
    assert "was not written whole" in home.server.log.read_text()
    assert b"Signature" not in whole


def test_control_takes_them_with_it_and_they_come_back(home: Home) -> None:
    before = home.everything()
    neighbours, control = home.server.process("neighbours"), home.server.process("control")
    identity = of(neighbours)
    assert identity is not None
    os.kill(control, signal.SIGKILL)
    wait_until(lambda: not identity.alive(), what="the neighbours to follow control")
    assert home.everything() == before
    assert home.server.process("neighbours") != neighbours


def test_what_cannot_be_written_is_not_acknowledged(home: Home) -> None:
    iam, retrying = home.client("iam"), home.client("iam", retries=4)
    iam.list_roles()
    size, pid = home.journal.stat().st_size, home.server.process("neighbours")
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 10, resource.RLIM_INFINITY))
    assert code(lambda: iam.create_role(RoleName="x", AssumeRolePolicyDocument=TRUST)) == "ServiceUnavailable"
    assert code(lambda: retrying.get_role(RoleName="x")) == "NoSuchEntity", "what was not kept is nowhere"
    assert home.journal.stat().st_size == size
    retrying.create_role(RoleName="kept", AssumeRolePolicyDocument=TRUST)
    assert home.server.process("neighbours") != pid


def test_a_damaged_journal_is_told_to_who_calls_and_the_next_server_has_everything(home: Home) -> None:
    before = home.everything()
    assert home.server.stop() == 0
    assert not home.server.survivors()
    whole = home.journal.read_bytes()
    home.journal.write_bytes(whole.replace(b"CreateRole", b"DeleteRole", 1))
    home.server.start()
    with pytest.raises(ClientError, match=r"neighbours.journal is damaged at byte 0, .* move it away"):
        home.client("iam").list_roles()
    home.client("sts").get_caller_identity()
    assert home.client("sagemaker").list_models()["Models"] == []
    home.journal.write_bytes(whole)
    wait_until(lambda: _answers(home), what="the neighbours to be back")
    assert home.everything() == before


def _answers(home: Home) -> bool:
    try:
        home.client("iam").list_users()
    except ClientError:
        return False
    return True
