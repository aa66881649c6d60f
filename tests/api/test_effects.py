"""Fields without effect through boto3: told by default, refused under `strict`, and secrecy refused off loopback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mooring.hosting import effects
from mooring.hosting.events import EventKind
from mooring.hosting.naming import Scope
from mooring.settings import AccessSettings, HostingSettings, Settings
from mooring.store import endpoints, events
from tests.api.conftest import IMAGE, Account
from tests.api.serving import ACCOUNT, serving

VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
CAPTURE = {
    "InitialSamplingPercentage": 10,
    "DestinationS3Uri": "s3://b/c",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    settings = replace(Settings(), hosting=HostingSettings(strict=True))
    with serving(tmp_path_factory.mktemp("strict") / "state.db", settings) as running:
        yield Account(running, "us-east-1", running.client())


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    settings = Settings()
    settings = replace(settings, server=replace(settings.server, host="0.0.0.0"), access=AccessSettings(mode="any"))
    with serving(tmp_path_factory.mktemp("exposed") / "state.db", settings) as running:
        yield Account(running, "us-east-1", running.client())


def test_an_endpoints_history_names_what_does_nothing(account: Account) -> None:
    account.model()
    kms = account.edge.client("kms", region=account.region)
    account.config(KmsKeyId=kms.create_key()["KeyMetadata"]["KeyId"], VpcConfig=VPC)
    account.endpoint()

    uid = account.edge.write(lambda conn: endpoints.require(conn, Scope(ACCOUNT, account.region), "e").uid)

    def history(conn):
        return [(each.kind, each.text) for _, each in events.after(conn, uid)]

    assert account.edge.write(history) == [
        (EventKind.STATUS, "Creating"),
        (EventKind.NO_EFFECT, f"KmsKeyId: {effects.MEANWHILE['KmsKeyId']}"),
        (EventKind.NO_EFFECT, f"VpcConfig: {effects.MEANWHILE['VpcConfig']}"),
        (EventKind.STATUS, "InService"),
    ]
    account.edge.vanish(account.region, "e")
    assert account.edge.write(history) == []
    assert uid not in account.edge.write(lambda conn: events.of_kind(conn, EventKind.NO_EFFECT))


def test_strict_refuses_them(strict: Account) -> None:
    strict.model()
    with pytest.raises(strict.client.exceptions.ClientError, match="VpcConfig: replicas share.*STRICT"):
        strict.config(VpcConfig=VPC)
    message = strict.refused(
        "create_model", ModelName="n", PrimaryContainer={"Image": IMAGE}, EnableNetworkIsolation=True
    )
    assert "EnableNetworkIsolation: replicas reach the network" in message
    strict.config()
    strict.endpoint()


def test_secrecy_is_refused_where_others_reach_the_server(exposed: Account) -> None:
    exposed.model()
    with pytest.raises(exposed.client.exceptions.ClientError, match="KmsKeyId has no effect"):
        exposed.config(KmsKeyId="alias/mine")
    exposed.refused("create_model", ModelName="n", PrimaryContainer={"Image": IMAGE}, EnableNetworkIsolation=True)
    exposed.config(DataCaptureConfig=CAPTURE)
