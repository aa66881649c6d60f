"""An SNS elsewhere: AWS's own, or another, by the URL of a setting.

Each call has a thread of this room's own, so that an SNS that is slow, or does not end its answers, holds nothing up
but what it is told: no other call of control waits for these threads, and who waits for one does so for `CALL_S`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from mooring.control.elsewhere import client_of
from mooring.errors import Refused, Unavailable

AT_ONCE = 32
READ_S = 10
CALL_S = 20.0
"""For a call with its connection, and with the wait for a thread while many are on their way."""
MOST_REGIONS = 16
"""Regions whose connections are kept: who names topics chooses the regions."""
_SHOWN = 300
_AGAIN_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_AGAIN_CODES = ("Throttl", "TooManyRequests", "RequestLimitExceeded", "SlowDown", "ExpiredToken", "RequestExpired")
"""Parts of codes that say nothing against the topic or the message, with whatever status they come."""


class Sns:
    """All topics of one SNS."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="sns")
        self._clients: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    async def publish(self, region: str, fields: dict[str, str]) -> None:
        """Publish. Raises `Unavailable` for what may be tried again, and `Refused` for what may not."""
        try:
            async with asyncio.timeout(CALL_S):
                await asyncio.get_running_loop().run_in_executor(self._threads, self._publish, region, fields)
        except TimeoutError:
            raise Unavailable(f"SNS at {self._url} did not answer within {CALL_S:g} s.") from None

    def close(self) -> None:
        """Begin no further call."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _publish(self, region: str, fields: dict[str, str]) -> None:
        from botocore.exceptions import ClientError, InvalidRegionError, ParamValidationError

        try:
            self._client(region).publish(**fields)
        except ClientError as error:
            raise self._told(error.response) from None
        except (InvalidRegionError, ParamValidationError) as error:
            raise Refused(f"SNS cannot be asked: {error}"[:_SHOWN]) from None
        except Exception as error:  # noqa: BLE001 - whatever a foreign service says, it has not taken the message
            raise Unavailable(f"SNS at {self._url} did not answer: {error}"[:_SHOWN]) from None

    def _told(self, answer: Any) -> Unavailable | Refused:
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        code = str(answer.get("Error", {}).get("Code", status))
        message = f"SNS answered {code}: {answer.get('Error', {}).get('Message', '')}"[:_SHOWN]
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _AGAIN_STATUSES:
            return Unavailable(message)
        return Unavailable(message) if any(part in code for part in _AGAIN_CODES) else Refused(message)

    def _client(self, region: str) -> Any:
        with self._lock:
            if region not in self._clients:
                made = client_of("sns", region, self._url, read_s=READ_S, attempts=1, connections=AT_ONCE)
                self._clients[region] = made
                if len(self._clients) > MOST_REGIONS:
                    self._clients.popitem(last=False)  # a thread may still be in a call of it
            self._clients.move_to_end(region)
            return self._clients[region]
