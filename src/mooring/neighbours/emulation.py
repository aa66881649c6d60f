"""All that touches moto: calls go straight to its services, without its web server and its admin pages.

Some places of moto are made fit for a server that must last, before its services are imported:

- Its clock and its random numbers are given to it, so that a call that is made again has the times and ids it had.
- Every call runs under one lock, the `monitor`, as moto is not made for threads. A receiver that waits for messages
  gives it up while it waits, because queues wait on that very lock.
- Publishing goes to each subscriber by itself: one that cannot be reached fails no publisher and no other subscriber.
  What goes to a URL is handed to `deliver`, as the request would otherwise be sent within the call.

This module may be imported without moto; `Emulation` may not be made without it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mooring.hosting.naming import CALLERS_ROLE_ID
from mooring.neighbours import simulating
from mooring.neighbours.calls import FORM, Call
from mooring.wire.service_index import endpoint_variables, signed_as

log = logging.getLogger("mooring.neighbours")

_RESPONSES = {
    "iam": ("iam", "IamResponse"),
    "logs": ("logs", "LogsResponse"),
    "monitoring": ("cloudwatch", "CloudWatchResponse"),
    "sns": ("sns", "SNSResponse"),
    "sqs": ("sqs", "SQSResponse"),
    "sts": ("sts", "TokenResponse"),
}
"""moto's package and class by signing name; the package is called like botocore's service."""
_OWN_HEADERS = frozenset(("server", "date", "status", "content-length", "connection"))
_THE_ROLES_BIRTH = datetime(2017, 11, 29, tzinfo=UTC).timestamp()
_TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, '
    '"Action": "sts:AssumeRole"}]}'
)

Deliver = Callable[[str, dict[str, Any], dict[str, str]], None]
"""Takes a URL, a notification and headers; returns at once."""


class Unimplemented(Exception):
    """moto does not have the operation; `str()` says so, and what can be done."""

    def __init__(self, call: Call) -> None:
        variables = endpoint_variables(signed_as(call.service)[:1])
        super().__init__(
            f"Mooring does not implement the operation {call.operation} of {call.service}: {variables} sends the calls "
            "of this service elsewhere."
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What moto said."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Emulation:
    """The services. `role` is the role that every account has, `scheme` that of the URLs that queues are told by."""

    def __init__(self, role: str, deliver: Deliver, scheme: str = "http") -> None:
        os.environ.update({"MOTO_ALLOW_NONEXISTENT_REGION": "true", "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"})
        self.monitor = threading.RLock()
        """To be held by whoever calls `call`."""
        self._role = role
        self._deliver = deliver
        self._scheme = scheme
        self._at: float | None = None
        self._with_role: set[tuple[str, str]] = set()
        self._loaded: dict[str, Any] = {}
        self._replace_clock()
        self._random = _module("moto.moto_api._internal").mock_random
        self._request = _module("moto.core.request").Request.from_primitives
        self._model_of = _module("moto.core.utils").get_service_model

    def call(self, call: Call, at: float | None = None, seed: int | None = None) -> Answer:
        """Make a call, as of the time `at` and with the ids that `seed` gives. Raises `Unimplemented`."""
        if call.operation not in self._model_of(_RESPONSES[call.service][0]).operation_names:
            raise Unimplemented(call)
        response = self._loaded.get(call.service) or self._load(call.service)
        if call.service in ("iam", "sts"):
            self._give_role(call.account, call.region)
        request = self._request("POST", f"{self._scheme}://{call.host}{call.path}", _headers(call), call.body.encode())
        with self._as_of(at, seed):
            try:
                status, headers, body = response.dispatch(request, request.raw_url, request.headers)
            except NotImplementedError as error:
                log.warning("moto does not implement %s of %s: %s", call.operation, call.service, error)
                raise Unimplemented(call) from None
        return Answer(int(status), _told(call, headers), body.encode() if isinstance(body, str) else bytes(body))

    @contextlib.contextmanager
    def _as_of(self, at: float | None, seed: int | None) -> Iterator[None]:
        self._at = at
        if seed is not None:
            self._random.seed(seed)
        try:
            yield
        finally:
            self._at = None
            if seed is not None:
                self._random.seed()  # else the ids of messages would repeat after every start

    def _load(self, service: str) -> Any:
        package, name = _RESPONSES[service]
        responses = _module(f"moto.{package}.responses")
        if service in ("sns", "sqs"):
            _module("moto.sqs.models").Condition = functools.partial(threading.Condition, self.monitor)
        if service == "sns":
            _replace_publishing(self._deliver)
        if service == "iam":
            simulating.add_to(responses.IamResponse)
        return self._loaded.setdefault(service, getattr(responses, name))

    def _replace_clock(self) -> None:
        utils = _module("moto.core.utils")

        def utcnow() -> datetime:
            return datetime.fromtimestamp(time.time() if self._at is None else self._at, UTC).replace(tzinfo=None)

        utils.utcnow = utcnow  # the services, imported later, take it from here

    def _give_role(self, account: str, region: str) -> None:
        """Make the role that every caller has, before anything else happens in an account."""
        partition = _module("moto.utilities.utils").get_partition(region)
        if (account, partition) in self._with_role:
            return
        self._with_role.add((account, partition))
        backend = _module("moto.iam.models").iam_backends[account][partition]
        with self._as_of(_THE_ROLES_BIRTH, 0):
            role = backend.create_role(
                role_name=self._role,
                assume_role_policy_document=_TRUST,
                path="/",
                permissions_boundary=None,
                description="The role that every caller of Mooring has.",
                tags=[],
                max_session_duration="3600",
            )
        backend.roles[CALLERS_ROLE_ID] = backend.roles.pop(role.id)
        role.id = CALLERS_ROLE_ID


def _told(call: Call, headers: Mapping[Any, Any]) -> tuple[tuple[bytes, bytes], ...]:
    """moto's headers, without those that are the server's to say; of JSON moto often says no type."""
    told = {"content-type": call.content_type} if call.content_type != FORM else {}
    told.update({str(name).lower(): str(value) for name, value in headers.items()})
    kept = {name: value for name, value in told.items() if name not in _OWN_HEADERS}
    return tuple((name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in kept.items())


def _module(name: str) -> Any:
    return importlib.import_module(name)


class _Poster:
    """In the place of `requests` where moto's SNS posts to subscribers."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def post(self, url: str, *, json: dict[str, Any], headers: dict[str, str]) -> None:
        self._deliver(url, json, headers)


def _replace_publishing(deliver: Deliver) -> None:
    models = _module("moto.sns.models")
    models.requests = _Poster(deliver)
    original: type[Any] = models.Subscription

    class Subscription(original):  # type: ignore[misc]
        key: Any = None  # one for all: moto makes one for each, in half a second

        def private_key(self) -> Any:
            if Subscription.key is None:
                Subscription.key = super().private_key()
            return Subscription.key

        def publish(self, *arguments: Any, **named: Any) -> None:
            try:
                super().publish(*arguments, **named)
            except Exception as error:  # noqa: BLE001 - whatever a subscriber's service raised is not the publisher's
                log.warning("a message of %s did not reach %.200r: %r", self.topic_arn, self.endpoint, error)

    models.Subscription = Subscription


def _headers(call: Call) -> dict[str, str]:
    scope = f"{call.access_key_id}/20260101/{call.region}/{call.service}/aws4_request"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        "Content-Type": call.content_type,
        "x-moto-account-id": call.account,
    }
    if call.content_type != FORM:
        headers["X-Amz-Target"] = f"{call.service}.{call.operation}"
    return headers
