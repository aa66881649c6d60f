"""KMS through boto3: keys, aliases, ciphertexts, policies, rotation, and what is refused, in KMS's own words."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mooring.access.keys import AccessKey
from mooring.access.policies import policy_of
from mooring.api.operations import OPERATIONS
from mooring.settings import AccessSettings, Settings
from mooring.wire.service_models import service_model
from tests.api.serving import ACCOUNT, Serving, serving

ARN = f"arn:aws:kms:us-east-1:{ACCOUNT}"
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
CONTEXT = {"who": "ann", "what": "café"}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("kms") / "state.db") as running:
        yield running


@pytest.fixture(scope="module")
def kms(edge: Serving) -> Any:
    return edge.client("kms")


def made(kms: Any, **members: Any) -> str:
    key_id: str = kms.create_key(**members)["KeyMetadata"]["KeyId"]
    return key_id


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def code(call: Any, **members: Any) -> str:
    return refused(call, **members)[0]


def test_a_key_is_made_shown_and_found_by_all_its_names(kms: Any) -> None:
    told = kms.create_key(Description="of a test", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyMetadata"]
    key_id = told["KeyId"]
    assert told["Arn"] == f"{ARN}:key/{key_id}"
    assert (told["KeyState"], told["Enabled"], told["KeyManager"]) == ("Enabled", True, "CUSTOMER")
    assert (told["KeySpec"], told["KeyUsage"], told["Origin"]) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS")
    kms.create_alias(AliasName="alias/mine/first", TargetKeyId=key_id)
    for name in (key_id, told["Arn"], "alias/mine/first", f"{ARN}:alias/mine/first"):
        assert kms.describe_key(KeyId=name)["KeyMetadata"] == told
    assert kms.list_resource_tags(KeyId=key_id)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "c"}, {"TagKey": "d", "TagValue": ""}])
    kms.untag_resource(KeyId=key_id, TagKeys=["d"])
    assert kms.list_resource_tags(KeyId=key_id)["Tags"] == [{"TagKey": "a", "TagValue": "c"}]
    kms.update_key_description(KeyId=key_id, Description="another")
    assert kms.describe_key(KeyId=key_id)["KeyMetadata"]["Description"] == "another"
    listed = [
        key
        for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1})
        for key in page["Keys"]
    ]
    assert {"KeyId": key_id, "KeyArn": told["Arn"]} in listed
    assert len({key["KeyId"] for key in listed}) == len(listed)


def test_what_is_encrypted_comes_back_and_each_time_differently(kms: Any) -> None:
    key = made(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=CONTEXT)
    assert blob["KeyId"] == f"{ARN}:key/{key}"
    assert b"secret" not in blob["CiphertextBlob"]
    assert (
        blob["CiphertextBlob"]
        != kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=CONTEXT)["CiphertextBlob"]
    )
    opened = kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=CONTEXT)
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", blob["KeyId"])
    data = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=CONTEXT)
    again = kms.decrypt(CiphertextBlob=data["CiphertextBlob"], EncryptionContext=CONTEXT, KeyId=key)
    assert again["Plaintext"] == data["Plaintext"]
    assert len(data["Plaintext"]) == 32
    assert len(kms.generate_data_key(KeyId=key, KeySpec="AES_128")["Plaintext"]) == 16
    assert len(kms.generate_data_key(KeyId=key, NumberOfBytes=24)["Plaintext"]) == 24
    sealed = kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")
    assert "Plaintext" not in sealed
    assert len(kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])["Plaintext"]) == 32
    assert len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]) == 1024
    largest = kms.encrypt(KeyId=key, Plaintext=b"x" * 4096)["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=largest)["Plaintext"] == b"x" * 4096
    assert code(kms.encrypt, KeyId=key, Plaintext=b"x" * 4097) == "ValidationException"


def test_re_encrypting_moves_to_another_key_and_context(kms: Any) -> None:
    first, second = made(kms), made(kms)
    blob = kms.encrypt(KeyId=first, Plaintext=b"secret", EncryptionContext=CONTEXT)["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=second,
        DestinationEncryptionContext={"x": "y"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (f"{ARN}:key/{first}", f"{ARN}:key/{second}")
    kms.disable_key(KeyId=first)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"x": "y"})["Plaintext"] == b"secret"
    assert code(kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=second) == "DisabledException"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_byte_of_a_ciphertext_may_change(kms: Any, data: st.DataObject) -> None:
    key = made(kms)
    blob = bytearray(kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=CONTEXT)["CiphertextBlob"])
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    # A changed id names a key that is not there, which KMS tells as one that may not be used.
    assert code(kms.decrypt, CiphertextBlob=bytes(blob), EncryptionContext=CONTEXT) in (
        "InvalidCiphertextException",
        "AccessDeniedException",
    )


def test_a_ciphertext_opens_for_its_own_context_key_and_region_only(edge: Serving, kms: Any) -> None:
    key, other = made(kms), made(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=CONTEXT)["CiphertextBlob"]
    for context in ({}, {"who": "ann"}, {**CONTEXT, "more": ""}, {"whoann": "", "what": "café"}):
        assert code(kms.decrypt, CiphertextBlob=blob, EncryptionContext=context) == "InvalidCiphertextException"
    assert code(kms.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT, KeyId=other) == "IncorrectKeyException"
    elsewhere = edge.client("kms", region="eu-west-1")
    assert code(elsewhere.decrypt, CiphertextBlob=blob, EncryptionContext=CONTEXT) == "AccessDeniedException"
    assert refused(elsewhere.describe_key, KeyId=f"{ARN}:key/{key}") == ("NotFoundException", "Invalid arn us-east-1")
    assert code(elsewhere.describe_key, KeyId=key) == "NotFoundException"
    for rubbish in (b"x", b"\x01" * 36, b"\x01" * 80, blob[:-1], blob[:50]):
        found = code(kms.decrypt, CiphertextBlob=rubbish, EncryptionContext=CONTEXT)
        assert found in ("InvalidCiphertextException", "AccessDeniedException")


def test_a_disabled_key_opens_nothing_until_it_is_enabled(kms: Any) -> None:
    key = made(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    for call, members in (
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
        (kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
    ):
        assert refused(call, **members) == ("DisabledException", f"{ARN}:key/{key} is disabled.")
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_a_key_that_is_to_be_deleted_can_be_kept(kms: Any) -> None:
    key = made(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    for days in (6, 31):
        assert code(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=days) == "ValidationException"
    told = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert told["KeyState"] == "PendingDeletion"
    assert 7 * 86_400 - 60 < told["DeletionDate"].timestamp() - time.time() <= 7 * 86_400
    pending = ("KMSInvalidStateException", f"{ARN}:key/{key} is pending deletion.")
    assert refused(kms.decrypt, CiphertextBlob=blob) == pending
    assert refused(kms.enable_key, KeyId=key) == pending
    assert refused(kms.schedule_key_deletion, KeyId=key) == pending
    assert refused(kms.create_alias, AliasName="alias/late", TargetKeyId=key) == pending
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    assert code(kms.cancel_key_deletion, KeyId=key) == "KMSInvalidStateException"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"secret"


def test_a_key_whose_deletion_is_due_is_gone_with_all_that_it_opened(edge: Serving, kms: Any) -> None:
    key = made(kms, Tags=[{"TagKey": "a", "TagValue": "b"}])
    kms.create_alias(AliasName="alias/doomed", TargetKeyId=key)
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    late = time.time() + 7 * 86_400 + 1
    done = edge.write(lambda conn: edge.control.kms_keys.settle(conn, late))
    assert [each.id for each in done] == [key]
    assert code(kms.describe_key, KeyId=key) == "NotFoundException"
    assert code(kms.describe_key, KeyId="alias/doomed") == "NotFoundException"
    assert code(kms.decrypt, CiphertextBlob=blob) == "AccessDeniedException"
    for table in ("kms_keys", "kms_materials", "kms_aliases"):
        column = "id" if table == "kms_keys" else "key_id"
        left = edge.write(
            lambda conn, t=table, c=column: conn.exec_driver_sql(
                f"SELECT count(*) FROM {t} WHERE {c}=?", (key,)
            ).scalar()
        )
        assert left == 0


def test_a_due_key_is_refused_before_it_is_destroyed(edge: Serving, kms: Any) -> None:
    key = made(kms)
    blob = kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    edge.write(lambda conn: conn.exec_driver_sql("UPDATE kms_keys SET delete_at=? WHERE id=?", (time.time() - 1, key)))
    assert code(kms.describe_key, KeyId=key) == "NotFoundException"
    assert code(kms.cancel_key_deletion, KeyId=key) == "NotFoundException"
    assert code(kms.decrypt, CiphertextBlob=blob) == "AccessDeniedException"


def test_rotation_keeps_what_is_old_readable(edge: Serving, kms: Any) -> None:
    key = made(kms)
    old = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    first = kms.decrypt(CiphertextBlob=old)["KeyMaterialId"]
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False
    kms.rotate_key_on_demand(KeyId=key)
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    opened = kms.decrypt(CiphertextBlob=new)
    assert opened["Plaintext"] == b"new"
    assert opened["KeyMaterialId"] != first == kms.decrypt(CiphertextBlob=old)["KeyMaterialId"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    assert (status["KeyRotationEnabled"], status["RotationPeriodInDays"]) == (True, 90)
    late = time.time() + 91 * 86_400
    assert key in [each.id for each in edge.write(lambda conn: edge.control.kms_keys.settle(conn, late))]
    rotations = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert [each["RotationType"] for each in rotations] == ["ON_DEMAND", "AUTOMATIC"]
    assert len(kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]) == 3
    assert kms.decrypt(CiphertextBlob=old)["Plaintext"] == b"old"
    kms.disable_key_rotation(KeyId=key)
    assert kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"] is False


def test_aliases_move_and_end(kms: Any) -> None:
    first, second = made(kms), made(kms)
    kms.create_alias(AliasName="alias/moving", TargetKeyId=first)
    again = refused(kms.create_alias, AliasName="alias/moving", TargetKeyId=second)
    assert again == ("AlreadyExistsException", f"An alias with the name {ARN}:alias/moving already exists")
    kms.update_alias(AliasName="alias/moving", TargetKeyId=second)
    assert kms.describe_key(KeyId="alias/moving")["KeyMetadata"]["KeyId"] == second
    assert [each["AliasName"] for each in kms.list_aliases(KeyId=second)["Aliases"]] == ["alias/moving"]
    kms.delete_alias(AliasName="alias/moving")
    for call, members in (
        (kms.delete_alias, {"AliasName": "alias/moving"}),
        (kms.describe_key, {"KeyId": "alias/moving"}),
    ):
        assert refused(call, **members) == ("NotFoundException", f"Alias {ARN}:alias/moving is not found.")
    assert code(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=first) == "NotAuthorizedException"
    assert code(kms.create_alias, AliasName="mine", TargetKeyId=first) == "ValidationException"
    assert code(kms.create_alias, AliasName="alias/a:b", TargetKeyId=first) == "InvalidAliasNameException"
    assert code(kms.create_alias, AliasName="alias/x", TargetKeyId="alias/moving") == "ValidationException"


def test_a_services_own_key_is_made_at_its_first_use(edge: Serving) -> None:
    kms = edge.client("kms", region="eu-north-1")
    before = {each["AliasName"]: each.get("TargetKeyId") for each in kms.list_aliases()["Aliases"]}
    assert before == {"alias/aws/s3": None, "alias/aws/sagemaker": None}
    told = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert told["KeyManager"] == "AWS"
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"] == told
    after = {each["AliasName"]: each.get("TargetKeyId") for each in kms.list_aliases()["Aliases"]}
    assert after == {"alias/aws/s3": told["KeyId"], "alias/aws/sagemaker": None}
    assert code(kms.encrypt, KeyId="alias/aws/s3", Plaintext=b"x") == "AccessDeniedException"
    for call in (kms.disable_key, kms.schedule_key_deletion):
        assert code(call, KeyId=told["KeyId"]) == "AccessDeniedException"


REFUSED_KEYS: list[dict[str, Any]] = [
    {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
    {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
    {"CustomerMasterKeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"},
    {"Origin": "EXTERNAL"},
    {"MultiRegion": True},
    {"CustomKeyStoreId": "cks-1234567890abcdef0"},
]


@pytest.mark.parametrize("members", REFUSED_KEYS, ids=str)
def test_other_kinds_of_keys_are_refused_by_name(kms: Any, members: dict[str, Any]) -> None:
    told = refused(kms.create_key, **members)
    assert told[0] == "UnsupportedOperationException"
    assert str(next(iter(members.values()))) in told[1] or "KeyUsage" in told[1]


def test_what_is_not_there_is_told_in_kms_words(kms: Any) -> None:
    absent = "12345678-1234-1234-1234-123456789012"
    assert refused(kms.describe_key, KeyId=absent) == ("NotFoundException", f"Key '{ARN}:key/{absent}' does not exist")
    assert refused(kms.describe_key, KeyId="nonsense") == ("NotFoundException", "Invalid keyId 'nonsense'")
    assert code(kms.describe_key, KeyId="arn:aws:kms:us-east-1:1:key/x") == "InvalidArnException"
    assert code(kms.generate_data_key, KeyId=absent) == "ValidationException"
    assert code(kms.encrypt, KeyId=made(kms), Plaintext=b"x", DryRun=True) == "DryRunOperationException"
    assert (
        code(kms.create_grant, KeyId=absent, GranteePrincipal=ROOT, Operations=["Decrypt"])
        == "UnknownOperationException"
    )
    assert code(kms.list_aliases, Marker="x") == "InvalidMarkerException"


# Policies


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(principal: Any, *actions: str, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Principal": principal, "Action": list(actions), "Resource": "*", **more}


BAD_POLICIES = [
    "{",
    policy(),
    policy(allow({"Service": "s3.amazonaws.com"}, "kms:*")),
    policy(allow({"AWS": "arn:aws:iam::000000000000:user/ann"}, "kms:*")),
    policy(allow({"AWS": ROOT}, "kms:*", Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})),
    policy(allow({"AWS": ROOT}, "kms:*", Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})),
    policy({"Effect": "Allow", "Action": "kms:*", "Resource": "*"}),
    policy({"Effect": "Allow", "NotPrincipal": "*", "Principal": "*", "Action": "kms:*", "Resource": "*"}),
    policy(allow({"AWS": ROOT}, "kms:Decrypt")),
]


@pytest.mark.parametrize("text", BAD_POLICIES)
def test_a_policy_that_would_not_be_followed_in_full_is_refused(kms: Any, text: str) -> None:
    key = made(kms)
    before = kms.get_key_policy(KeyId=key)["Policy"]
    assert code(kms.put_key_policy, KeyId=key, PolicyName="default", Policy=text) == "MalformedPolicyDocumentException"
    assert code(kms.create_key, Policy=text) == "MalformedPolicyDocumentException"
    assert kms.get_key_policy(KeyId=key)["Policy"] == before
    assert json.loads(before)["Statement"][0]["Principal"] == {"AWS": ROOT}


def test_a_policy_that_locks_everyone_out_is_set_only_when_asked_for(kms: Any) -> None:
    key = made(kms)
    locked = policy(allow({"AWS": ROOT}, "kms:Decrypt"))
    kms.put_key_policy(KeyId=key, Policy=locked, BypassPolicyLockoutSafetyCheck=True)
    assert code(kms.get_key_policy, KeyId=key) == "AccessDeniedException"
    assert code(kms.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"


ANN = AccessKey("MKIAANN", "secret", "ann", None)
BOB = AccessKey(
    "MKIABOB", "secret", "bob", policy_of({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
)
EVE = AccessKey(
    "MKIAEVE",
    "secret",
    "eve",
    policy_of(
        {
            "Statement": [
                {"Effect": "Allow", "Action": ["kms:Encrypt", "kms:CreateAlias"], "Resource": "*"},
                {"Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"},
            ]
        }
    ),
)
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/mooring/"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    path: Path = tmp_path_factory.mktemp("keyed") / "state.db"
    with serving(path, Settings(access=AccessSettings(mode="keys"))) as running:
        running.control.keys.hold(ANN, BOB, EVE)
        yield running


def of(edge: Serving, key: AccessKey) -> Any:
    return edge.client("kms", key=(key.id, key.signing.secret))


def test_the_default_policy_leaves_it_to_the_keys_of_the_callers(keyed: Serving) -> None:
    ann, bob, eve = (of(keyed, key) for key in (ANN, BOB, EVE))
    key = made(ann)
    blob = ann.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    told = refused(bob.encrypt, KeyId=key, Plaintext=b"x")
    doing = f"User: {SESSION}bob is not authorized to perform: kms:Encrypt on resource: {ARN}:key/{key}"
    assert told == (
        "AccessDeniedException",
        f"{doing} because no identity-based policy allows the kms:Encrypt action",
    )
    eve.encrypt(KeyId=key, Plaintext=b"x")
    assert refused(eve.decrypt, CiphertextBlob=blob)[1].endswith("with an explicit deny in an identity-based policy")
    assert code(eve.create_key) == "AccessDeniedException"
    assert code(bob.list_keys) == "AccessDeniedException"
    assert code(eve.delete_alias, AliasName="alias/x") == "AccessDeniedException"
    eve.create_alias(AliasName="alias/eves", TargetKeyId=key)


def test_a_keys_policy_names_who_may(keyed: Serving) -> None:
    ann, bob, eve = (of(keyed, key) for key in (ANN, BOB, EVE))
    key = made(
        ann,
        Policy=policy(
            allow({"AWS": ROOT}, "kms:*"),
            allow({"AWS": f"{SESSION}bob"}, "kms:Decrypt"),
            allow({"AWS": f"{SESSION}eve"}, "kms:Encrypt", effect="Deny"),
        ),
    )
    blob = ann.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
    assert bob.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    assert code(bob.encrypt, KeyId=key, Plaintext=b"x") == "AccessDeniedException"
    assert refused(eve.encrypt, KeyId=key, Plaintext=b"x")[1].endswith(
        "with an explicit deny in a resource-based policy"
    )
    assert code(bob.re_encrypt, CiphertextBlob=blob, DestinationKeyId=key) == "AccessDeniedException"


def test_a_condition_narrows_down_by_encryption_context(keyed: Serving) -> None:
    ann, bob = of(keyed, ANN), of(keyed, BOB)
    only = {"StringLike": {"kms:EncryptionContext:team": ["blue-*"]}}
    key = made(
        ann, Policy=policy(allow({"AWS": ROOT}, "kms:*"), allow({"AWS": f"{SESSION}bob"}, "kms:*crypt", Condition=only))
    )
    blob = bob.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"team": "blue-1"})["CiphertextBlob"]
    assert bob.decrypt(CiphertextBlob=blob, EncryptionContext={"team": "blue-1"})["Plaintext"] == b"x"
    for context in ({}, {"team": "red-1"}, {"teams": "blue-1"}):
        assert code(bob.encrypt, KeyId=key, Plaintext=b"x", EncryptionContext=context) == "AccessDeniedException"


def test_a_repeated_call_makes_one_key_and_no_plaintext_is_kept(edge: Serving, kms: Any) -> None:
    count = len(kms.list_keys(Limit=1000)["Keys"])
    scope = "test/20260101/us-east-1/kms/aws4_request"
    sent = {
        "X-Amz-Target": "TrentService.CreateKey",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        "amz-sdk-invocation-id": "once",
    }
    first, second = (edge.raw("POST", "/", sent, b"{}") for _ in range(2))
    assert first.json == second.json
    assert len(kms.list_keys(Limit=1000)["Keys"]) == count + 1
    key = first.json["KeyMetadata"]["KeyId"]
    plaintext = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["Plaintext"]
    dump = asyncio.run_coroutine_threadsafe(
        edge.store.read(lambda conn: list(conn.exec_driver_sql("SELECT body FROM answers"))), edge.loop
    ).result(10)
    assert all(plaintext not in row[0] for row in dump)


MEMBERS = sorted(
    {
        member
        for operation in OPERATIONS["kms"]
        if (shape := service_model("kms").operation(operation).input) is not None
        for member in shape.members
    }
)
NAMES = ["alias/aws/s3", "alias/x", "arn:aws:kms:us-east-1:000000000000:key/x", "12345678-1234-1234-1234-123456789012"]
VALUES = st.recursive(
    st.sampled_from([*NAMES, "", "SYMMETRIC_DEFAULT", "AES_256", "default", "AQ==", "*"])
    | st.text(max_size=20)
    | st.integers(-5, 400)
    | st.booleans()
    | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(OPERATIONS["kms"])), st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=6))
def test_no_request_does_worse_than_be_refused(edge: Serving, operation: str, body: dict[str, Any]) -> None:
    scope = "test/20260101/us-west-2/kms/aws4_request"
    sent = {
        "X-Amz-Target": f"TrentService.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
    }
    answer = edge.raw("POST", "/", sent, json.dumps(body).encode())
    assert answer.status in (200, 400), answer
    if answer.status == 400:
        assert answer.json["__type"].isidentifier()
