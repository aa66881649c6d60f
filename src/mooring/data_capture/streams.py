"""A stream: the records of one variant on their way to one place in S3.

It has a directory of the spool, named by what it is, with a description beside its segments; so wherever a segment is
found, its object's key follows from where it lies and how it is named, from the moment it was made.
"""

from __future__ import annotations

import functools
import hashlib
import json
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from mooring.processes.files import read_small, write_atomically

DESCRIPTION = "stream.json"
_FIELDS = 7
"""Of a segment's name, before its UUID: year to millisecond."""


@dataclass(frozen=True, slots=True)
class Stream:
    """All that says where records go, and how they are kept."""

    account: str
    region: str
    endpoint: str
    variant: str
    bucket: str
    prefix: str
    key_id: str = ""
    """KmsKeyId, for S3; with it records are sealed on disk."""
    sealed_data_key: str = ""
    """In base64: what they are sealed with, itself sealed."""

    @property
    def route_key(self) -> str:
        """Of the endpoint's route (`mooring.hosting.routes.route_key`)."""
        return f"{self.account}/{self.region}/{self.endpoint}"

    @property
    def uri(self) -> str:
        """Where the records go, for people."""
        return f"s3://{self.bucket}/{self._folder}"

    @property
    def _folder(self) -> str:
        parts = (self.prefix, self.endpoint, self.variant)
        return "/".join(part for part in parts if part)

    def id(self) -> str:
        """The name of its directory."""
        return hashlib.sha256(self._document().encode()).hexdigest()[:32]

    def key_of(self, segment: str) -> str:
        """The key in S3 of the object that a segment of this name becomes."""
        parts = segment.split("-", _FIELDS)
        year, month, day, hour, minute, second, milliseconds, identity = parts
        return f"{self._folder}/{year}/{month}/{day}/{hour}/{minute}-{second}-{milliseconds}-{identity}.jsonl"

    def describe(self, directory: Path) -> None:
        """Make the stream's directory, with its description. Raises OSError."""
        directory.mkdir(mode=0o700, exist_ok=True)
        if not (directory / DESCRIPTION).exists():
            write_atomically(directory / DESCRIPTION, self._document().encode())

    @staticmethod
    def read(directory: Path) -> Stream:
        """The stream of a directory. Raises OSError, ValueError or TypeError when that cannot be told."""
        return Stream(**json.loads(read_small(directory / DESCRIPTION)))

    def _document(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


def new_segment_name(now: float) -> str:
    """For a segment whose first record is of this moment, by the wall clock; sorts by time."""
    milliseconds = int(now * 1000)
    return f"{_second(milliseconds // 1000)}-{milliseconds % 1000:03d}-{uuid.uuid4()}"


@functools.lru_cache(maxsize=2)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(at))
