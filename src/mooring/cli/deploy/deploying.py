"""The work of `mooring deploy`: each request of the plan, and everything unmade again when one of them fails.

What this command made is deleted when it does not come as far as its endpoint, also on Ctrl-C and SIGTERM. From
CreateEndpoint on nothing is taken away: an endpoint that failed stays, since what it says is why one looks at it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mooring.cli import signals
from mooring.cli.aws import SageMaker
from mooring.cli.client import Client
from mooring.cli.deploy import equivalents, following
from mooring.cli.deploy.planning import Model, Order, Plan
from mooring.cli.deploy.preparing import Preparation
from mooring.cli.progress import Steps, size
from mooring.cli.s3 import S3, s3_of
from mooring.errors import AlreadyExists, MooringError, Unavailable

DELETED_WITHIN_S = 180.0
POLL_S = 0.1


class Deployment:
    """One run of the command."""

    def __init__(self, order: Order, client: Client, region: str, steps: Steps, *, replace: bool = False) -> None:
        self._order = order
        self._replaces = replace
        self._client = client
        self._steps = steps
        self._sagemaker = SageMaker(client.url, region, credentials=client.credentials)
        self._s3: S3 = s3_of(client.url, region, os.environ, client.credentials)
        self._made: list[tuple[str, Callable[[], bool]]] = []
        """What was made, or may have been, and what deletes it: False when it is not there."""
        self._asked = False
        """Whether CreateEndpoint was sent, whatever came of it."""

    def show(self) -> None:
        """Make nothing and print what would do it."""
        with tempfile.TemporaryDirectory(prefix="mooring-deploy-") as scratch:
            print(equivalents.script(self._plan(scratch)))

    def run(self, *, wait: bool) -> int:
        """Deploy, and return the command's exit code."""
        with signals.leaving_on_sigterm():
            self._refuse_taken()
            with tempfile.TemporaryDirectory(prefix="mooring-deploy-") as scratch:
                plan = self._plan(scratch)
                try:
                    self._make(plan)
                except BaseException:
                    with signals.ignoring():
                        self._unmake(plan)
                    raise
            if wait:
                return following.follow(plan, self._client, self._steps)
        print(following.begun(plan))
        return 0

    def _plan(self, scratch: str) -> Plan:
        return Preparation(self._order, self._client, self._s3, self._steps, Path(scratch)).plan()

    def _refuse_taken(self) -> None:
        found = self._sagemaker.find("DescribeEndpoint", EndpointName=self._order.name)
        if found is not None and not self._replaces:
            raise AlreadyExists(
                f"there is an endpoint {self._order.name} already ({found.get('EndpointStatus')}): --replace deletes "
                "that one first, --name gives this one another name"
            )

    def _make(self, plan: Plan) -> None:
        for model in plan.models:
            if model.archive is not None:
                self._upload(plan, model)
        for model in plan.models:
            self._create("model", "Model", plan.model_request(model))
        self._create("config", "EndpointConfig", plan.config_request())
        if self._replaces:
            self._delete_old(plan)
        with self._steps.step("endpoint", plan.endpoint):
            self._asked = True
            self._sagemaker.call("CreateEndpoint", **plan.endpoint_request())

    def _upload(self, plan: Plan, model: Model) -> None:
        assert model.archive is not None
        if not self._s3.has_bucket(model.bucket):
            self._made.append((f"bucket {model.bucket}", lambda: self._s3.delete_bucket(model.bucket)))
            with self._steps.step("bucket", model.bucket):
                self._s3.make_bucket(model.bucket)
        uri = f"s3://{model.bucket}/{model.key}"
        if self._s3.size_of(model.bucket, model.key) == model.archive.size:
            self._steps.said("upload", f"{uri} is there already")
            return
        self._made.append((uri, lambda: self._s3.delete(model.bucket, model.key)))
        with self._steps.step("upload", uri, model.archive.size) as step:
            began = time.monotonic()
            self._s3.put(model.bucket, model.key, model.archive.path, model.archive.digest, step.advance)
            speed = model.archive.size / max(time.monotonic() - began, 1e-6)
            step.tell(f"{uri}, {size(model.archive.size)} at {size(int(speed))}/s")

    def _create(self, what: str, kind: str, request: dict[str, object]) -> None:
        """Create a model or config, unless an earlier deployment has left this very one."""
        member = f"{kind}Name"
        name = request[member]
        if self._sagemaker.find(f"Describe{kind}", **{member: name}) is not None:
            self._steps.said(what, f"{name} is there already")
            return
        delete = partial(self._sagemaker.find, f"Delete{kind}", **{member: name})
        self._made.append((f"{what} {name}", lambda: delete() is not None))
        with self._steps.step(what, str(name)):
            self._sagemaker.call(f"Create{kind}", **request)

    def _delete_old(self, plan: Plan) -> None:
        found = self._sagemaker.find("DescribeEndpoint", EndpointName=plan.endpoint)
        if found is None:
            return
        with self._steps.step("replace", f"the old {plan.endpoint} is deleted"):
            if found.get("EndpointStatus") in ("InService", "Failed"):
                self._sagemaker.call("DeleteEndpoint", EndpointName=plan.endpoint)
            elif found.get("EndpointStatus") != "Deleting":
                self._client.force_delete(plan.endpoint, plan.region)
            deadline = time.monotonic() + DELETED_WITHIN_S
            while self._sagemaker.find("DescribeEndpoint", EndpointName=plan.endpoint) is not None:
                if time.monotonic() > deadline:
                    raise Unavailable(f"the old {plan.endpoint} was not deleted within {DELETED_WITHIN_S:g} s")
                time.sleep(POLL_S)

    def _unmake(self, plan: Plan) -> None:
        """Delete what this command made, unless its endpoint is there: then that is what is left of it."""
        if self._asked and self._is_there(plan):
            self._steps.note("endpoint", f"{plan.endpoint} was created nevertheless, and stays")
            return
        for what, unmake in reversed(self._made):
            try:
                if unmake():
                    self._steps.note("clean up", f"{what} is deleted again")
            except MooringError as error:
                self._steps.failed("clean up", f"{what} is left behind: {error}")

    def _is_there(self, plan: Plan) -> bool:
        try:
            found = self._sagemaker.find("DescribeEndpoint", EndpointName=plan.endpoint)
        except MooringError:
            return False
        return found is not None and found.get("EndpointConfigName") == plan.config
