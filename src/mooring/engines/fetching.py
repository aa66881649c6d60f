"""The child that fetches model data and unpacks it: `python -m mooring.engines.fetching`.

Reads one job as JSON from standard input and prints one JSON line: `{"made_with": {…}}` or `{"error": "…"}`. It is
killed when its time is over, has bounded memory, and writes below one directory only; control never touches an archive
itself, nor looks into a model.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path, PurePosixPath

from mooring.engines.containers import FetchJob
from mooring.engines.evidence import made_with
from mooring.engines.unpacking import Readable, unpack
from mooring.errors import ArtifactError
from mooring.objects.client import S3Source, open_source
from mooring.paths import Paths
from mooring.settings import ArtifactSettings, load

MEMORY_LIMIT_BYTES = 2 * 1024**3
COPY_BYTES = 1024 * 1024


class _Bounded:
    """A readable that refuses to deliver more than it may."""

    def __init__(self, stream: Readable, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ArtifactError("it is larger than the limit for model data")
        return data


def fetch(source: S3Source, job: FetchJob, bounds: ArtifactSettings) -> None:
    """Bring the job's objects into its target. Raises `ArtifactError`."""
    target = Path(job.target)
    if not job.prefix:
        _fetch_object(source, job, target, bounds)
        return
    room = bounds.unpacked_limit_bytes
    count = 0
    for key, size in source.list(job.bucket, job.key):
        relative = PurePosixPath(key.removeprefix(job.key).lstrip("/") or PurePosixPath(key).name)
        if key.endswith("/"):
            continue
        if ".." in relative.parts:
            raise ArtifactError(f'the key "{key}" would be written outside the model directory')
        room -= size
        count += 1
        if room < 0 or count > bounds.file_limit:
            raise ArtifactError("there is more below the prefix than the limit for model data")
        _save(source, job.bucket, key, target / relative, bounds.unpacked_limit_bytes)
    if count == 0:
        raise ArtifactError("there is no object below that prefix")


def _fetch_object(source: S3Source, job: FetchJob, target: Path, bounds: ArtifactSettings) -> None:
    if job.archive:
        with source.get(job.bucket, job.key) as stream:
            unpack(_Bounded(stream, bounds.compressed_limit_bytes), target, bounds)
    else:
        _save(source, job.bucket, job.key, target / PurePosixPath(job.key).name, bounds.unpacked_limit_bytes)


def _save(source: S3Source, bucket: str, key: str, path: Path, limit: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with source.get(bucket, key) as stream, path.open("wb") as sink:
        bounded = _Bounded(stream, limit)
        while chunk := bounded.read(COPY_BYTES):
            sink.write(chunk)


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = FetchJob(**json.load(sys.stdin))
    settings = load()
    try:
        fetch(open_source(settings, Paths(Path(job.data_root))), job, settings.artifacts)
    except ArtifactError as error:
        answer: dict[str, object] = {"error": str(error)}
    except OSError as error:
        answer = {"error": f"it could not be written: {error.strerror or error}"}
    except MemoryError:
        answer = {"error": "its headers need more memory than model data may take"}
    else:
        answer = {"made_with": made_with(Path(job.target), job.framework) if job.framework else {}}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
