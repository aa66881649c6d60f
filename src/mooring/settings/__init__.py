"""Every setting, in frozen dataclasses by topic; one loader; one name in the environment for each.

The environment variable of a setting is `MOORING_` + topic + `_` + field in capitals (`MOORING_REPLICAS_DRAIN_S`),
except for the few in the topic `server`, which drop the topic (`MOORING_PORT`, `MOORING_DATA_DIR`), since they are the
flags of `mooring serve`. A child process gets the resolved settings whole, as JSON, in `MOORING_RESOLVED_SETTINGS`:
so every process of one Mooring agrees, whatever the environment says by then.
"""

from __future__ import annotations

from mooring.settings.edge import (
    AccessSettings,
    AccountSettings,
    ApiSettings,
    AuditSettings,
    GatewaySettings,
    ServerSettings,
    TlsSettings,
)
from mooring.settings.loading import LOG_LEVELS, RESOLVED, data_directory, load, variable_name, variable_names
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
from mooring.settings.topics import Settings

__all__ = [
    "LOG_LEVELS",
    "RESOLVED",
    "AccessSettings",
    "AccountSettings",
    "ApiSettings",
    "ArtifactSettings",
    "AsyncSettings",
    "AuditSettings",
    "CapacitySettings",
    "CaptureSettings",
    "DeploymentSettings",
    "ExplainerSettings",
    "GatewaySettings",
    "HostingSettings",
    "ImageSettings",
    "MetricsSettings",
    "NeighbourSettings",
    "ObjectSettings",
    "QuotaSettings",
    "ReplicaSettings",
    "ServerSettings",
    "ServerlessSettings",
    "Settings",
    "ShadowSettings",
    "TlsSettings",
    "TraceSettings",
    "data_directory",
    "load",
    "variable_name",
    "variable_names",
]
