"""Control's edge while keys are needed: through boto3, and by hand where boto3 would not do it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mooring.access.keys import AccessKey
from mooring.access.policies import Policy, policy_of
from mooring.settings import AccessSettings, Settings
from mooring.wire.errors import WireResponse
from mooring.wire.signing import Credentials, signed_headers
from tests.api.serving import Raw, Serving, serving

ADMIN, READER, NOBODY = ("MKIAADMIN", "secret-a"), ("MKIAREADER", "secret-r"), ("MKIANOBODY", "secret-n")


def allowing(*actions: str, resource: str = "*") -> Policy:
    return policy_of({"Statement": {"Effect": "Allow", "Action": list(actions), "Resource": resource}})


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    settings = dataclasses.replace(Settings(), access=AccessSettings(mode="keys"))
    with serving(tmp_path_factory.mktemp("edge") / "state.db", settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _keys(edge: Serving) -> None:
    own_models = "arn:aws:sagemaker:*:*:model/own-*"
    edge.control.keys.hold(
        AccessKey(*ADMIN, "admin", None),
        AccessKey(*READER, "reader", allowing("sagemaker:Describe*", "sqs:*", resource=own_models)),
        AccessKey(*NOBODY, "nobody", allowing("mooring:Read")),
    )


def refused(client: Any, operation: str, **params: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**params)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Message"]


def test_a_good_signature_is_let_in(edge: Serving) -> None:
    assert edge.client(key=ADMIN).list_models()["Models"] == []
    caller = edge.client("sts", key=READER).get_caller_identity()
    assert caller["Arn"] == "arn:aws:sts::000000000000:assumed-role/mooring/reader"


def test_a_wrong_secret_and_an_unknown_key_are_told_as_on_aws(edge: Serving) -> None:
    code, status, message = refused(edge.client(key=("MKIAADMIN", "wrong")), "list_models")
    assert (code, status) == ("InvalidSignatureException", 400)
    assert message.startswith("The request signature we calculated does not match the signature you provided.")
    assert refused(edge.client(key=("AKIDOTHER", "x")), "list_models") == (
        "UnrecognizedClientException",
        400,
        "The security token included in the request is invalid.",
    )


def test_services_in_xml_have_their_own_codes(edge: Serving) -> None:
    sts = edge.client("sts", key=("MKIAADMIN", "wrong"))
    assert refused(sts, "get_caller_identity")[:2] == ("SignatureDoesNotMatch", 403)
    assert refused(edge.client("sns", key=("AKIDOTHER", "x")), "list_topics")[:2] == ("InvalidClientTokenId", 403)


def test_a_policy_is_heard_for_each_operation_and_resource(edge: Serving) -> None:
    reader = edge.client(key=READER)
    assert refused(reader, "describe_model", ModelName="own-1")[0] == "ValidationException"  # it is not there
    code, status, message = refused(reader, "describe_model", ModelName="other")
    assert (code, status) == ("AccessDeniedException", 400)
    assert message == (
        "User: arn:aws:sts::000000000000:assumed-role/mooring/reader is not authorized to perform: "
        "sagemaker:DescribeModel on resource: arn:aws:sagemaker:us-east-1:000000000000:model/other "
        "because no identity-based policy allows the sagemaker:DescribeModel action"
    )
    assert refused(reader, "delete_model", ModelName="own-1")[0] == "AccessDeniedException"
    assert refused(reader, "list_models")[2].endswith(
        "on resource: * because no identity-based policy allows the sagemaker:ListModels action"
    )


def test_who_may_not_is_not_told_what_is_wrong_with_the_call(edge: Serving) -> None:
    code, _, _ = refused(edge.client(key=NOBODY), "create_model", ModelName="not_a_name!", PrimaryContainer={})
    assert code == "AccessDeniedException"


def test_neighbours_are_asked_for_before_they_are_reached(edge: Serving) -> None:
    calls: list[str] = []

    def answer(request: Any) -> WireResponse:
        calls.append(request.path.decode())
        return WireResponse(200, ((b"Content-Type", b"application/x-amz-json-1.0"),), b"{}")

    edge.control.neighbours = answer
    try:
        message = {"QueueUrl": "http://localhost/000000000000/q", "MessageBody": "x"}
        assert refused(edge.client("sqs", key=NOBODY), "send_message", **message)[0] == "AccessDeniedException"
        assert refused(edge.client("sqs", key=READER), "list_queues")[0] == "AccessDeniedException"
        role = {"RoleArn": "arn:aws:iam::000000000000:role/r", "RoleSessionName": "session"}
        assert refused(edge.client("sts", key=READER), "assume_role", **role)[:2] == ("AccessDenied", 403)
        assert calls == []
        edge.client("sqs", key=ADMIN).list_queues()
        assert calls == ["/"]
    finally:
        edge.control.neighbours = None


def test_what_is_not_there_is_not_told_to_strangers(edge: Serving) -> None:
    assert (
        refused(edge.client("ecr", key=("AKIDOTHER", "x")), "describe_repositories")[0] == "UnrecognizedClientException"
    )
    assert refused(edge.client("ecr", key=NOBODY), "describe_repositories")[0] == "UnknownOperationException"


def test_temporary_credentials_open_what_their_key_opens(edge: Serving) -> None:
    role = {"RoleArn": "arn:aws:iam::000000000000:role/service-role/any", "RoleSessionName": "session"}
    assumed = edge.client("sts", key=ADMIN).assume_role(**role, DurationSeconds=900)
    assert assumed["AssumedRoleUser"]["Arn"] == "arn:aws:sts::000000000000:assumed-role/any/session"
    given = assumed["Credentials"]
    left = given["Expiration"] - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=14) < left <= dt.timedelta(minutes=15)
    session = given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
    assert edge.client(key=session).list_models()["Models"] == []
    reader = edge.client("sts", key=READER).get_session_token()["Credentials"]
    narrow = edge.client(key=(reader["AccessKeyId"], reader["SecretAccessKey"], reader["SessionToken"]))
    assert refused(narrow, "list_models")[0] == "AccessDeniedException"
    mixed = edge.client(key=(*session[:2], reader["SessionToken"]))
    assert refused(mixed, "list_models")[0] == "UnrecognizedClientException"
    assert refused(edge.client(key=session[:2]), "list_models")[0] == "UnrecognizedClientException"
    edge.control.keys.hold(AccessKey(*READER, "reader", None))
    assert refused(edge.client(key=session), "list_models")[0] == "UnrecognizedClientException"
    assert narrow.list_models()["Models"] == []  # its key's policy is another one now


def test_a_session_policy_is_not_ignored(edge: Serving) -> None:
    role = {"RoleArn": "arn:aws:iam::000000000000:role/r", "RoleSessionName": "session"}
    sts = edge.client("sts", key=ADMIN)
    assert refused(sts, "assume_role", **role, Policy="{}")[:2] == ("MalformedPolicyDocument", 400)
    assert (
        refused(sts, "assume_role", **{**role, "RoleArn": "arn:aws:iam::000000000000:user/u"})[0] == "ValidationError"
    )


def call(
    edge: Serving, *, service: str = "sagemaker", body: bytes = b"{}", sent: bytes | None = None, **changes: str
) -> Raw:
    headers = signed_headers(
        Credentials(*ADMIN), service, "us-east-1", "POST", f"http://127.0.0.1:{edge.port}/",
        {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"},
        digest=hashlib.sha256(body).hexdigest().encode(),
    )  # fmt: skip
    return edge.raw("POST", "/", {**headers, **changes}, body if sent is None else sent)


def test_a_body_or_target_that_was_changed_on_the_way_is_refused(edge: Serving) -> None:
    assert call(edge).status == 200
    for changed in (call(edge, sent=b'{"MaxResults":1}'), call(edge, **{"X-Amz-Target": "SageMaker.ListEndpoints"})):
        assert (changed.status, changed.json["__type"]) == (400, "InvalidSignatureException")


def test_a_credential_of_another_service_does_not_open_this_one(edge: Serving) -> None:
    answer = call(edge, service="sqs")
    assert answer.json == {
        "__type": "InvalidSignatureException",
        "message": "Credential should be scoped to correct service: 'sagemaker'. ",
    }


def test_an_unsigned_call_is_told_what_it_lacks(edge: Serving) -> None:
    answer = edge.raw("POST", "/", {"X-Amz-Target": "SageMaker.ListModels"}, b"{}")
    assert (answer.status, answer.json) == (
        400,
        {"__type": "MissingAuthenticationTokenException", "message": "Missing Authentication Token"},
    )


def admin(edge: Serving, key: tuple[str, str] | None, method: str, page: str, document: Any = None) -> Raw:
    url = f"http://127.0.0.1:{edge.port}/-/mooring/v1/{page}"
    body = b"" if document is None else json.dumps(document).encode()
    headers = {"X-Mooring-Client": "test"}
    if key is not None:
        digest = hashlib.sha256(body).hexdigest().encode()
        headers = signed_headers(Credentials(*key), "mooring", "us-east-1", method, url, headers, digest)
    return edge.raw(method, f"/-/mooring/v1/{page}", headers, body)


def test_the_admin_api_is_for_keys_too(edge: Serving) -> None:
    assert admin(edge, None, "GET", "status").status == 403
    assert admin(edge, ("MKIAADMIN", "wrong"), "GET", "status").status == 403
    assert admin(edge, READER, "GET", "status").status == 403
    assert admin(edge, NOBODY, "GET", "status").status == 200
    assert admin(edge, NOBODY, "POST", "stop").status == 403
    assert "mooring:Write on resource: arn:aws:mooring:" in admin(edge, NOBODY, "POST", "keys").json["message"]
    assert edge.stops == []


def test_a_page_is_of_the_region_that_it_names(edge: Serving) -> None:
    here = "arn:aws:mooring:us-east-1:*:endpoints/*"
    edge.control.keys.hold(AccessKey(*NOBODY, "nobody", allowing("mooring:*", resource=here)))
    assert admin(edge, NOBODY, "GET", "endpoints/e/events?region=us-east-1").status == 200
    assert admin(edge, NOBODY, "GET", "endpoints/e/events?region=eu-west-1").status == 403
    assert admin(edge, NOBODY, "DELETE", "endpoints/e?region=eu-west-1").status == 403


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b'{"policy":' + b"[" * 50_000, b"\xff"])
def test_a_key_of_no_document_is_refused(edge: Serving, body: bytes) -> None:
    url, digest = f"http://127.0.0.1:{edge.port}/-/mooring/v1/keys", hashlib.sha256(body).hexdigest().encode()
    headers = {"X-Mooring-Client": "test"}
    headers = signed_headers(Credentials(*ADMIN), "mooring", "us-east-1", "POST", url, headers, digest)
    assert edge.raw("POST", "/-/mooring/v1/keys", headers, body).status == 400


@pytest.mark.parametrize("query", ["", "?region=eu-west-1", "?region=cn-north-1"])
def test_a_page_of_the_whole_server_has_one_name(edge: Serving, query: str) -> None:
    statements = [
        {"Effect": "Allow", "Action": "mooring:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "mooring:*", "Resource": "arn:aws:mooring:us-east-1:*:keys*"},
    ]
    edge.control.keys.hold(AccessKey(*NOBODY, "nobody", policy_of({"Statement": statements})))
    assert admin(edge, NOBODY, "GET", f"status{query}").status == 200
    for page in (f"keys{query}", f"%6beys{query}"):
        assert admin(edge, NOBODY, "GET", page).status == 403
    assert admin(edge, NOBODY, "DELETE", f"keys/MKIAADMIN{query}").status == 403


def test_a_queue_is_the_one_of_the_path_and_of_the_call(edge: Serving) -> None:
    mine = "arn:aws:sqs:*:*:mine"
    edge.control.keys.hold(AccessKey(*NOBODY, "nobody", allowing("sqs:*", resource=mine)))
    reached: list[bytes] = []

    def answer(request: Any) -> WireResponse:
        reached.append(request.path)
        return WireResponse(200, (), b"{}")

    def ask(path: str, body: bytes, **headers: str) -> int:
        credentials, url = Credentials(*NOBODY), f"http://127.0.0.1:{edge.port}{path}"
        digest = hashlib.sha256(body).hexdigest().encode()
        made = signed_headers(credentials, "sqs", "us-east-1", "POST", url, headers, digest)
        return edge.raw("POST", path, made, body).status

    edge.control.neighbours = answer
    try:
        json_call = {"X-Amz-Target": "AmazonSQS.GetQueueAttributes", "Content-Type": "application/x-amz-json-1.0"}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert ask("/000000000000/mine", b"{}", **json_call) == 200
        assert ask("/000000000000/mine", b"Action=GetQueueAttributes&Version=2012-11-05", **form) == 200
        for path, body, headers in (
            ("/000000000000/other", b"{}", json_call),
            ("/000000000000/other", b'{"QueueUrl": "http://x/0/mine"}', json_call),
            ("/000000000000/mine", b'{"QueueUrl": "http://x/0/other"}', json_call),
            ("/", b'{"QueueUrl": 1}', json_call),
            ("/", b"[]", json_call),
            ("/", b"{", json_call),
            ("/000000000000/other", b"Action=SendMessage&Version=2012-11-05", form),
            ("/", b"Action=SendMessage&Version=2012-11-05&QueueUrl=http://x/0/mine&QueueUrl=http://x/0/other", form),
            ("/", b"Action=SendMessage&Version=2012-11-05&a=1&a.member.1=2", form),
        ):
            assert ask(path, body, **headers) in (400, 403), body
        assert len(reached) == 2
    finally:
        edge.control.neighbours = None


def test_keys_are_made_listed_and_revoked(edge: Serving) -> None:
    policy = {"Statement": {"Effect": "Allow", "Action": "sagemaker:ListModels", "Resource": "*"}}
    made = admin(edge, ADMIN, "POST", "keys", {"name": "new", "policy": policy}).json
    key = made["access_key_id"], made["secret_access_key"]
    assert edge.client(key=key).list_models()["Models"] == []
    assert "new" in [each["name"] for each in admin(edge, ADMIN, "GET", "keys").json["keys"]]
    assert admin(edge, ADMIN, "DELETE", f"keys/{key[0]}").status == 200
    assert refused(edge.client(key=key), "list_models")[0] == "UnrecognizedClientException"
    assert admin(edge, ADMIN, "DELETE", f"keys/{key[0]}").status == 404


@pytest.mark.parametrize(
    "document", [[], {"name": 3}, {"policy": "x"}, {"secret": "x"}, {"policy": {"Statement": [{"Effect": "Allow"}]}}]
)
def test_a_key_that_cannot_be_is_refused(edge: Serving, document: Any) -> None:
    assert admin(edge, ADMIN, "POST", "keys", document).status == 400
