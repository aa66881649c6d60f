from __future__ import annotations

import pytest

from tests.api.conftest import Account


def tag(key: str, value: str = "v") -> dict[str, str]:
    return {"Key": key, "Value": value}


@pytest.mark.parametrize("kind", ["model", "endpoint-config", "endpoint"])
def test_tags_are_given_changed_and_taken(account: Account, kind: str) -> None:
    account.model("m", Tags=[tag("at"), tag("creation")])
    account.config("c", Tags=[tag("at"), tag("creation")])
    account.endpoint("e", Tags=[tag("at"), tag("creation")])
    arn = account.arn({"model": "model/m", "endpoint-config": "endpoint-config/c", "endpoint": "endpoint/e"}[kind])
    assert account.client.list_tags(ResourceArn=arn)["Tags"] == [tag("at"), tag("creation")]
    added = account.client.add_tags(ResourceArn=arn, Tags=[tag("at", "new"), tag("more")])
    assert added["Tags"] == [tag("at", "new"), tag("creation"), tag("more")]
    account.client.delete_tags(ResourceArn=arn, TagKeys=["creation", "absent"])
    assert account.client.list_tags(ResourceArn=arn)["Tags"] == [tag("at", "new"), tag("more")]


def test_tags_die_with_their_resource(account: Account) -> None:
    arn = account.model("m", Tags=[tag("k")])
    account.client.delete_model(ModelName="m")
    account.model("m")
    assert account.client.list_tags(ResourceArn=arn)["Tags"] == []


def test_a_resource_has_fifty_at_most(account: Account) -> None:
    arn = account.model("m", Tags=[tag(f"k{number}") for number in range(50)])
    assert (
        account.refused("add_tags", ResourceArn=arn, Tags=[tag("one-more")])
        == "The number of tags exceeds the limit of 50."
    )
    account.client.add_tags(ResourceArn=arn, Tags=[tag("k7", "overwritten")])
    assert len(account.client.list_tags(ResourceArn=arn)["Tags"]) == 50


@pytest.mark.parametrize("resource", ["model/none", "endpoint/none", "endpoint-config/none", "training-job/x", "x"])
def test_a_resource_that_is_not_there(account: Account, resource: str) -> None:
    arn = account.arn(resource)
    assert account.refused("list_tags", ResourceArn=arn) == "Resource does not exist."
    assert account.refused("add_tags", ResourceArn=arn, Tags=[tag("k")]) == "Resource does not exist."
    assert account.refused("delete_tags", ResourceArn=arn, TagKeys=["k"]) == "Resource does not exist."


def test_awss_own_keys_are_refused(account: Account) -> None:
    arn = account.model()
    text = "System prefix 'aws:' reserved for AWS usage in tag key: aws:k"
    assert account.refused("add_tags", ResourceArn=arn, Tags=[tag("aws:k")]) == text
    assert account.refused("delete_tags", ResourceArn=arn, TagKeys=["aws:k"]) == text
    assert (
        account.refused("add_tags", ResourceArn=arn, Tags=[tag("k"), tag("k")])
        == "Duplicate tag keys found. Tag keys must be unique."
    )
