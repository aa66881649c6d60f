"""One API call, as the operations see it, and what they ask of control."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mooring.access.keys import AccessKey
from mooring.control.alarm_book import AlarmBook
from mooring.control.async_invocations import AsyncInvocations
from mooring.control.kms_keys import KmsKeys
from mooring.control.log_groups import LogGroup
from mooring.control.metering import Metering
from mooring.errors import KmsError
from mooring.hosting.endpoints import EndpointRecord
from mooring.hosting.kms_names import alias_arn, key_arn, read_key_name
from mooring.hosting.naming import Kind, Scope
from mooring.http1.messages import Request
from mooring.settings import Settings
from mooring.wire.browsers import is_loopback
from mooring.wire.errors import WireResponse


class KeyAdministration(Protocol):
    """Access keys, as the admin API needs them."""

    async def create(self, name: str | None, policy: Mapping[str, Any] | None) -> dict[str, Any]:
        """A new key with its secret. Raises `BadInput` or `AlreadyExists`."""
        ...

    async def listed(self) -> dict[str, Any]:
        """`{"keys": [...]}`, without secrets."""
        ...

    async def revoke(self, id_or_name: str) -> dict[str, Any]:
        """Which key opens nothing any more. Raises `NotFound`."""
        ...


class ScalingSide(Protocol):
    """Control's side of Application Auto Scaling."""

    async def follow(self) -> None:
        """What is registered has changed: have the policies' alarms follow, and look at what is to be scaled."""


class Control(Protocol):
    """What the API needs of control; the wished state itself goes through the store."""

    @property
    def keys(self) -> KeyAdministration:
        """Who may call."""
        ...

    @property
    def kms_keys(self) -> KmsKeys:
        """What makes and uses keys of KMS."""
        ...

    async def kms_service_key(self, scope: Scope, service: str) -> None:
        """Have a service's own key of KMS, such as S3's."""
        ...

    @property
    def scaling(self) -> ScalingSide:
        """What scales variants."""
        ...

    @property
    def metering(self) -> Metering:
        """All metrics."""
        ...

    @property
    def alarms(self) -> AlarmBook:
        """All alarms."""
        ...

    @property
    def invocations(self) -> AsyncInvocations:
        """All asynchronous invocations."""
        ...

    def wake(self, uid: str) -> None:
        """The wished state of this endpoint has changed: reconcile soon."""

    def prewarm(self, model: dict[str, Any]) -> None:
        """A model was made: its framework may be loaded ahead of its first endpoint."""

    async def require_model_data(self, model: dict[str, Any], region: str) -> None:
        """Raises `Refused` when a model's data is not there for `region`, `Unavailable` when that cannot be told."""

    def is_prebuilt(self, image: str) -> bool:
        """Whether an image is one of AWS's own."""
        ...

    def change_of(self, uid: str) -> asyncio.Event:
        """Set at the next change of this endpoint's stored record; set already when nobody works on it."""
        ...

    async def ask_neighbours(self, request: Request, request_id: str) -> WireResponse:
        """What the neighbours process answers. Raises `NotInstalled` or `Unavailable`."""
        ...

    async def status(self) -> dict[str, Any]:
        """What `mooring status` shows."""
        ...

    async def force_delete(self, scope: Scope, name: str) -> None:
        """Delete an endpoint whatever it is doing. Raises `NotFound`."""

    async def events(self, scope: Scope, name: str, after: int) -> dict[str, Any]:
        """`{"events": [...]}` of an endpoint behind the position `after`. Raises `NotFound`."""
        ...

    async def shadow_report(self, scope: Scope, name: str) -> dict[str, Any]:
        """What was counted of an endpoint's shadow variants. Raises `NotFound`."""
        ...

    async def log_group(self, scope: Scope, name: str) -> LogGroup:
        """What an endpoint's replicas wrote, as CloudWatch Logs would have it. Raises `NotFound`."""
        ...

    async def log_groups(self, scope: Scope) -> list[tuple[EndpointRecord, LogGroup]]:
        """Every endpoint that has a log group, by name."""
        ...

    async def logs(self, scope: Scope, name: str, after: str | None) -> dict[str, Any]:
        """`{"lines": [...], "next": token}` of an endpoint's replicas. Raises `NotFound`."""
        ...


ANYONE = "session"
"""The session that every caller is while callers are not told apart."""
_OTHERS = ("ResourceArn", "ResourceId", "ResourceARN")
_KMS_MEMBERS = ("AliasName", "KeyId", "DestinationKeyId")


@dataclass(slots=True)
class Call:
    """A call on its way: whose it is, what it asks, and what is to be told to control once it is durable."""

    scope: Scope
    operation: str
    input: dict[str, Any]
    now: float
    """Wall clock, in whole milliseconds as AWS shows it: what was shown can be given back as a filter."""
    settings: Settings = field(default_factory=Settings)
    caller: str = ANYONE
    """The name of the key that it was signed with."""
    key: AccessKey | None = None
    """That key; None while callers are not told apart."""
    kms: KmsKeys | None = field(default=None, repr=False)
    """What makes and uses keys of KMS."""
    woken: list[str] = field(default_factory=list)
    """uids of endpoints to reconcile."""
    made_models: list[dict[str, Any]] = field(default_factory=list)
    """Documents of models to prewarm."""
    rescaled: bool = False
    """Whether what is registered with Application Auto Scaling is another."""

    @property
    def exposed(self) -> bool:
        """Whether the server listens on more than loopback."""
        return not is_loopback(self.settings.server.host)

    @property
    def resource(self) -> str:
        """What the call is about, for the log; `-` when it names nothing."""
        for member in ("EndpointName", "EndpointConfigName", "ModelName", *_OTHERS, *_KMS_MEMBERS):
            if isinstance(name := self.input.get(member), str):
                return name
        return "-"

    @property
    def arn(self) -> str:
        """What the call is about, as an ARN; empty when it names nothing."""
        kinds: dict[str, Kind] = {
            "EndpointName": "endpoint",
            "EndpointConfigName": "endpoint-config",
            "ModelName": "model",
        }
        for member, kind in kinds.items():
            if isinstance(name := self.input.get(member), str):
                return self.scope.arn(kind, name)
        for member in _KMS_MEMBERS:
            if isinstance(name := self.input.get(member), str):
                return _kms_arn(self.scope, name)
        return next((str(self.input[member]) for member in _OTHERS if member in self.input), "")

    async def tell(self, control: Control) -> None:
        """Pass on what the call has changed."""
        for uid in self.woken:
            control.wake(uid)
        for model in self.made_models:
            control.prewarm(model)
        if self.rescaled:
            await control.scaling.follow()


def _kms_arn(scope: Scope, text: str) -> str:
    try:
        name = read_key_name(text, scope)
    except KmsError:
        return text
    return alias_arn(name.scope, name.alias) if name.alias else key_arn(name.scope, name.id)
