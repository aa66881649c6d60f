from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mooring.hosting.endpoints import EndpointStatus
from tests.api.conftest import Account


def test_models_are_listed_newest_first_ten_at_a_time(account: Account) -> None:
    names = [f"m{number:02}" for number in range(12)]
    for name in names:
        account.model(name)
    first = account.client.list_models()
    assert [set(model) for model in first["Models"]] == [{"ModelName", "ModelArn", "CreationTime"}] * 10
    account.model("late")
    second = account.client.list_models(NextToken=first["NextToken"])
    assert "NextToken" not in second
    assert [model["ModelName"] for model in first["Models"] + second["Models"]] == names[::-1]


def test_the_paginator_goes_through_all_by_name(account: Account) -> None:
    for name in ("b", "a", "c"):
        account.model(name)
    pages = account.client.get_paginator("list_models").paginate(
        SortBy="Name", SortOrder="Ascending", PaginationConfig={"PageSize": 1}
    )
    assert [[model["ModelName"] for model in page["Models"]] for page in pages] == [["a"], ["b"], ["c"]]


def test_filters(account: Account) -> None:
    account.model("m")
    account.model("Other")
    account.config("c")
    names = [model["ModelName"] for model in account.client.list_models(NameContains="the")["Models"]]
    assert names == ["Other"]
    assert account.client.list_models(NameContains="THE")["Models"] == []
    account.endpoint("e1")
    account.endpoint("e2", settled=False)
    account.endpoint("e3")
    account.settle("e3", EndpointStatus.FAILED)
    listed = account.client.list_endpoints(StatusEquals="InService")["Endpoints"]
    assert [endpoint["EndpointName"] for endpoint in listed] == ["e1"]
    by_status = account.client.list_endpoints(SortBy="Status", SortOrder="Ascending")["Endpoints"]
    assert [endpoint["EndpointStatus"] for endpoint in by_status] == ["Creating", "Failed", "InService"]
    moment = account.client.describe_endpoint(EndpointName="e2")["CreationTime"]
    at_or_after = account.client.list_endpoints(CreationTimeAfter=moment)["Endpoints"]
    assert {endpoint["EndpointName"] for endpoint in at_or_after} >= {"e2", "e3"}
    before = account.client.list_endpoints(CreationTimeBefore=moment)["Endpoints"]
    assert "e2" not in {endpoint["EndpointName"] for endpoint in before}
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert account.client.list_endpoints(LastModifiedTimeAfter=tomorrow)["Endpoints"] == []
    assert len(account.client.list_endpoints(LastModifiedTimeBefore=tomorrow)["Endpoints"]) == 3
    assert [config["EndpointConfigName"] for config in account.client.list_endpoint_configs()["EndpointConfigs"]] == [
        "c"
    ]


def test_a_token_that_is_not_ours(account: Account) -> None:
    assert account.refused("list_models", NextToken="bogus") == "Invalid NextToken."


def test_empty_lists_are_present(account: Account) -> None:
    assert account.client.list_models()["Models"] == []
    assert account.client.list_endpoint_configs()["EndpointConfigs"] == []
    assert account.client.list_endpoints()["Endpoints"] == []


def test_a_page_is_bounded(account: Account) -> None:
    text = account.refused("list_models", MaxResults=101)
    assert text == (
        "1 validation error detected: Value '101' at 'maxResults' failed to satisfy constraint: "
        "Member must have value less than or equal to 100"
    )
