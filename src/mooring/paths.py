"""The data directory's layout, in one place.

Nothing else in Mooring spells a path below the data directory. Socket paths are kept short, because the kernel takes
107 bytes: when the data directory is too deep they live in a private directory below the system's temporary one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mooring.errors import DataDirectoryError

LONGEST_SOCKET_NAME = len("replica-0123456789abcdef0.sock")
LONGEST_SOCKET_PATH = 103  # macOS takes 103, Linux 107


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths below one data directory, which is absolute."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held with `fcntl.lockf` by the supervisor; its content is the supervisor's identity, as JSON."""
        return self.root / "lock"

    @property
    def children_lock(self) -> Path:
        """Held with flock by every child of the supervisor, so that a successor sees when the last one is gone."""
        return self.run / "children.lock"

    @property
    def format(self) -> Path:
        """`{"format": N, "written_by": version}`: refused when N is newer than this Mooring's."""
        return self.root / "format.json"

    @property
    def state_db(self) -> Path:
        return self.root / "state.db"

    @property
    def metrics_db(self) -> Path:
        """What was counted and measured, apart from the state so that neither waits for the other's disk."""
        return self.root / "metrics.db"

    @property
    def queue_db(self) -> Path:
        """The jobs of asynchronous endpoints, apart from the state so that neither waits for the other's disk."""
        return self.root / "queue.db"

    @property
    def master_key(self) -> Path:
        """What access keys are sealed with, unless a setting says where it is."""
        return self.root / "master.key"

    @property
    def neighbours_journal(self) -> Path:
        """Every call that changed a resource of IAM, SNS, SQS, Logs or CloudWatch."""
        return self.root / "neighbours.journal"

    @property
    def shadow_counts(self) -> Path:
        """What gateways counted of shadow variants, for `mooring shadow report`."""
        return self.root / "shadow-counts.json"

    @property
    def objects(self) -> Path:
        """Everything of the embedded store."""
        return self.root / "objects"

    @property
    def capture(self) -> Path:
        """Captured data on its way to S3: `<stream>/stream.json`, and the stream's segments."""
        return self.root / "capture"

    @property
    def async_jobs(self) -> Path:
        """Segments of accepted asynchronous invocations on their way into the queue."""
        return self.root / "async-jobs"

    @property
    def async_spool(self) -> Path:
        """Answers of models to asynchronous invocations on their way to S3, a file each."""
        return self.root / "async-spool"

    @property
    def artifacts(self) -> Path:
        """Unpacked model data, a directory an artifact."""
        return self.root / "artifacts"

    @property
    def baselines(self) -> Path:
        """What ShapBaselineUri named, as it was loaded: `<endpoint uid>/<generation>/baseline`."""
        return self.root / "baselines"

    @property
    def environments(self) -> Path:
        """Python environments of models, a directory a hash."""
        return self.root / "environments"

    @property
    def hub(self) -> Path:
        """What replicas downloaded from Hugging Face's hub, shared by all of them."""
        return self.root / "hub"

    @property
    def logs(self) -> Path:
        """`<endpoint uid>/<variant>/<replica id>.log`."""
        return self.root / "logs"

    @property
    def audit_log(self) -> Path:
        """A JSON line a call; older ones have a number behind."""
        return self.logs / "audit.jsonl"

    def audit_lost(self, writer: str) -> Path:
        """How many lines one process could not write."""
        return self.run / f"audit-{writer}.lost"

    @property
    def server_log(self) -> Path:
        """What servers said that `mooring run` started; one in a terminal says it there."""
        return self.root / "server.log"

    @property
    def run_users(self) -> Path:
        """Held with a shared flock by every `mooring run` that uses the server; its content is the identity of the
        server that one of them started, as JSON.
        """
        return self.root / "run-users.lock"

    @property
    def botocore_data(self) -> Path:
        """Data that `mooring env` has AWS's clients for Python read."""
        return self.root / "botocore"

    @property
    def run(self) -> Path:
        """What is true only while processes live."""
        return self.root / "run"

    @property
    def server_file(self) -> Path:
        """`{"pid", "start_time", "url", "version", "workers"}` of the running server, written when it accepts."""
        return self.run / "server.json"

    @property
    def local_credentials(self) -> Path:
        """The access key with which this user's own commands call the server, while it asks for keys; 0600."""
        return self.run / "credentials.json"

    @property
    def served_pair(self) -> Path:
        """The certificate and the key that gateways serve TLS with, in one file."""
        return self.run / "tls.pem"

    @property
    def certificate(self) -> Path:
        """The certificate of `served_pair`, with its chain, for clients to trust."""
        return self.run / "certificate.pem"

    @property
    def certificate_facts(self) -> Path:
        """What that certificate says, as JSON."""
        return self.run / "certificate.json"

    @property
    def replicas(self) -> Path:
        """`<replica id>/identity.json` and `<replica id>/exit.json`."""
        return self.run / "replicas"

    def gateway_routes(self, index: int) -> Path:
        """The routes that gateway `index` last acknowledged, a file an endpoint."""
        return self.run / "gateways" / str(index) / "routes"

    @property
    def serverless_slots(self) -> Path:
        """What gateways lock a byte of for each call of a serverless variant; it is empty."""
        return self.run / "serverless-slots"

    @property
    def sessions(self) -> Path:
        """Which replica has which stateful session, a file each."""
        return self.run / "sessions"

    @property
    def sockets(self) -> Path:
        """Directory of Unix sockets, 0700; made by `make_private_directories`."""
        direct = self.run / "sockets"
        if len(os.fsencode(direct)) + 1 + LONGEST_SOCKET_NAME <= LONGEST_SOCKET_PATH:
            return direct
        import hashlib  # with `tempfile` 5 MB, which most processes never need
        import tempfile

        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"mooring-{os.getuid()}-{digest}"

    @property
    def control_socket(self) -> Path:
        """Control's HTTP edge: API calls from the gateways."""
        return self.sockets / "control.sock"

    @property
    def routes_socket(self) -> Path:
        """Control's side of the route channel."""
        return self.sockets / "routes.sock"

    @property
    def handover_socket(self) -> Path:
        """Where the objects front takes connections over from the gateways."""
        return self.sockets / "handover.sock"

    @property
    def s3_socket(self) -> Path:
        """The objects front's own HTTP listener, for Mooring's own S3 calls."""
        return self.sockets / "s3.sock"

    @property
    def keys_socket(self) -> Path:
        """Where control makes and opens data keys for the objects front."""
        return self.sockets / "keys.sock"

    @property
    def neighbours_socket(self) -> Path:
        """Where the neighbours process answers control."""
        return self.sockets / "neighbours.sock"

    def gateway_socket(self, index: int) -> Path:
        """Where gateway `index` takes plain HTTP from the objects front."""
        return self.sockets / f"gateway-{index}.sock"

    def replica_socket(self, replica_id: str) -> Path:
        """The socket of one replica; never reused, since replica ids are not."""
        return self.sockets / f"{replica_id}.sock"

    def make_private_directories(self) -> None:
        """Create the directories that every process expects; raises `DataDirectoryError` where that fails."""
        wanted = (
            self.root,
            self.run,
            self.replicas,
            self.logs,
            self.objects,
            self.capture,
            self.async_jobs,
            self.artifacts,
            self.baselines,
            self.environments,
            self.hub,
            self.sockets,
        )
        for directory in wanted:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise DataDirectoryError(f"cannot create {directory}: {error.strerror}") from None
        found = self.sockets.lstat()
        if found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise DataDirectoryError(f"{self.sockets} is open to others: remove it, or make it 0700 and your own")
