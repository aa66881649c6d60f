"""Everything that a deployment needs to know before it makes anything: what is taken, what serves it, and the archives.

What is wrong with the source, the name or the framework is found here, and costs nobody anything.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from mooring.cli.client import Client
from mooring.cli.deploy import guessing, packing, planning, sources
from mooring.cli.deploy.packing import Archive
from mooring.cli.deploy.planning import Model, Order, Plan, Wanted
from mooring.cli.deploy.sources import CODE, HEAD_BYTES, SCRIPT, Source
from mooring.cli.progress import Steps, size
from mooring.cli.s3 import S3
from mooring.errors import BadInput, NotFound, Unavailable
from mooring.hosting.instance_types import is_accelerated

MOST_KEYS = 1000
LOADER = """\
import os

import joblib


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, {name!r}))
"""


class Preparation:
    """Makes the plan of one order."""

    def __init__(self, order: Order, client: Client, s3: S3, steps: Steps, scratch: Path) -> None:
        self._order = order
        self._client = client
        self._s3 = s3
        self._steps = steps
        self._scratch = scratch
        status = client.status()
        self._default_region = str(status.get("region"))
        account = str(status.get("account"))
        self._bucket = order.bucket or f"sagemaker-{s3.region}-{account}"
        self._role = order.role or f"arn:aws:iam::{account}:role/mooring"

    def plan(self) -> Plan:
        """Look at everything and pack what is to be packed. Raises `BadInput` for what cannot be deployed."""
        order = self._order
        models = tuple(self._model(wanted) for wanted in order.wanted)
        variants = planning.variants_of(order, [model.name for model in models])
        return Plan(
            url=self._client.url,
            region=self._s3.region,
            default_region=self._default_region,
            role=self._role,
            endpoint=order.name,
            config=planning.config_name(order, variants),
            bucket=self._bucket,
            makes_bucket=any(model.archive for model in models) and not self._s3.has_bucket(self._bucket),
            models=models,
            variants=variants,
        )

    def _model(self, wanted: Wanted) -> Model:
        source, archive = self._found(wanted)
        self._steps.said(self._name("source", wanted), source.summary())
        framework, image = self._image(wanted, source)
        if framework == "sklearn" and archive is None and source.entries:
            source = self._with_script(wanted, source)
        if source.entries:
            archive = self._packed(wanted, source)
        bucket, key, uri = self._bucket, "", wanted.given
        if archive is not None:
            key = planning.key_of(self._order.name, archive)
            uri = f"s3://{bucket}/{key}"
        program = source.program if self._order.environment.get("SAGEMAKER_PROGRAM") is None else None
        container = planning.container_of(self._order, source, image, uri, program=program)
        name = planning.model_name(self._order, wanted, container, self._role)
        return Model(wanted, source, archive, bucket, key, framework, name, container)

    def _found(self, wanted: Wanted) -> tuple[Source, Archive | None]:
        given = wanted.given
        if given.startswith("s3://"):
            return self._in_s3(wanted), None
        if "://" in given:
            raise BadInput(f"{given}: a directory, a file or an s3:// URI can be deployed")
        if not sources.is_archive(given) or Path(given).is_dir():
            return sources.of_path(given), None
        path = Path(given)
        try:
            total = path.stat().st_size
            with self._steps.step(self._name("read", wanted), f"{given}, {size(total)}", total) as step:
                archive = packing.archive_at(path, step.advance)
                with path.open("rb") as file:
                    heads = packing.look_into(file, given)
        except OSError as error:
            raise BadInput(f"{given}: {error.strerror}") from None
        return Source(given, "archive", heads), archive

    def _in_s3(self, wanted: Wanted) -> Source:
        given = wanted.given
        bucket, key = urlsplit(given).netloc, given.removeprefix(f"s3://{urlsplit(given).netloc}").lstrip("/")
        if not bucket or not (sources.is_archive(key) or key.endswith("/")):
            raise BadInput(f"{given}: the URI of a .tar.gz is needed, or of a prefix, which ends in /")
        try:
            with self._steps.step(self._name("read", wanted), given):
                if key.endswith("/"):
                    return Source(given, "s3 prefix", dict(self._below(given, bucket, key)))
                with self._s3.reading(bucket, key) as stream:
                    return Source(given, "s3 archive", packing.look_into(stream, given))
        except NotFound as error:
            raise NotFound(f"{given}: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{given} could not be read: {error}") from None

    def _below(self, given: str, bucket: str, prefix: str) -> Iterator[tuple[str, bytes]]:
        keys = [key for key in self._s3.keys(bucket, prefix, MOST_KEYS) if not key.endswith("/")]
        if not keys:
            raise BadInput(f"there is nothing to deploy at {given}: no key begins with it")
        for key in keys:
            name = key.removeprefix(prefix)
            if not sources.is_telling(name):
                yield name, b""
                continue
            with self._s3.reading(bucket, key) as stream:
                yield name, stream.read(HEAD_BYTES)

    def _image(self, wanted: Wanted, source: Source) -> tuple[str | None, str]:
        named, everywhere = wanted.variant, ""
        image = self._order.images.get(named) or self._order.images.get(everywhere)
        if image is not None:
            self._steps.said(self._name("image", wanted), image)
            return None, image
        framework = self._order.frameworks.get(named) or self._order.frameworks.get(everywhere)
        why = "as asked"
        if framework is None:
            guess = guessing.guess(source)
            framework, why = guess.framework, guess.why
        processor = "gpu" if is_accelerated(self._order.instance_type) else "cpu"
        image = str(self._client.image(framework, self._s3.region, processor)["image"])
        self._steps.said(self._name("framework", wanted), f"{framework} ({why}), image {image.rpartition('/')[2]}")
        return framework, image

    def _with_script(self, wanted: Wanted, source: Source) -> Source:
        """scikit-learn's container has no model_fn of its own; for one pickle there is only one that can be meant."""
        if source.program is not None or "SAGEMAKER_PROGRAM" in self._order.environment:
            return source
        found = guessing.pickles(source)
        if len(found) != 1:
            holds = f"{len(found)} pickles at its top" if found else "no pickle at its top"
            raise BadInput(
                f"{source.given} has no script and {holds}: put an {SCRIPT} there, whose model_fn(model_dir) loads the "
                "model"
            )
        self._steps.said(self._name("script", wanted), f"{CODE}/{SCRIPT} added, whose model_fn loads {found[0]}")
        return sources.with_text(source, f"{CODE}/{SCRIPT}", LOADER.format(name=found[0]).encode())

    def _packed(self, wanted: Wanted, source: Source) -> Archive:
        target = self._scratch / f"{wanted.variant}.tar.gz"
        with self._steps.step(self._name("pack", wanted), "model.tar.gz", source.size) as step:
            archive = packing.pack(source.entries, target, step.advance)
            step.tell(f"{size(source.size)} as model.tar.gz, {size(archive.size)}")
        return archive

    def _name(self, name: str, wanted: Wanted) -> str:
        return name if len(self._order.wanted) == 1 else f"{wanted.variant}: {name}"
