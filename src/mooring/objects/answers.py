"""An answer on its way: status, headers, and bytes or a range of a file."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

from mooring.objects import xml
from mooring.objects.content import Content
from mooring.objects.errors import S3Error
from mooring.objects.requests import is_header_text
from mooring.objects.streams import ClientGone, Pace, send_bytes, send_file

_log = logging.getLogger("mooring.objects")


@dataclass(slots=True)
class Answer:
    """What an operation returns. A file is sent from `offset`, and closed by `send` or `close`."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: int | None = None
    content: Content | None = None
    """What the file holds, when that is not its bytes."""
    offset: int = 0
    count: int = 0
    operation: str = "-"
    error: str = ""

    def close(self) -> None:
        """Close the file, sent or not."""
        if self.file is not None:
            os.close(self.file)
            self.file = None


def new_request_id() -> str:
    """An id as S3's: 16 characters."""
    return uuid.uuid4().hex[:16].upper()


def of_xml(name: str, fields: list[xml.Field], *, namespace: bool = True) -> Answer:
    """An XML document as the answer."""
    return Answer(200, {"content-type": "application/xml"}, xml.document(name, fields, namespace=namespace))


def of_error(error: S3Error, resource: str, request_id: str) -> Answer:
    """S3's form of an error."""
    if error.status == HTTPStatus.NOT_MODIFIED:
        return Answer(error.status, error=error.code)
    fields: list[xml.Field] = [("Code", error.code), ("Message", str(error))]
    fields += list(error.details.items())
    fields += [("Resource", resource), ("RequestId", request_id), ("HostId", "mooring")]
    answer = of_xml("Error", fields, namespace=False)
    answer.status, answer.error = error.status, error.code
    return answer


def http_date(seconds: float) -> str:
    """A time as HTTP writes it."""
    return formatdate(seconds, usegmt=True)


def iso_date(seconds: float) -> str:
    """A time as S3's XML writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def send(sock: socket.socket, answer: Answer, *, request_id: str, is_head: bool, keep_alive: bool) -> None:
    """Write an answer whole; `OSError` or `ClientGone` when that fails, or takes too long."""
    pace = Pace()
    try:
        answer, pieces = _begun(answer, is_head=is_head)
        lines = _lines(answer, request_id, keep_alive=keep_alive)
        if not all(is_header_text(line) for line in lines):
            # Names and values are checked where they come in; a record may be older than that check.
            _log.error("an answer's head holds control characters and was not sent: %r", lines)
            answer.close()
            answer = of_error(S3Error("InternalError"), "/", request_id)
            lines = _lines(answer, request_id, keep_alive=keep_alive)
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if is_head or answer.status in (204, 304):
            send_bytes(sock, head, pace)
        elif answer.file is None:
            send_bytes(sock, head + answer.body, pace)
        elif pieces is not None:
            sock.sendall(head, getattr(socket, "MSG_MORE", 0) if answer.count else 0)
            _send_pieces(sock, pieces, pace)
        else:
            sock.sendall(head, getattr(socket, "MSG_MORE", 0) if answer.count else 0)
            send_file(sock, answer.file, answer.offset, answer.count, pace)
    finally:
        answer.close()


def _begun(answer: Answer, *, is_head: bool) -> tuple[Answer, Iterator[bytes] | None]:
    """With the first piece of what is encrypted in hand: what cannot be opened is told before anything is promised."""
    if answer.content is None or is_head or not answer.count:
        return answer, None
    pieces = answer.content.pieces(answer.offset, answer.count)
    try:
        return answer, itertools.chain([next(pieces)], pieces)
    except S3Error as error:
        _log.error("an encrypted object cannot be opened: %s", error)
        answer.close()
        return of_error(error, "/", new_request_id()), None


def _send_pieces(sock: socket.socket, pieces: Iterator[bytes], pace: Pace) -> None:
    try:
        for piece in pieces:
            send_bytes(sock, piece, pace)
    except S3Error as error:
        _log.error("an encrypted object was sent up to where it is damaged: %s", error)
        raise ClientGone from error  # the length that we promised cannot be kept


def _lines(answer: Answer, request_id: str, *, keep_alive: bool) -> list[str]:
    length = answer.count if answer.file is not None else len(answer.body)
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append(f"date: {http_date(time.time())}")
    lines.append("server: Mooring")
    lines.append(f"x-amz-request-id: {request_id}")
    lines.append("x-amz-id-2: mooring")
    if answer.status not in (204, 304) and "content-length" not in answer.headers:
        lines.append(f"content-length: {length}")
    if not keep_alive:
        lines.append("connection: close")
    return lines
