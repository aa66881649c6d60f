"""Topics of an SNS elsewhere: what may be tried again, what may not, and who waits for one that is slow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

from mooring.control import sns as room
from mooring.control.topics import Topics
from mooring.errors import MooringError, Refused, Unavailable
from tests.acceptance.telling import Sns

TOPIC, SLOW = "arn:aws:sns:eu-west-1:111122223333:t", "arn:aws:sns:eu-west-1:111122223333:slow"


@pytest.fixture
def sns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sns]:
    for name, value in (("AWS_ACCESS_KEY_ID", "AKIDMINE"), ("AWS_SECRET_ACCESS_KEY", "secret")):
        monkeypatch.setenv(name, value)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Sns()
    yield made
    made.close()


def played(url: str, script: Callable[[Topics], Awaitable[None]]) -> None:
    async def run() -> None:
        topics = Topics(cast(Any, None), url)
        try:
            await script(topics)
        finally:
            topics.close()

    asyncio.run(run())


async def problem(topics: Topics, topic: str = TOPIC) -> MooringError | None:
    try:
        await topics.publish(topic, "message", "id")
    except MooringError as error:
        return error
    return None


def test_a_message_goes_there_signed_for_the_topics_region_over_a_kept_connection(sns: Sns) -> None:
    async def script(topics: Topics) -> None:
        for _ in range(5):
            assert await problem(topics) is None
        await topics.publish(TOPIC, "ünicode & more", "id", "a subject")

    played(sns.url, script)
    assert {"Action": "Publish", "TopicArn": TOPIC, "Message": "message"}.items() <= sns.heard[0].items()
    assert (sns.heard[-1]["Message"], sns.heard[-1]["Subject"]) == ("ünicode & more", "a subject")
    assert "Subject" not in sns.heard[0]
    assert all("Credential=AKIDMINE/" in each and "/eu-west-1/sns/aws4_request" in each for each in sns.authorizations)
    assert len(sns.connections) == 1


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (500, "InternalFailure", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
        (429, "TooManyRequests", Unavailable),
        (400, "Throttling", Unavailable),
        (400, "KMSThrottling", Unavailable),
        (403, "ExpiredToken", Unavailable),
        (404, "NotFound", Refused),
        (403, "AuthorizationError", Refused),
        (400, "InvalidParameter", Refused),
    ],
)
def test_what_may_be_tried_again(sns: Sns, status: int, code: str, kind: type[MooringError]) -> None:
    async def script(topics: Topics) -> None:
        sns.outcome = (status, code)
        found = await problem(topics)
        assert type(found) is kind
        assert str(found) == f"SNS answered {code}: Topic does not exist"
        sns.outcome = (200, "")
        assert await problem(topics) is None

    played(sns.url, script)
    assert len(sns.calls) == 2  # the callers try again, nobody below them does


def test_an_sns_that_is_down_and_comes_up(sns: Sns) -> None:
    async def script(topics: Topics) -> None:
        assert await problem(topics) is None
        sns.close()
        for _ in range(2):
            found = await problem(topics)
            assert type(found) is Unavailable, found
            assert f"SNS at {sns.url} did not answer" in str(found)
        again = Sns(sns.port)
        try:
            assert await problem(topics) is None
            assert len(again.heard) == 1
        finally:
            again.close()

    played(sns.url, script)


def test_a_slow_topic_holds_up_nobody_else(sns: Sns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CALL_S", 1.0)

    async def script(topics: Topics) -> None:
        sns.slow.add(SLOW)
        slow = [asyncio.create_task(problem(topics, SLOW)) for _ in range(room.AT_ONCE - 1)]
        while len(sns.calls) < len(slow):
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(lambda: 1) == 1  # what other rooms do in threads
        assert await problem(topics) is None
        assert not any(task.done() and task.result() is None for task in slow)
        for found in await asyncio.gather(*slow):
            assert type(found) is Unavailable
            assert "did not answer within 1 s" in str(found)
        sns.release.set()

    played(sns.url, script)


def test_what_cannot_be_asked_is_refused(sns: Sns) -> None:
    async def script(topics: Topics) -> None:
        for topic in ("topic", "arn:aws:sns:-x:111122223333:t", "arn:aws:sns::111122223333:t"):
            assert isinstance(await problem(topics, topic), Refused), topic

    played(sns.url, script)
    assert not sns.calls


def test_an_answer_that_is_no_answer_is_tried_again(sns: Sns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.acceptance.telling.PUBLISHED", "<html>a proxy's page")

    async def script(topics: Topics) -> None:
        assert type(await problem(topics)) is Unavailable

    played(sns.url, script)


def test_many_regions_are_not_kept(sns: Sns) -> None:
    async def script(topics: Topics) -> None:
        for number in range(room.MOST_REGIONS + 3):
            assert await problem(topics, f"arn:aws:sns:region-{number}:111122223333:t") is None
        elsewhere = topics._elsewhere
        assert elsewhere is not None
        assert len(elsewhere._clients) == room.MOST_REGIONS

    played(sns.url, script)
    assert len(sns.heard) == room.MOST_REGIONS + 3
