"""Keys that an endpoint config names: forms are refused with the config, keys that cannot be used fail the endpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from mooring.settings import ObjectSettings, Settings
from tests.api.conftest import Account
from tests.api.serving import serving

ABSENT = "12345678-1234-1234-1234-123456789012"


def capture(key: str, **more: Any) -> dict[str, Any]:
    given = {
        "InitialSamplingPercentage": 10,
        "DestinationS3Uri": "s3://b/c",
        "KmsKeyId": key,
        "CaptureOptions": [{"CaptureMode": "Input"}],
        **more,
    }
    return {"DataCaptureConfig": given}


def asynchronous(key: str) -> dict[str, Any]:
    return {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o", "KmsKeyId": key}}}


PLACES = {
    "KmsKeyId": lambda key: {"KmsKeyId": key},
    "DataCaptureConfig.KmsKeyId": capture,
    "AsyncInferenceConfig.OutputConfig.KmsKeyId": asynchronous,
}


@pytest.fixture
def kms(account: Account) -> Any:
    return account.edge.client("kms", region=account.region)


def reason(account: Account, name: str = "e") -> str:
    told = account.client.describe_endpoint(EndpointName=name)
    assert told["EndpointStatus"] == "Failed"
    text: str = told["FailureReason"]
    return text


@pytest.mark.parametrize("place", PLACES)
def test_a_key_that_is_not_there_fails_the_endpoint_and_is_named(account: Account, place: str) -> None:
    account.model()
    account.config(**PLACES[place](ABSENT))
    account.endpoint(settled=False)
    text = reason(account)
    arn = f"arn:aws:kms:{account.region}:000000000000:key/{ABSENT}"
    assert text.startswith(f"The key \"{ABSENT}\" ({place}) cannot be used: Key '{arn}' does not exist.")
    assert "new endpoint configuration" in text


def test_a_key_that_may_not_be_used_fails_it_too(account: Account, kms: Any) -> None:
    account.model()
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    account.config(**capture(key))
    kms.disable_key(KeyId=key)
    account.endpoint(settled=False)
    assert "is disabled" in reason(account)
    kms.schedule_key_deletion(KeyId=key)
    account.endpoint("f", settled=False)
    assert "is pending deletion" in reason(account, "f")
    kms.cancel_key_deletion(KeyId=key)
    kms.enable_key(KeyId=key)
    account.endpoint("g")
    assert account.client.describe_endpoint(EndpointName="g")["EndpointStatus"] == "InService"


@pytest.mark.parametrize("key", ["mine", "alias", "arn:aws:kms:us-east-1:1:key/x"])
def test_what_is_no_key_is_refused_with_the_config(account: Account, key: str) -> None:
    account.model()
    with pytest.raises(ClientError, match=f'Invalid KmsKeyId "{key}"'):
        account.config(**capture(key))


def test_every_form_is_taken_and_a_services_own_key_is_made(account: Account, kms: Any) -> None:
    account.model()
    told = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=told["KeyId"])
    alias_arn = told["Arn"].rpartition(":")[0] + ":alias/mine"
    for number, key in enumerate([told["KeyId"], told["Arn"], "alias/mine", alias_arn, "alias/aws/sagemaker"]):
        account.config(f"c{number}", **capture(key))
        account.client.create_endpoint(EndpointName=f"e{number}", EndpointConfigName=f"c{number}")
        account.settle(f"e{number}")
    made = [each["AliasName"] for each in kms.list_aliases()["Aliases"] if "TargetKeyId" in each]
    assert made == ["alias/aws/sagemaker", "alias/mine"]


def test_capture_that_is_off_asks_for_no_key(account: Account) -> None:
    account.model()
    account.config(**capture(ABSENT, EnableCapture=False))
    account.endpoint()


def test_an_update_to_a_wrong_key_is_not_begun(account: Account) -> None:
    account.model()
    account.config()
    account.endpoint()
    account.config("d", **capture(ABSENT))
    account.client.update_endpoint(EndpointName="e", EndpointConfigName="d")
    told = account.client.describe_endpoint(EndpointName="e")
    assert ABSENT in told["FailureReason"]
    assert told["EndpointConfigName"] == "c"


def test_keys_of_an_s3_elsewhere_are_not_ours_to_judge(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = replace(Settings(), objects=ObjectSettings(endpoint_url="https://s3.example"))
    with serving(tmp_path_factory.mktemp("foreign") / "state.db", settings) as running:
        account = Account(running, "us-east-1", running.client())
        account.model()
        account.config(**capture(ABSENT))
        account.endpoint()
