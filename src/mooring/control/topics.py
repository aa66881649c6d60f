"""Publishing to SNS topics: the one next door, or another where a setting names it."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urlencode

from mooring.control.neighbours import Neighbours
from mooring.control.sns import Sns
from mooring.errors import NotInstalled, Refused, Unavailable
from mooring.http1.messages import Request

ARN_PARTS = 6
NO_SUCH_TOPIC = (
    "there is no such topic (Mooring's SNS is its own, and AWS's topics are not in it: make the topic there with "
    "AWS_ENDPOINT_URL set, in the region and the account that its ARN names)"
)
_ELEMENT = "<{0}>([^<]{{1,200}})"


class Topics:
    """One for all who have something to tell."""

    def __init__(self, neighbours: Neighbours, sns_url: str) -> None:
        self._neighbours = neighbours
        self._elsewhere = Sns(sns_url) if sns_url else None

    async def publish(self, topic: str, message: str, notice_id: str, subject: str | None = None) -> None:
        """Tell a topic. `notice_id` is the same at each try, so that a try whose answer was lost is not told twice:
        next door, that is. An SNS elsewhere may be told twice then.

        Raises `Unavailable` for what may be tried again, and `Refused` for what may not.
        """
        parts = topic.split(":")
        if len(parts) != ARN_PARTS or not parts[3]:
            raise Refused(f"{topic} is not the ARN of a topic.")
        fields = {"TopicArn": topic, "Message": message}
        if subject is not None:
            fields["Subject"] = subject
        if self._elsewhere is not None:
            await self._elsewhere.publish(parts[3], fields)
        else:
            await self._publish_next_door(parts[3], fields, notice_id)

    def close(self) -> None:
        """Begin nothing more."""
        if self._elsewhere is not None:
            self._elsewhere.close()

    async def _publish_next_door(self, region: str, fields: dict[str, str], notice_id: str) -> None:
        request = Request()
        request.method, request.target = b"POST", b"/"
        credential = f"mooring/20200101/{region}/sns/aws4_request"
        authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={'0' * 64}"
        request.headers = [
            (b"host", b"localhost"),
            (b"authorization", authorization.encode("latin-1", "replace")),
            (b"content-type", b"application/x-www-form-urlencoded"),
            (b"amz-sdk-invocation-id", notice_id.encode()),
        ]
        request.body = urlencode({"Action": "Publish", "Version": "2010-03-31", **fields}).encode()
        try:
            answer = await self._neighbours.ask(request, notice_id)
        except NotInstalled:
            raise Refused("SNS is an extra of Mooring's that is not installed.") from None
        if answer.status >= 500:
            raise Unavailable(f"SNS answered with status {answer.status}.")
        if answer.status != 200:
            raise Refused(refusal(answer.status, answer.body))


def refusal(status: int, body: bytes) -> str:
    """What an error of SNS says, in words for the one who named the topic."""
    text = body.decode("utf-8", "replace")
    code, message = (re.search(_ELEMENT.format(name), text) for name in ("Code", "Message"))
    if code is not None and code[1] == "NotFound":
        return NO_SUCH_TOPIC
    return (
        f"SNS answered with status {status}: {json.dumps(text[:200] if message is None else html.unescape(message[1]))}"
    )
