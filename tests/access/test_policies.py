"""What a policy says, and what it is not let say."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.access.patterns import resource_pattern
from mooring.access.policies import Policy, Verdict, policy_of
from mooring.errors import BadInput
from tests.wire.botocore_half import CALM

ENDPOINT = "arn:aws:sagemaker:us-east-1:000000000000:endpoint/churn"
INVOKE = "sagemaker:InvokeEndpoint"


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    if not elements.keys() & {"Action", "NotAction"}:
        elements["Action"] = "*"
    if not elements.keys() & {"Resource", "NotResource"}:
        elements["Resource"] = "*"
    return {"Effect": effect, **elements}


def policy(*statements: dict[str, Any]) -> Policy:
    return policy_of({"Version": "2012-10-17", "Statement": list(statements)})


ALLOWED, DENIED, NOT_ALLOWED = Verdict.ALLOWED, Verdict.DENIED, Verdict.NOT_ALLOWED


@pytest.mark.parametrize(
    ("elements", "verdict"),
    [
        ({}, ALLOWED),
        ({"Action": INVOKE}, ALLOWED),
        ({"Action": "SageMaker:invokeendpoint"}, ALLOWED),
        ({"Action": ["s3:*", "sagemaker:Invoke*"]}, ALLOWED),
        ({"Action": "sagemaker:InvokeEndpoin?"}, ALLOWED),
        ({"Action": "sagemaker:InvokeEndpoint?"}, NOT_ALLOWED),
        ({"Action": "s3:*"}, NOT_ALLOWED),
        ({"NotAction": "s3:*"}, ALLOWED),
        ({"NotAction": "sagemaker:*"}, NOT_ALLOWED),
        ({"Resource": ENDPOINT}, ALLOWED),
        ({"Resource": ENDPOINT.upper().replace("ARN", "arn")}, NOT_ALLOWED),
        ({"Resource": "arn:aws:sagemaker:*:*:endpoint/ch*"}, ALLOWED),
        ({"Resource": "arn:*:*:*:*:*"}, ALLOWED),
        ({"Resource": "arn:aws:sagemaker:us-east-?:000000000000:*"}, ALLOWED),
        ({"Resource": "arn:aws:sagemaker:eu-*:*:endpoint/churn"}, NOT_ALLOWED),
        ({"Resource": "arn:aws:sagemaker:*:endpoint/churn:*:*"}, NOT_ALLOWED),
        ({"NotResource": ENDPOINT}, NOT_ALLOWED),
        ({"NotResource": "arn:aws:sagemaker:*:*:model/*"}, ALLOWED),
    ],
)
def test_a_statement_is_about_its_actions_and_resources(elements: dict[str, Any], verdict: Verdict) -> None:
    assert policy(statement(**elements)).decide(INVOKE, ENDPOINT) is verdict


def test_an_explicit_deny_goes_before_every_allow() -> None:
    deny = statement("Deny", Action=INVOKE, Resource=ENDPOINT)
    for both in ([statement(), deny], [deny, statement()]):
        assert policy(*both).decide(INVOKE, ENDPOINT) is DENIED
        assert policy(*both).decide(INVOKE, ENDPOINT + "2") is ALLOWED


def test_a_list_is_asked_of_all_resources() -> None:
    assert policy(statement(Resource=ENDPOINT)).decide("sagemaker:ListEndpoints", "*") is NOT_ALLOWED
    assert policy(statement()).decide("sagemaker:ListEndpoints", "*") is ALLOWED


def test_a_resource_that_cannot_be_told_is_the_worst_one() -> None:
    deny = statement("Deny", Resource="arn:aws:sqs:*:*:secret")
    assert policy(statement()).decide("sqs:SendMessage", None) is ALLOWED
    assert policy(statement(Resource="arn:aws:sqs:*:*:*")).decide("sqs:SendMessage", None) is NOT_ALLOWED
    assert policy(statement(), deny).decide("sqs:SendMessage", None) is DENIED


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"Statement": statement(Condition={"Bool": {}})}, "'Condition', which is not supported: the stat"),
        ({"Statement": statement(Principal="*")}, "'Principal', which is not supported: a policy"),
        ({"Statement": statement(Ressource="*")}, "'Ressource', which is not supported: it would be ignored"),
        ({"Statement": statement(), "Rules": []}, "the policy has the element 'Rules'"),
        ({"Statement": statement(), "Version": "2020"}, "the Version '2020'"),
        ({"Statement": statement("allow")}, "statement 1 of the policy has no Effect that is Allow or Deny"),
        ({"Statement": [statement(), statement(Action="InvokeEndpoint")]}, "statement 2 of the policy: the action"),
        ({"Statement": statement(Action="sage*:x")}, 'is not of the form "service:Action"'),
        ({"Statement": statement(Resource="endpoint/x")}, 'neither "\\*" nor an ARN of six parts'),
        ({"Statement": statement(Resource="arn:aws:s3:::${aws:username}/*")}, "has a policy variable"),
        ({"Statement": statement(Action="*", NotAction="s3:*")}, "needs Action or NotAction, and only one of them"),
        ({"Statement": {"Effect": "Allow", "Action": "*"}}, "needs Resource or NotResource"),
        ({"Statement": statement(Action=[])}, "neither a string nor a list of strings"),
        ({"Statement": []}, "the policy has no Statement"),
        ({}, "the policy has no Statement"),
        ({"Statement": statement(Resource=["arn:aws:s3:::" + "x" * 7000])}, "longer than 6144"),
    ],
)  # fmt: skip
def test_what_would_be_ignored_or_cannot_be_meant_is_refused(document: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Policy(json.dumps(document))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"Statement":[],"Statement":[]}', "[" * 5000, "null", '"Allow"'])
def test_what_is_no_policy_document_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Policy(text)


LETTERS = st.text(st.sampled_from("ab/:.*?["), max_size=12)


@CALM
@given(LETTERS, st.text(st.sampled_from("ab/:.["), max_size=12))
def test_wildcards_match_as_in_a_shell(pattern: str, name: str) -> None:
    ours = resource_pattern(f"arn:aws:s3:::{pattern}")(f"arn:aws:s3:::{name}")
    assert ours == (re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), name) is not None)


def test_many_stars_do_not_take_for_ever() -> None:
    matches = resource_pattern("arn:aws:s3:::" + "*a" * 60)
    assert not matches("arn:aws:s3:::" + "a" * 1000 + "b")
