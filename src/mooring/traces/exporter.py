"""The child process that makes spans and sends them: `python -m mooring.traces.exporter`.

It reads what its gateway tells of sampled calls, and sends spans over OTLP, in batches, with OpenTelemetry's exporter,
which tries again by itself. While a collector is away its input waits, and then its gateway drops what is too much:
that is counted and said here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from mooring import settings as settings_module
from mooring.processes.attendants import Batches
from mooring.traces.spans import Told, spans_of

log = logging.getLogger("mooring.traces")

NICENESS = 10
EVERY_S = 1.0
MOST_SPANS = 512
"""In one batch."""
EXPORT_TIMEOUT_S = 5.0
_READ_BYTES = 1 << 18


class Exporting:
    """Collects spans and sends them when it is time."""

    def __init__(self, endpoint: str) -> None:
        # OTEL_RESOURCE_ATTRIBUTES are looked at too.
        self._resource = Resource.create({SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "mooring")})
        self._exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S)
        self._spans: list[ReadableSpan] = []
        self._failing = False

    def take(self, frame: tuple[object, ...]) -> None:
        """What a gateway tells: of a call, or how many calls it could not tell of."""
        if len(frame) == 1:
            log.warning("the spans of %s calls are lost: the collector does not take them in time", frame[0])
            return
        self._spans += spans_of(Told(*frame), self._resource, time.time() - time.perf_counter())  # type: ignore[arg-type]
        if len(self._spans) >= MOST_SPANS:
            self.send()

    def send(self) -> None:
        """Send what there is; what cannot be sent is lost."""
        spans, self._spans = self._spans, []
        if not spans:
            return
        failed = self._exporter.export(spans) is not SpanExportResult.SUCCESS
        if failed:
            log.warning("%d spans are lost: the collector did not take them", len(spans))
        elif self._failing:
            log.warning("the collector takes spans again")
        self._failing = failed


def main() -> None:
    """Send spans until standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the gateway says when it is over
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    settings = settings_module.load()
    logging.basicConfig(level=settings.server.log_level.upper(), format="%(asctime)s traces %(levelname)s %(message)s")
    for noisy in ("opentelemetry", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    exporting, batches = Exporting(settings.traces.endpoint), Batches()
    due = time.monotonic() + EVERY_S
    while True:
        ready = select.select([0], [], [], max(0.0, due - time.monotonic()))[0]
        if ready:
            data = os.read(0, _READ_BYTES)
            if not data:
                break
            for frame in batches.feed(data):
                exporting.take(frame)
        if time.monotonic() >= due:
            exporting.send()
            due = time.monotonic() + EVERY_S
    exporting.send()


if __name__ == "__main__":
    main()
