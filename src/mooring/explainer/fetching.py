"""The child that fetches a baseline and reads it: `python -m mooring.explainer.fetching`.

Reads one job as JSON from standard input and prints one JSON line: `{"records": …, "bytes": …}`, or `{"error": "…",
"away": …}`. It is killed when its time is over, and has bounded memory; control itself never touches what somebody put
into S3.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from mooring.errors import ArtifactError
from mooring.explainer.baselines import BaselineJob
from mooring.objects.async_client import is_away
from mooring.objects.client import S3Source, SourceError, open_source
from mooring.paths import Paths
from mooring.processes.files import sync_directory, write_atomically
from mooring.settings import load

MEMORY_LIMIT_BYTES = 2 * 1024**3
COPY_BYTES = 1024 * 1024


def fetch(source: S3Source, job: BaselineJob, limit: int) -> bytes:
    """The object. Raises `ArtifactError`."""
    what = f"s3://{job.bucket}/{job.key}"
    with source.get(job.bucket, job.key) as stream:
        if stream.length > limit:
            raise ArtifactError(f"{what} has {stream.length} bytes, and {limit} are the most")
        content = bytearray()
        while chunk := stream.read(COPY_BYTES):
            content += chunk
            if len(content) > limit:
                raise ArtifactError(f"{what} has more than {limit} bytes, which are the most")
    return bytes(content)


def keep(path: Path, content: bytes) -> None:
    """Write the file, so that it is there whole or not at all, also after a power loss."""
    missing = [each for each in path.parents if not each.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
    write_atomically(path, content, durable=True)


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    job = BaselineJob(**json.load(sys.stdin))
    settings = load()
    what = f"s3://{job.bucket}/{job.key}"
    answer: dict[str, object]
    try:
        content = fetch(open_source(settings, Paths(Path(job.data_root))), job, settings.explainer.baseline_limit_bytes)
        records = parsed(job.explainer, content, what)
        keep(Path(job.target), content)
    except SourceError as error:
        answer = {"error": str(error), "away": is_away(error)}
    except ArtifactError as error:
        answer = {"error": str(error), "away": False}
    except OSError as error:
        answer = {"error": f"it could not be written: {error.strerror or error}", "away": True}
    except MemoryError:
        answer = {"error": f"{what} needs more memory than a baseline may take", "away": False}
    else:
        answer = {"records": records, "bytes": len(content)}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def parsed(explainer: dict[str, object], content: bytes, what: str) -> int:
    """How many records there are."""
    if not content.strip():
        raise ArtifactError(f"{what} is empty")
    return len(content.splitlines())


if __name__ == "__main__":
    sys.exit(main())
