"""A request's head, parsed: the names that S3 gives to things (bucket, key, subresource).

A presigned URL may carry headers as parameters of its query. There they are percent-encoded, so what becomes a header
here is checked as one: no name and no value that could not have come in a head goes on, into a record or an answer.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus, unquote_to_bytes

import httptools

from mooring.objects.errors import S3Error

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
AUTHENTICATION = frozenset(
    (
        "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders",
        "x-amz-signature", "x-amz-security-token", "awsaccesskeyid", "signature", "expires",
    )
)  # fmt: skip
"""Names of a presigned URL's own parameters, in lower case."""


@dataclass(slots=True)
class Head:
    """The start line and the headers, names in lower case; parameters that are headers elsewhere are among these."""

    method: str
    target: str
    headers: dict[str, str]
    version: str
    keep_alive: bool
    bucket: str = ""
    key: str = ""
    query: dict[str, str] = field(default_factory=dict)
    fields: list[tuple[bytes, bytes]] = field(default_factory=list)
    """The headers as they came, each on its own: what a signature is about."""

    @property
    def raw_path(self) -> bytes:
        """The path as it came."""
        return self.origin_form.partition("?")[0].encode("latin-1")

    @property
    def raw_query(self) -> bytes:
        """The query as it came."""
        return self.origin_form.partition("?")[2].encode("latin-1")

    @property
    def origin_form(self) -> str:
        """The target without the scheme and the host that a proxy's client puts before it."""
        if self.target.startswith(("http://", "https://")):
            return "/" + self.target.split("/", 3)[3] if self.target.count("/") > 2 else "/"
        return self.target

    @property
    def resource(self) -> str:
        return "/" + "/".join(part for part in (self.bucket, self.key) if part)


class _Collector:
    def __init__(self) -> None:
        self.url = b""
        self.headers: dict[str, str] = {}
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        if key in self.headers:
            if key in ("content-length", "transfer-encoding", "host"):
                raise S3Error("InvalidRequest", f"The header {key} is there twice.")
            text = f"{self.headers[key]},{text}"
        self.headers[key] = header_value(text, key)


def is_header_text(text: str) -> bool:
    """Whether a text may stand in a line of a head: it has no control characters but tabs."""
    return _CONTROL.search(text) is None


def header_value(value: str, name: str) -> str:
    """A value that may be a header's; `InvalidArgument` otherwise."""
    if not is_header_text(value):
        raise S3Error("InvalidArgument", f"{name} must not hold control characters.")
    return value


def parse_head(raw: bytes) -> Head:
    """The head of one request, unaddressed yet."""
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # an upgrade that is not granted
    except httptools.HttpParserCallbackError as error:
        raise error.__context__ if isinstance(error.__context__, S3Error) else S3Error("InvalidRequest") from None
    except httptools.HttpParserError as error:
        raise S3Error("InvalidRequest", f"The request cannot be parsed: {error}.") from None
    headers = collector.headers
    if "content-length" in headers and "transfer-encoding" in headers:
        raise S3Error("InvalidRequest", "Content-Length and Transfer-Encoding exclude each other.")
    method, version = parser.get_method().decode("latin-1"), parser.get_http_version()
    options = headers.get("connection", "").lower()
    keep_alive = "close" not in options if version == "1.1" else "keep-alive" in options
    return Head(method, collector.url.decode("latin-1"), headers, version, keep_alive, fields=collector.fields)


def address(head: Head) -> None:
    """Find bucket, key and query, path-style or `<bucket>.localhost`."""
    path, _, query = head.origin_form.partition("?")
    if not path.startswith("/"):
        raise S3Error("InvalidURI")
    try:
        path = unquote_to_bytes(path).decode()
        parameters = _parameters(query)
    except UnicodeDecodeError:
        raise S3Error("InvalidURI") from None
    if bucket := bucket_of_host(head.headers.get("host", "")):
        head.bucket, head.key = bucket, path[1:]
    else:
        head.bucket, _, head.key = path[1:].partition("/")
    if "\x00" in head.bucket:
        raise S3Error("InvalidURI")
    for name, value in parameters.items():
        lowered = name.lower()
        if lowered in AUTHENTICATION:
            continue
        if lowered.startswith("x-amz-"):
            if not _TOKEN.fullmatch(lowered):
                raise S3Error("InvalidArgument", f"{name!a} is not a header's name.")
            head.headers.setdefault(lowered, header_value(value.strip(), lowered))
        else:
            head.query[name] = value
    _check_expiry({name.lower(): value for name, value in parameters.items()})


def _parameters(query: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return {unquote_plus(name, errors="strict"): unquote_plus(value, errors="strict") for name, _, value in pairs}


def bucket_of_host(host: str) -> str:
    """The bucket that a host name names, or nothing."""
    name = re.sub(r":\d+\Z", "", host.lower())
    if not name.endswith(".localhost"):
        return ""
    bucket = name.removesuffix(".localhost")
    return "" if bucket == "s3" else bucket.removesuffix(".s3")


def _check_expiry(parameters: Mapping[str, str]) -> None:
    """A presigned URL ends when it says, whoever made it."""
    try:
        if "x-amz-signature" in parameters:
            made = calendar.timegm(time.strptime(parameters["x-amz-date"], "%Y%m%dT%H%M%SZ"))
            end = made + int(parameters["x-amz-expires"])
        elif "awsaccesskeyid" in parameters and "expires" in parameters:
            end = int(parameters["expires"])
        else:
            return
    except (KeyError, ValueError):
        raise S3Error("InvalidRequest", "The query of a presigned URL is incomplete or malformed.") from None
    if time.time() > end:
        raise S3Error("AccessDenied", "Request has expired")
