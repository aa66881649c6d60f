"""Settings of what runs: models, replicas, and how much of the machine they get."""

from __future__ import annotations

from dataclasses import dataclass


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
class ExplainerSettings:
    """Variants with an ExplainerConfig: see [explanations.md](explanations.md). Bounds are of one gateway."""

    solver_idle_s: float = 600.0
    """The process that explains is stopped when no call has been explained for so many seconds; the next one starts it
    again."""
    queue_bytes: int = 268_435_456
    """Requests and answers of calls that are being explained; a call that finds no room is refused."""
    batch_ms: float = 20.0
    """How long one synthetic request should keep a model busy, in milliseconds: ordinary calls wait for no more than
    this. Longer ones cost less in all."""
    baseline_limit_bytes: int = 6_291_456
    """Largest object that ShapBaselineUri may name. A model predicts every combination of features with each of its
    records, so that a hundred records are many; read, it takes up to 30 times its size."""


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
