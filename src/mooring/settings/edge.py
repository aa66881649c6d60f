"""Settings of the edge: where Mooring listens, who may call, and what a call may be."""

from __future__ import annotations

from dataclasses import dataclass, field


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
class ApiSettings:
    """The control plane's answers."""

    hold_s: float = 45.0
    """How long DescribeEndpoint is held for a waiter while the endpoint is in progress; 0 answers at once. Less than
    the 60 s after which clients give a call up; what takes longer is seen 30 s late, when the waiter asks again."""
    held_calls: int = 100
    """How many calls are held at the same time; 0 holds none."""


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Who called what: see [audit.md](audit.md)."""

    level: str = "calls"
    """`off`, `changes` (API calls that change something), `calls` (all API calls) or `all` (invocations too)."""
    limit_bytes: int = 64 * 1024 * 1024
    """A file that is larger is put aside, and a new one begun."""
    keep: int = 9
    """How many files that were put aside are kept."""
