"""The settings themselves: a frozen dataclass a topic, its defaults, and what each means to whoever sets it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, get_type_hints

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - how to reach it, not where to bind


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where Mooring listens and lives: the flags of `mooring serve`."""

    host: str = "127.0.0.1"
    """Address to listen on. Anything but loopback is open to the network."""
    port: int = 8080
    """TCP port; 0 takes a free one."""
    data_dir: str = "~/.mooring"
    """Where everything that must last is kept."""
    workers: int = 1
    """Gateway processes; one core each is the most that helps."""
    allowed_hosts: str = ""
    """Names, comma separated, that requests may give as Host while Mooring listens on loopback, besides addresses,
    localhost and names below it; `*.example.com` is every name below example.com. Any other name is refused, since a
    web page could have given its own name this machine's address."""
    log_level: str = "info"
    """debug, info, warning or error."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """HTTPS on the server's port instead of HTTP. `--certificate` and `--key` of `mooring serve` say the same."""

    certificate: str = ""
    """A file with the certificate and those of its issuers, in PEM; empty serves HTTP. Looked at every second: a new
    pair is used from then on, a bad one is reported and the old one served on."""
    key: str = ""
    """The file with the certificate's key, in PEM, without a password."""
    name: str = ""
    """The name in URLs that Mooring tells; empty takes one that the certificate is for, of this machine if there is
    one."""
    handshake_timeout_s: float = 10.0
    """How long a client may take for its handshake."""


@dataclass(frozen=True, slots=True)
class AccountSettings:
    """What Mooring says of itself in ARNs."""

    id: str = "000000000000"
    """The 12-digit account id in every ARN."""
    region: str = "us-east-1"
    """The region of a call that names none (an unsigned one)."""
    role: str = "mooring"
    """The name of the role that every caller has, for STS and IAM alike."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may call: see [access.md](access.md)."""

    mode: str = "auto"
    """`auto`: on loopback any credentials are taken, on every other address access keys are needed. `keys`: they are
    needed everywhere. `any`: any credentials are taken everywhere, as with `mooring serve --insecure`."""
    master_key_file: str = ""
    """The file of the key that everything secret is sealed with; empty makes one in the data directory."""
    master_key: str = field(default="", repr=False)
    """The same key itself, 32 bytes or more in base64, for who keeps it in the environment instead."""
    master_key_kms_key_id: str = ""
    """A key of a KMS elsewhere that keeps the master key: the data directory then holds it encrypted only. Asked at
    each start, with AWS_ACCESS_KEY_ID of the environment."""
    master_key_kms_url: str = ""
    """Where that KMS is; empty is AWS's, in the region of the key's ARN."""


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Limits of the invocation path. AWS's, where AWS has them."""

    body_limit_bytes: int = 6_291_456
    """Largest body of an invocation (AWS: 6 MiB)."""
    response_limit_bytes: int = 6_291_456
    """Largest body of a model's response to InvokeEndpoint (AWS: 6 MiB); 0 is no limit. A response stream has none."""
    invocation_timeout_s: float = 60.0
    """How long a replica may take to answer (AWS: 60 s)."""
    stream_timeout_s: float = 480.0
    """When a response that streams has ended, counted from its request, however steadily it comes (AWS: 8 minutes)."""
    sessions_per_endpoint: int = 10_000
    """Stateful sessions that an endpoint may have at a time; above it no more can be opened. 0 is no limit."""
    connect_timeout_s: float = 0.25
    """How long a replica may take to accept a connection (AWS: 250 ms)."""
    header_limit_bytes: int = 32_768
    """Largest head of a request; above it the answer is 431."""
    idle_timeout_s: float = 120.0
    """A client's connection that says nothing for this long is closed."""
    upstream_idle_timeout_s: float = 55.0
    """A replica's connection that is unused for this long is closed by us, before the replica does."""
    control_wait_s: float = 5.0
    """How long a call that was not yet sent waits for a control that is being restarted."""
    drain_s: float = 10.0
    """How long a stopping gateway lets what is in flight finish."""
    buffered_limit_bytes: int = 536_870_912
    """Request bodies that one gateway holds at a time, all clients together. Each is reserved whole before it is read,
    first come first served; what there is no room for is not read yet."""
    buffered_wait_s: float = 30.0
    """How long a body waits for that room before it gets a 503."""
    body_grace_s: float = 20.0
    """How late a body may be against `body_rate_bytes`; then it gets a 408."""
    body_rate_bytes: int = 16_384
    """Bytes a second that a body must come with; 0 is any."""
    retry_stale_connection: bool = True
    """Whether a call is sent once more when a kept connection to its replica closed just as it was taken. The replica
    may then see it twice."""


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """Copies of calls for shadow variants: see [shadow.md](shadow.md). Bounds are of one shadow in one gateway."""

    timeout_s: float = 60.0
    """How long a shadow's replica may take to answer a copy."""
    in_flight: int = 128
    """Copies that a shadow is at work on at a time."""
    queue: int = 1000
    """Copies that wait while so many are in flight; one more is dropped."""
    queue_bytes: int = 67_108_864
    """Bodies of copies that wait or are in flight, and of answers that wait to be compared."""
    wait_s: float = 30.0
    """A copy that could not be sent for this long is dropped."""
    streams: bool = False
    """Whether calls with a response stream are copied too."""
    compare_limit_bytes: int = 1_048_576
    """Answers that are larger are not compared."""
    tolerance: float = 1e-6
    """Numbers in answers are the same when they differ by this part of the larger one at the most."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Spans of invocations: see [traces.md](traces.md)."""

    endpoint: str = ""
    """The URL that takes spans over OTLP/HTTP, such as `http://127.0.0.1:4318/v1/traces`; empty makes none. It takes
    `mooring[traces]`; headers and the service's name are read from OpenTelemetry's own variables
    (OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME)."""
    sampling: float = 1.0
    """The part of the calls that is traced, of those whose caller does not say whether they are."""


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The control plane's answers."""

    hold_s: float = 45.0
    """How long DescribeEndpoint is held for a waiter while the endpoint is in progress; 0 answers at once. Less than
    the 60 s after which clients give a call up; what takes longer is seen 30 s late, when the waiter asks again."""
    held_calls: int = 100
    """How many calls are held at the same time; 0 holds none."""


@dataclass(frozen=True, slots=True)
class HostingSettings:
    """How closely AWS's refusals are followed, where a machine of one's own could be more lenient."""

    strict: bool = False
    """Refuse fields that have no effect yet, and images whose versions cannot be had exactly, instead of telling of
    them in the endpoint's events."""
    check_model_data: bool = True
    """CreateModel refuses model data that does not exist, or that is in a bucket of another region, as on AWS."""
    ecr_only: bool = False
    """CreateModel refuses images that are not in ECR, as on AWS."""
    pull_role: bool = False
    """CreateModel refuses images that the role could not pull on AWS: those of another account's ECR, AWS's own
    excepted."""
    image_labels: bool = False
    """CreateModel refuses images that are not known to carry the labels that AWS asks for in multi-model endpoints and
    pipelines."""


@dataclass(frozen=True, slots=True)
class QuotaSettings:
    """The account's limits in each region; 0 is none. AWS's numbers where AWS publishes them."""

    models: int = 0
    """Models."""
    endpoint_configs: int = 0
    """Endpoint configurations."""
    endpoints: int = 0
    """Endpoints."""
    instances: int = 0
    """Instances of all endpoints together."""
    instances_per_endpoint: int = 0
    """Instances of one endpoint."""
    instances_by_type: str = ""
    """Instances by type, such as `ml.g5.xlarge=2,ml.p4d.24xlarge=0`; here 0 is a limit."""
    serverless_endpoints: int = 50
    """Serverless endpoints (AWS: 50)."""
    serverless_concurrency: int = 1000
    """MaxConcurrency of all serverless endpoints together (AWS: 200 to 1000, by region)."""
    serverless_memory_mb: int = 6144
    """Memory of one serverless endpoint (AWS: 6144, less in new accounts)."""


@dataclass(frozen=True, slots=True)
class CapacitySettings:
    """Whether instance types mean anything on this machine."""

    policy: str = "oversubscribe"
    """`oversubscribe`: an instance type is a name. `enforce`: an instance takes its type's vCPUs, memory and
    accelerators, and an endpoint that does not fit fails."""
    vcpus: int = 0
    """vCPUs to give away; 0 takes the machine's."""
    memory_gib: float = 0.0
    """Memory to give away; 0 takes the machine's."""
    accelerators: int = 0
    """Accelerators to give away; 0 takes those that NVIDIA's driver tells."""


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """What serves an image: see [images.md](images.md)."""

    versions: str = "auto"
    """`auto`: the framework's version that made the model, where its files tell, else the installed one. `tag`: the
    versions and the Python that the image's tag names, in an environment that is made on first use."""
    commands: str = ""
    """Commands for images that no framework here serves: a JSON object, or the path of a JSON or TOML file, of patterns
    for whole image URIs (`*/my-image:*`) and lists of words, which may hold `{port}` or `{fd}`, `{model_dir}`,
    `{code_dir}` and `{python}`."""
    torch_backend: str = ""
    """Which builds of PyTorch an environment gets, as uv's `--torch-backend` names them (`cpu`, `auto`, `cu128`);
    `none` takes them from uv's default index. Empty means `cpu` for an image of CPUs, and `auto` for one of GPUs."""
    environments_limit_bytes: int = 20 * 1024**3
    """What all environments together may take; above it those that nobody uses go, the longest unused first."""


@dataclass(frozen=True, slots=True)
class ReplicaSettings:
    """How replicas are started, watched and stopped."""

    startup_timeout_s: float = 480.0
    """For `/ping` to answer, when the variant names no ContainerStartupHealthCheckTimeoutInSeconds (AWS: 8 minutes)."""
    download_timeout_s: float = 900.0
    """For model data, when the variant names no ModelDataDownloadTimeoutInSeconds."""
    start_attempts: int = 3
    """Starts of a replica that exits by itself, before its endpoint fails."""
    ping_timeout_s: float = 2.0
    """AWS's limit for one `/ping`."""
    ping_interval_s: float = 5.0
    """Between two pings of a healthy replica."""
    ping_failures: int = 3
    """Failed pings in a row after which a replica is replaced."""
    restart_backoff_s: float = 0.5
    """Wait before the second restart of a replica that dies; doubles up to `restart_backoff_max_s`."""
    restart_backoff_max_s: float = 30.0
    """The longest wait between restarts."""
    drain_s: float = 60.0
    """How long a replica that leaves its endpoint may finish what it holds."""
    stop_grace_s: float = 5.0
    """Between SIGTERM and SIGKILL (AWS: 30 s)."""
    log_limit_bytes: int = 64 * 1024 * 1024
    """A replica's log is cut back to its newest half when it grows beyond this."""
    zygote_idle_s: float = 900.0
    """A warm parent that nobody needed for this long is stopped (130 MB each)."""


@dataclass(frozen=True, slots=True)
class ServerlessSettings:
    """Variants with a ServerlessConfig: see [serverless.md](serverless.md)."""

    idle_s: float = 300.0
    """A replica that nobody has called for so many seconds is stopped, unless it is provisioned. AWS does not say when;
    here five minutes keep a model warm for a person who works with it, and give its memory back over lunch."""
    hold_s: float = 180.0
    """How many seconds a call may wait for a replica that is being started (AWS: 3 minutes)."""
    limits: str = "auto"
    """How a replica is kept to MemorySizeInMB: `cgroup` (the kernel does it, or the endpoint fails), `watchdog` (a look
    at its memory four times a second), `off`, or `auto`: `cgroup` where control groups can be made, else `watchdog`."""


@dataclass(frozen=True, slots=True)
class DeploymentSettings:
    """How endpoints are updated: see [updates.md](updates.md)."""

    timeout_s: float = 28_800.0
    """For an update whose DeploymentConfig names no MaximumExecutionTimeoutInSeconds (AWS's longest: 8 hours)."""
    cloudwatch_url: str = ""
    """The CloudWatch that has the alarms of AutoRollbackConfiguration, with AWS_ACCESS_KEY_ID of the environment that
    started Mooring; empty means the one behind Mooring's own URL."""
    alarm_interval_s: float = 5.0
    """Between two looks at the alarms during an update."""
    alarm_patience_s: float = 60.0
    """How long an update waits while CloudWatch does not say how its alarms are; then it is rolled back."""


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    """Bounds of what a model archive may be."""

    compressed_limit_bytes: int = 20 * 1024**3
    """Largest model.tar.gz."""
    unpacked_limit_bytes: int = 50 * 1024**3
    """Largest sum of the files in it."""
    file_limit: int = 200_000
    """Most members of an archive."""


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What is counted and measured, and for how long it is kept: see [metrics.md](metrics.md)."""

    flush_s: float = 5.0
    """Between two writes of new metrics to disk."""
    seconds_kept_s: float = 10_800.0
    """How long points of a second are kept (CloudWatch: 3 hours)."""
    minutes_kept_s: float = 1_296_000.0
    """How long points of a minute are kept (CloudWatch: 15 days)."""
    five_minutes_kept_s: float = 5_443_200.0
    """How long points of five minutes are kept (CloudWatch: 63 days)."""
    hours_kept_s: float = 39_312_000.0
    """How long points of an hour are kept (CloudWatch: 455 days)."""
    most_series: int = 20_000
    """Metrics that are kept; PutMetricData refuses further ones."""
    instances_interval_s: float = 10.0
    """Between two looks at what replicas use; 0 never looks."""
    scrape_token: str = field(default="", repr=False)
    """What a Prometheus gives as `Authorization: Bearer` to read `/metrics`, which needs it while access keys are
    needed."""
    cloudwatch_url: str = ""
    """A CloudWatch to which every metric goes each minute, with AWS_ACCESS_KEY_ID of the environment that started
    Mooring; empty sends nothing."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Who called what: see [audit.md](audit.md)."""

    level: str = "calls"
    """`off`, `changes` (API calls that change something), `calls` (all API calls) or `all` (invocations too)."""
    limit_bytes: int = 64 * 1024 * 1024
    """A file that is larger is put aside, and a new one begun."""
    keep: int = 9
    """How many files that were put aside are kept."""


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """Data capture: see [data-capture.md](data-capture.md)."""

    flush_interval_s: float = 60.0
    """How long records are gathered in one object of S3 (AWS: a minute)."""
    segment_limit_bytes: int = 64 * 1024 * 1024
    """An object that has grown to this is closed before."""
    payload_limit_bytes: int = 6_291_456
    """What is captured of one request or answer at the most, from its beginning; 16 MiB is the most that is kept of a
    streamed answer."""
    failed_invocations: bool = False
    """Whether invocations that failed are captured, as their input only."""
    spool_limit_bytes: int = 10 * 1024**3
    """What may wait for S3 on this machine; above it nothing is captured."""
    disk_limit_percent: float = 75.0
    """How full the data directory's disk may be; above it nothing is captured (AWS: 75)."""
    retry_max_s: float = 30.0
    """The longest wait between two tries to reach S3."""


@dataclass(frozen=True, slots=True)
class AsyncSettings:
    """Asynchronous inference: see [async-inference.md](async-inference.md)."""

    payload_limit_bytes: int = 1024**3
    """Largest input, and largest answer (AWS: 1 GB)."""
    history_s: float = 604_800.0
    """How long `mooring async` knows what became of an invocation, and can try it again: a week."""


@dataclass(frozen=True, slots=True)
class NeighbourSettings:
    """The services beside SageMaker: see [neighbours.md](neighbours.md)."""

    sns_url: str = ""
    """The SNS that alarms and asynchronous endpoints tell their topics in, with AWS_ACCESS_KEY_ID of the environment
    that started Mooring; empty means the one behind Mooring's own URL."""


@dataclass(frozen=True, slots=True)
class ObjectSettings:
    """Where `s3://` is."""

    endpoint_url: str = ""
    """An S3 endpoint to use; empty means the embedded store behind Mooring's own URL."""
    access_key_id: str = ""
    """Credentials for `endpoint_url`; empty uses AWS_ACCESS_KEY_ID of the environment that started Mooring."""
    secret_access_key: str = field(default="", repr=False)
    """See `access_key_id`."""
    niceness: int = 10
    """Scheduling niceness of the objects process, so that uploads do not slow invocations; 0 turns it off."""


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
