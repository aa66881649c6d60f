"""IAM's policy simulation: everybody is allowed everything, as nothing of IAM is enforced."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Server

ACTIONS = [f"sagemaker:Act{number}" for number in range(3)]


@pytest.fixture(scope="module")
def iam(shared_server: Server) -> Any:
    return shared_server.client("iam", retries=3)


def test_a_role_may_do_whatever_is_asked(iam: Any) -> None:
    role = iam.get_role(RoleName="mooring")["Role"]["Arn"]
    found = iam.simulate_principal_policy(PolicySourceArn=role, ActionNames=ACTIONS)
    assert not found["IsTruncated"]
    told = [
        (each["EvalActionName"], each["EvalResourceName"], each["EvalDecision"]) for each in found["EvaluationResults"]
    ]
    assert told == [(action, "*", "allowed") for action in ACTIONS]


def test_users_groups_and_policies_that_nobody_has(iam: Any) -> None:
    user = iam.create_user(UserName="simulated", Path="/some/where/")["User"]["Arn"]
    group = iam.create_group(GroupName="simulated")["Group"]["Arn"]
    for arn in (user, group):
        found = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=ACTIONS[:1])
        assert found["EvaluationResults"][0]["EvalDecision"] == "allowed"
    found = iam.simulate_custom_policy(PolicyInputList=["{}"], ActionNames=ACTIONS[:1])
    assert found["EvaluationResults"][0]["EvalDecision"] == "allowed"


def test_pages_have_every_action_with_every_resource_once(iam: Any) -> None:
    role = iam.get_role(RoleName="mooring")["Role"]["Arn"]
    resources = ["arn:aws:s3:::a", "arn:aws:s3:::b"]
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=role, ActionNames=ACTIONS, ResourceArns=resources, PaginationConfig={"PageSize": 4}
    )
    sizes, found = [], []
    for page in pages:
        sizes.append(len(page["EvaluationResults"]))
        found += [(each["EvalActionName"], each["EvalResourceName"]) for each in page["EvaluationResults"]]
    assert sizes == [4, 2]
    assert found == [(action, resource) for action in ACTIONS for resource in resources]


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        ("arn:aws:iam::000000000000:role/absent", "NoSuchEntity"),
        ("arn:aws:iam::000000000000:user/absent", "NoSuchEntity"),
        ("arn:aws:sts::000000000000:assumed-role/mooring/session", "InvalidInput"),
    ],
)
def test_who_is_not_there_is_not_allowed(iam: Any, arn: str, code: str) -> None:
    with pytest.raises(ClientError) as refused:
        iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=ACTIONS)
    assert refused.value.response["Error"]["Code"] == code
