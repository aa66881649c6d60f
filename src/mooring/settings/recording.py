"""Settings of what calls leave behind: copies, traces, metrics, captured data, queued jobs, objects."""

from __future__ import annotations

from dataclasses import dataclass, field


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
