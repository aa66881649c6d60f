"""What is told of an SNS that refuses."""

from __future__ import annotations

from mooring.control.topics import NO_SUCH_TOPIC, refusal

ERROR = '<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error>{0}</Error></ErrorResponse>'


def told(status: int, error: str) -> str:
    return refusal(status, ERROR.format(error).encode())


def test_a_topic_that_is_not_there_is_told_in_words() -> None:
    missing = "<Type>Sender</Type><Code>NotFound</Code><Message>Endpoint does not exist</Message>"
    assert told(404, missing) == NO_SUCH_TOPIC


def test_another_refusal_is_told_by_its_message() -> None:
    refused = "<Code>InvalidParameter</Code><Message>Message &amp; subject are too long</Message>"
    assert told(400, refused) == 'SNS answered with status 400: "Message & subject are too long"'


def test_what_is_no_error_of_sns_is_quoted_and_cut() -> None:
    assert refusal(403, b"\xff<Code>" + b"x" * 900) == 'SNS answered with status 403: "\\ufffd<Code>' + "x" * 193 + '"'
