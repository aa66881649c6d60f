"""The child that fetches a baseline and reads it: `python -m mooring.explainer.preparing.fetching`.

Reads one job as JSON from standard input and prints one JSON line: `{"records": …, "bytes": …}`, or `{"error": "…",
"away": …}`. It is killed when its time is over, and has bounded memory; control itself never touches what somebody put
into S3.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from mooring.errors import ArtifactError, BadInput
from mooring.explainer.preparing.baselines import BaselineJob
from mooring.explainer.preparing.vetting import planned
from mooring.hosting.explaining import baseline_uri
from mooring.hosting.failures import baseline_refused, baseline_unusable
from mooring.objects.async_client import is_away
from mooring.objects.client import S3Source, SourceError, open_source
from mooring.paths import Paths
from mooring.processes.files import sync_directory, write_atomically
from mooring.settings import Settings, load

MEMORY_LIMIT_BYTES = 2 * 1024**3
COPY_BYTES = 1024 * 1024


def fetch(source: S3Source, bucket: str, key: str, limit: int) -> bytes:
    """The object. Raises `ArtifactError`."""
    what = f"s3://{bucket}/{key}"
    with source.get(bucket, key) as stream:
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
    for directory in reversed([each for each in path.parents if not each.exists()]):
        directory.mkdir(mode=0o700, exist_ok=True)
        sync_directory(directory.parent)
    write_atomically(path, content, durable=True)


def answer_to(job: BaselineJob, settings: Settings) -> dict[str, object]:
    """Do the job, and say what came of it."""
    uri, source = baseline_uri(job.explainer) or "", open_source(settings, Paths(Path(job.data_root)))
    try:
        content = fetch(source, job.bucket, job.key, settings.explainer.baseline_limit_bytes)
        records = planned(job.explainer, content).baseline_rows
        keep(Path(job.target), content)
    except ArtifactError as error:
        away = isinstance(error, SourceError) and is_away(error)
        return {"error": baseline_refused(uri, str(error)), "away": away}
    except BadInput as error:
        return {"error": baseline_unusable(uri, str(error)), "away": False}
    except MemoryError:
        return {"error": baseline_unusable(uri, "it needs more memory than a baseline may take."), "away": False}
    except OSError as error:
        return {"error": baseline_unusable(uri, f"it could not be kept: {error.strerror or error}."), "away": True}
    return {"records": records, "bytes": len(content)}


def main() -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = answer_to(BaselineJob(**json.load(sys.stdin)), load())
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
