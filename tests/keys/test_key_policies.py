"""Key policies: what a statement says of one use of a key, and what is refused because it would not be heard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import BadInput
from mooring.keys.key_policies import KeyPolicy, KeyUse, Ruling, default_policy, service_policy

ACCOUNT = "111122223333"
ARN = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/k"
ROOT, ROLE = f"arn:aws:iam::{ACCOUNT}:root", f"arn:aws:iam::{ACCOUNT}:role/mooring"
ANN = f"arn:aws:sts::{ACCOUNT}:assumed-role/mooring/ann"


def use(action: str = "kms:Decrypt", **more: Any) -> KeyUse:
    return KeyUse(action, ARN, ACCOUNT, frozenset((ACCOUNT, ROOT, ROLE, ANN)), **more)


def statement(effect: str = "Allow", principal: Any = ROOT, action: Any = "kms:*", **more: Any) -> dict[str, Any]:
    named = principal if principal == "*" or isinstance(principal, dict) else {"AWS": principal}
    return {"Effect": effect, "Principal": named, "Action": action, "Resource": "*", **more}


def policy(*statements: dict[str, Any]) -> KeyPolicy:
    return KeyPolicy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


@pytest.mark.parametrize(
    ("principal", "ruling"),
    [
        (ROOT, Ruling.DELEGATED),
        (ACCOUNT, Ruling.DELEGATED),
        ([ROOT, ACCOUNT], Ruling.DELEGATED),
        (ROLE, Ruling.ALLOWED),
        (ANN, Ruling.ALLOWED),
        ([ROOT, ANN], Ruling.ALLOWED),
        ("*", Ruling.ALLOWED),
        ({"AWS": "*"}, Ruling.ALLOWED),
        ("999999999999", Ruling.NOTHING),
        ("arn:aws:iam::999999999999:root", Ruling.NOTHING),
        (ANN.replace("ann", "bob"), Ruling.NOTHING),
    ],
)
def test_whom_a_statement_names(principal: Any, ruling: Ruling) -> None:
    assert policy(statement(principal=principal)).rule(use()) is ruling


def test_a_deny_goes_before_all_and_an_own_allow_before_the_accounts() -> None:
    both = statement(), statement(principal=ANN)
    assert policy(*both).rule(use()) is Ruling.ALLOWED
    assert policy(*both, statement("Deny", "*", "kms:Decrypt")).rule(use()) is Ruling.DENIED
    assert policy(*both, statement("Deny", "*", "kms:Decrypt")).rule(use("kms:Encrypt")) is Ruling.ALLOWED


def test_actions_and_resources_are_patterns() -> None:
    assert policy(statement(action=["kms:De*"])).rule(use("kms:decrypt")) is Ruling.DELEGATED
    assert policy(statement(action="kms:De*")).rule(use("kms:Encrypt")) is Ruling.NOTHING
    assert policy(statement(Resource=ARN)).rule(use()) is Ruling.DELEGATED
    assert policy(statement(Resource=ARN + "x")).rule(use()) is Ruling.NOTHING
    but = {**statement(), "NotAction": "kms:Decrypt"}
    del but["Action"]
    assert policy(but).rule(use()) is Ruling.NOTHING
    assert policy(but).rule(use("kms:Encrypt")) is Ruling.DELEGATED


@pytest.mark.parametrize(
    ("condition", "more", "holds"),
    [
        ({"StringEquals": {"kms:CallerAccount": ACCOUNT}}, {}, True),
        ({"StringEquals": {"kms:CallerAccount": ["1", ACCOUNT]}}, {}, True),
        ({"StringEquals": {"kms:CallerAccount": "1*"}}, {}, False),
        ({"StringLike": {"kms:CallerAccount": "1*"}}, {}, True),
        (
            {"StringEquals": {"KMS:viaservice": "s3.us-east-1.amazonaws.com"}},
            {"via": "s3.us-east-1.amazonaws.com"},
            True,
        ),
        ({"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}, {}, False),
        ({"StringLike": {"kms:EncryptionContext:team": "b?ue"}}, {"context": {"team": "blue"}}, True),
        ({"StringLike": {"kms:EncryptionContext:team": "*"}}, {"context": {"teams": "blue"}}, False),
        (
            {"StringEquals": {"kms:CallerAccount": ACCOUNT, "kms:EncryptionContext:a": "b"}},
            {"context": {"a": "c"}},
            False,
        ),
    ],
)
def test_conditions(condition: dict[str, Any], more: dict[str, Any], holds: bool) -> None:
    ruling = policy(statement(Condition=condition)).rule(use(**more))
    assert ruling is (Ruling.DELEGATED if holds else Ruling.NOTHING)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"Statement": []}', "no Statement"),
        (
            json.dumps({"Statement": {**statement(), "Principal": {"Service": "s3.amazonaws.com"}}}),
            "nobody else calls here",
        ),
        (json.dumps({"Statement": {**statement(), "Principal": {"AWS": []}}}), "names nobody"),
        (json.dumps({"Statement": statement(principal=f"arn:aws:iam::{ACCOUNT}:user/ann")}), "user/ann"),
        (
            json.dumps({"Statement": statement(Condition={"Bool": {"aws:SecureTransport": "true"}})}),
            "'Bool'",
        ),
        (json.dumps({"Statement": statement(Condition={"StringEquals": {"aws:SourceIp": "x"}})}), "aws:SourceIp"),
        (json.dumps({"Statement": statement(Condition={"StringEquals": {"kms:ViaService": []}})}), "no text"),
        (json.dumps({"Statement": statement(NotPrincipal="*")}), "name who may, as Principal"),
        (json.dumps({"Statement": statement(), "More": 1}), "More"),
        (json.dumps({"Statement": statement("Perhaps")}), "Effect"),
        (json.dumps({"Statement": statement(Sid="x" * 40_000)}), "longer than"),
    ],
)
def test_what_would_not_be_heard_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        KeyPolicy(text)


WORDS = ["Statement", "Effect", "Principal", "AWS", "Action", "Resource", "Condition", "StringEquals", "Allow"]
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.sampled_from(WORDS) | st.text(max_size=9),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS), inner),
    max_leaves=20,
)


@given(DOCUMENTS)
def test_no_document_does_worse_than_be_refused(document: Any) -> None:
    try:
        made = KeyPolicy(json.dumps(document))
    except BadInput:
        return
    assert isinstance(made.rule(use()), Ruling)


def test_awss_own_policies_are_heard() -> None:
    assert KeyPolicy(default_policy("aws", ACCOUNT)).rule(use()) is Ruling.DELEGATED
    of_s3 = KeyPolicy(service_policy("aws", ACCOUNT, "us-east-1", "s3"))
    assert of_s3.rule(use(via="s3.us-east-1.amazonaws.com")) is Ruling.ALLOWED
    assert of_s3.rule(use(via="s3.eu-west-1.amazonaws.com")) is Ruling.NOTHING
    assert of_s3.rule(use()) is Ruling.NOTHING
    assert of_s3.rule(use("kms:DescribeKey")) is Ruling.DELEGATED
    assert of_s3.rule(use("kms:PutKeyPolicy")) is Ruling.NOTHING
