"""All topics together: a frozen dataclass each, with its defaults and what each setting means to whoever sets it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from mooring.settings.edge import (
    AccessSettings,
    AccountSettings,
    ApiSettings,
    AuditSettings,
    GatewaySettings,
    ServerSettings,
    TlsSettings,
)
from mooring.settings.recording import (
    AsyncSettings,
    CaptureSettings,
    MetricsSettings,
    NeighbourSettings,
    ObjectSettings,
    ShadowSettings,
    TraceSettings,
)
from mooring.settings.running import (
    ArtifactSettings,
    CapacitySettings,
    DeploymentSettings,
    ExplainerSettings,
    HostingSettings,
    ImageSettings,
    QuotaSettings,
    ReplicaSettings,
    ServerlessSettings,
)

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how to reach it, not where to bind


@dataclass(frozen=True, slots=True)
class Settings:
    """All topics. Build with `load` or `from_json`, never field by field in product code."""

    server: ServerSettings = field(default_factory=ServerSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    account: AccountSettings = field(default_factory=AccountSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    traces: TraceSettings = field(default_factory=TraceSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    hosting: HostingSettings = field(default_factory=HostingSettings)
    quotas: QuotaSettings = field(default_factory=QuotaSettings)
    capacity: CapacitySettings = field(default_factory=CapacitySettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    replicas: ReplicaSettings = field(default_factory=ReplicaSettings)
    serverless: ServerlessSettings = field(default_factory=ServerlessSettings)
    explainer: ExplainerSettings = field(default_factory=ExplainerSettings)
    deployments: DeploymentSettings = field(default_factory=DeploymentSettings)
    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    async_inference: AsyncSettings = field(default_factory=AsyncSettings)
    neighbours: NeighbourSettings = field(default_factory=NeighbourSettings)
    objects: ObjectSettings = field(default_factory=ObjectSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)

    @property
    def url(self) -> str:
        """How a client on this machine reaches the server, once its port and its name are resolved."""
        host = self.tls.name or _ANY.get(self.server.host, self.server.host)
        scheme = "https" if self.tls.certificate else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.server.port}"

    def to_json(self) -> str:
        """All settings, secrets included, for a child's `MOORING_RESOLVED_SETTINGS`."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    def without_secrets(self) -> Settings:
        """For a process that has no need of them."""
        objects = dataclasses.replace(self.objects, secret_access_key="")
        metrics = dataclasses.replace(self.metrics, scrape_token="")
        return dataclasses.replace(self.without_master_key(), objects=objects, metrics=metrics)

    def without_master_key(self) -> Settings:
        """For a process of control's own that seals nothing."""
        return dataclasses.replace(self, access=dataclasses.replace(self.access, master_key=""))

    @staticmethod
    def from_json(text: str) -> Settings:
        """The inverse of `to_json`."""
        document = json.loads(text)
        return Settings(**{name: cls(**document[name]) for name, cls in topics().items()})


def topics() -> dict[str, Any]:
    """The class of each topic, by the topic's name."""
    return get_type_hints(Settings)
