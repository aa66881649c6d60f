"""A small blocking client of S3, for Mooring's own reads and writes: the embedded store or any endpoint.

Without `objects.endpoint_url` it speaks plain HTTP over the embedded store's Unix socket, unsigned; else HTTP or HTTPS
to that endpoint, path-style, signed by botocore's SigV4 with the settings' credentials, else the environment's.
Everything that fails is a `SourceError` whose text can be shown to a person.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote, unquote, urlencode, urlsplit

from mooring.errors import ArtifactError
from mooring.objects import xml
from mooring.objects.errors import S3Error
from mooring.paths import Paths
from mooring.settings import ObjectSettings, Settings

TIMEOUT_S = 60.0
OWN_STORE = (
    "Mooring's S3 is its own, and AWS's buckets are not in it: upload there with AWS_ENDPOINT_URL set, or set "
    "MOORING_OBJECTS_ENDPOINT_URL"
)
OWN_STORE_TO_WRITE = (
    "Mooring's S3 is its own, and AWS's buckets are not in it: make the bucket there with AWS_ENDPOINT_URL set, or set "
    "MOORING_OBJECTS_ENDPOINT_URL"
)
_ERROR_BYTES = 64 * 1024
_LISTING_BYTES = 16 * 1024 * 1024
_REASONS = {
    "NoSuchKey": "there is no such object",
    "NoSuchBucket": "there is no such bucket",
    "AccessDenied": "access is denied",
    "SignatureDoesNotMatch": "the credentials are refused",
    "InvalidAccessKeyId": "the credentials are refused",
}
_BY_STATUS = {403: "AccessDenied", 404: "NoSuchKey"}


class SourceError(ArtifactError):
    """Something in S3 that cannot be read or written; `code` is S3's, or `Unreachable`."""

    def __init__(self, code: str, what: str, detail: str = "") -> None:
        self.code = code
        reason = _REASONS.get(code, f"S3 answered {code}" if code != "Unreachable" else "S3 cannot be reached")
        super().__init__(f"{what}: {reason}" + (f" ({detail})" if detail else ""))


class S3Object:
    """An object being read: use as a context manager; `read` returns b"" only at the true end."""

    def __init__(self, connection: http.client.HTTPConnection, response: http.client.HTTPResponse, what: str) -> None:
        self._connection = connection
        self._response = response
        self._what = what
        self.length = int(response.headers.get("content-length", "0"))
        self.content_type = response.headers.get("content-type", "")
        self.etag = response.headers.get("etag", "").strip('"')
        self.bucket_region = response.headers.get("x-amz-bucket-region", "")
        self._left = self.length

    def read(self, size: int = -1) -> bytes:
        """The next bytes; `SourceError` when the connection ends before the object does."""
        try:
            data = self._response.read(None if size < 0 else size)
        except (OSError, http.client.HTTPException) as error:
            raise SourceError("Unreachable", self._what, str(error)) from error
        self._left -= len(data)
        if not data and size != 0 and self._left > 0:
            raise SourceError("Unreachable", self._what, f"the connection ended {self._left} bytes early")
        return data

    def close(self) -> None:
        """Close the connection."""
        self._response.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class S3Source:
    """Calls to one endpoint; build with `open_source`. A connection a call, which may be silent for `timeout_s`."""

    def __init__(
        self,
        endpoint: str,
        socket_path: str,
        region: str,
        credentials: tuple[str, str, str] | None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._endpoint = urlsplit(endpoint or "http://localhost")
        self._socket_path = "" if endpoint else socket_path
        self._region = region
        self._credentials = credentials
        self._timeout_s = timeout_s

    def get(self, bucket: str, key: str) -> S3Object:
        """Open an object for reading."""
        return self._request("GET", bucket, key, {})

    def head(self, bucket: str, key: str) -> S3Object:
        """What is known of an object, closed already: `length`, `content_type`, `etag`."""
        with self._request("HEAD", bucket, key, {}) as found:
            return found

    def put(self, bucket: str, key: str, body: BinaryIO, length: int, headers: Mapping[str, str]) -> None:
        """Write an object of `length` bytes, all or nothing. Raises `SourceError`."""
        sent = {"Content-Length": str(length), **headers}
        with self._request("PUT", bucket, key, {}, body, sent) as answer:
            answer.read()

    def region_of(self, bucket: str) -> str:
        """The region of a bucket as the store tells it; empty when it does not."""
        with self._request("HEAD", bucket, "", {}) as found:
            return found.bucket_region

    def list(self, bucket: str, prefix: str, most: int = 1000) -> Iterator[tuple[str, int]]:
        """Key and size of every object whose key starts with `prefix`, asked for `most` at a time."""
        token: str | None = None
        while True:
            query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(most)}
            if token is not None:
                query["continuation-token"] = token
            with self._request("GET", bucket, "", query) as answer:
                document = answer.read(_LISTING_BYTES)
            try:
                page = xml.parse(document, "ListBucketResult")
            except S3Error as error:
                raise SourceError("MalformedXML", f"s3://{bucket}/{prefix}") from error
            for each in page.all("Contents"):
                yield unquote(each.value("Key") or ""), int(each.value("Size") or 0)
            token = page.value("NextContinuationToken")
            if page.value("IsTruncated") != "true" or not token:
                return

    def _request(
        self,
        method: str,
        bucket: str,
        key: str,
        query: Mapping[str, str],
        body: BinaryIO | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> S3Object:
        what = f"s3://{bucket}/{key or query.get('prefix', '')}"
        path = f"{self._endpoint.path.rstrip('/')}/{quote(bucket)}" + (f"/{quote(key, safe='/~')}" if key else "")
        if query:
            path += "?" + urlencode(query, quote_via=quote)
        connection = self._connect()
        try:
            connection.request(method, path, body, self._signed(method, path, body, headers))
            response = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise SourceError("Unreachable", what, str(error)) from error
        if response.status == http.client.OK:
            return S3Object(connection, response, what)
        try:
            advice = OWN_STORE_TO_WRITE if method == "PUT" else OWN_STORE
            raise _failure(response, what, advice if self._socket_path else "")
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self._socket_path:
            return _UnixConnection(self._socket_path, self._timeout_s)
        host = self._endpoint.hostname or ""
        if self._endpoint.scheme == "https":
            return http.client.HTTPSConnection(host, self._endpoint.port, timeout=self._timeout_s)
        return http.client.HTTPConnection(host, self._endpoint.port, timeout=self._timeout_s)

    def _signed(self, method: str, path: str, body: BinaryIO | None, headers: Mapping[str, str]) -> dict[str, str]:
        if self._credentials is None:
            return dict(headers)
        from botocore.auth import S3SigV4Auth  # a fifth of a second, needed for foreign endpoints only
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        access, secret, token = self._credentials
        url = f"{self._endpoint.scheme}://{self._endpoint.netloc}{path}"
        request = AWSRequest(method, url, dict(headers), body)
        S3SigV4Auth(Credentials(access, secret, token or None), "s3", self._region).add_auth(request)
        return dict(request.headers.items())


def _failure(response: http.client.HTTPResponse, what: str, own_store: str) -> SourceError:
    code, message = "", ""
    try:
        document = xml.parse(response.read(_ERROR_BYTES), "Error")
        code, message = document.value("Code") or "", document.value("Message") or ""
    except (S3Error, OSError, http.client.HTTPException):
        pass  # not S3's form, as with HEAD: the status says it
    return failure_of(response.status, code, message, what, own_store)


def failure_of(status: int, code: str, message: str, what: str, own_store: str) -> SourceError:
    """What S3 refused: with its own code and message, where it gave them."""
    code = code or _BY_STATUS.get(status, str(status))
    return SourceError(code, what, own_store if own_store and code == "NoSuchBucket" else message)


def open_source(settings: Settings, paths: Paths, timeout_s: float = TIMEOUT_S) -> S3Source:
    """The S3 of these settings."""
    objects, region = settings.objects, settings.account.region
    if not objects.endpoint_url:
        return S3Source("", os.fspath(paths.s3_socket), region, None, timeout_s)
    return S3Source(objects.endpoint_url, "", region, credentials_of(objects), timeout_s)


def credentials_of(objects: ObjectSettings) -> tuple[str, str, str] | None:
    """Access key, secret and session token for the S3 of these settings; None for calls that are not signed."""
    if not objects.endpoint_url:
        return None
    if objects.access_key_id:
        return objects.access_key_id, objects.secret_access_key, ""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    access, secret, token = (os.environ.get(name, "") for name in names)
    return (access, secret, token) if access else None
