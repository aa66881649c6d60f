"""The few operations of S3 that a deployment needs: a bucket, an archive into it, and what is there already.

An archive is sent from its file, however large. The S3 is Mooring's own, behind its URL, or the one that
`AWS_ENDPOINT_URL_S3` names when Mooring keeps its objects elsewhere; that one gets real signatures.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from mooring.cli.aws import scope
from mooring.cli.calling import Answer, Caller, Readable
from mooring.errors import MooringError, NotFound, Refused, Unavailable
from mooring.wire.signing import Credentials, signed_headers

if TYPE_CHECKING:
    import http.client

TIMEOUT_S = 120.0
PART_BYTES = 1024**3
LARGEST_PUT_BYTES = 4 * 1024**3
"""S3 takes 5 GiB in one PUT; what is larger goes in parts."""
EMPTY = hashlib.sha256().hexdigest()
UNSIGNED = "UNSIGNED-PAYLOAD"

Advance = Callable[[int], None]
Sign = Callable[[str, str, str], dict[str, str]]
"""Headers for a method, a URL and the digest of a body."""


class S3:
    """One S3 endpoint. Raises `MooringError` with S3's words."""

    def __init__(self, url: str, region: str, sign: Sign | None = None) -> None:
        self.url = url.rstrip("/")
        self.region = region
        self._caller = Caller(self.url, TIMEOUT_S)
        self._sign = sign

    def has_bucket(self, bucket: str) -> bool:
        """Whether the bucket is there."""
        return self._found(self._call("HEAD", bucket))

    def make_bucket(self, bucket: str) -> None:
        """Create a bucket in this region."""
        body = b""
        if self.region != "us-east-1":
            constraint = f"<LocationConstraint>{html.escape(self.region)}</LocationConstraint>"
            body = f"<CreateBucketConfiguration>{constraint}</CreateBucketConfiguration>".encode()
        self._checked(self._call("PUT", bucket, body=body, digest=hashlib.sha256(body).hexdigest()))

    def delete_bucket(self, bucket: str) -> bool:
        """Delete a bucket, which must be empty; False when it is not there."""
        return self._found(self._call("DELETE", bucket))

    def size_of(self, bucket: str, key: str) -> int | None:
        """The bytes of an object; None when it is not there."""
        answer = self._call("HEAD", bucket, key)
        return int(answer.headers.get("content-length", "0")) if self._found(answer) else None

    def delete(self, bucket: str, key: str) -> bool:
        """Delete an object; S3 does not tell whether it was there, but False when its bucket is not."""
        return self._found(self._call("DELETE", bucket, key))

    def put(self, bucket: str, key: str, path: Path, digest: str, advance: Advance) -> None:
        """Send a file; `digest` is the SHA-256 of it, `advance` hears of the bytes that went."""
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= LARGEST_PUT_BYTES:
                self._checked(self._call("PUT", bucket, key, body=_Part(file, size, advance), digest=digest))
            else:
                self._put_in_parts(bucket, key, file, size, advance)

    @contextlib.contextmanager
    def reading(self, bucket: str, key: str) -> Iterator[http.client.HTTPResponse]:
        """An object as it comes. Raises `NotFound`."""
        target = _target(bucket, key)
        with self._caller.open("GET", target, self._headers("GET", target, EMPTY)) as response:
            if response.status >= 400:
                self._checked(Answer(response.status, {}, response.read()))
            yield response

    def keys(self, bucket: str, prefix: str, most: int) -> list[str]:
        """The first keys that start with `prefix`."""
        query = {"list-type": "2", "encoding-type": "url", "prefix": prefix, "max-keys": str(most)}
        answer = self._checked(self._call("GET", bucket, query=query))
        return [unquote(html.unescape(each)) for each in re.findall(r"<Key>(.*?)</Key>", answer)]

    def _put_in_parts(self, bucket: str, key: str, file: Readable, size: int, advance: Advance) -> None:
        begun = self._checked(self._call("POST", bucket, key, query={"uploads": ""}))
        upload = {"uploadId": _text(begun, "UploadId")}
        try:
            rows = []
            for number, begin in enumerate(range(0, size, PART_BYTES), 1):
                part = _Part(file, min(PART_BYTES, size - begin), advance)
                query = {"partNumber": str(number), **upload}
                answer = self._call("PUT", bucket, key, query=query, body=part, digest=UNSIGNED)
                self._checked(answer)
                tag = html.escape(answer.headers.get("etag", ""))
                rows.append(f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>")
            body = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>".encode()
            digest = hashlib.sha256(body).hexdigest()
            self._checked(self._call("POST", bucket, key, query=upload, body=body, digest=digest))
        except BaseException:
            with contextlib.suppress(MooringError):
                self._call("DELETE", bucket, key, query=upload)
            raise

    def _call(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | _Part = b"",
        digest: str = EMPTY,
    ) -> Answer:
        target = _target(bucket, key, query)
        headers = self._headers(method, target, digest)
        if body or method in ("PUT", "POST"):
            headers["Content-Length"] = str(len(body))
        return self._caller.call(method, target, headers, body or None)

    def _headers(self, method: str, target: str, digest: str) -> dict[str, str]:
        if self._sign is not None:
            return self._sign(method, self.url + target, digest)
        return {**scope("s3", self.region), "x-amz-content-sha256": digest}

    def _found(self, answer: Answer) -> bool:
        if answer.status == 404:
            return False
        self._checked(answer)
        return True

    def _checked(self, answer: Answer) -> str:
        """The body of an answer that is no error."""
        text = answer.body.decode("utf-8", "replace")
        if answer.status < 400 and "<Error>" not in text[:200]:  # a multipart upload may fail after its status was sent
            return text
        words = _text(text, "Message") or _text(text, "Code") or f"{self.url} answered with status {answer.status}"
        kind = {404: NotFound, 503: Unavailable}.get(answer.status, Refused)
        raise kind(words)


class _Part:
    """The next `size` bytes of a file, as a body."""

    def __init__(self, file: Readable, size: int, advance: Advance) -> None:
        self._file = file
        self._size = self._left = size
        self._advance = advance

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self._advance(len(data))
        return data


def _target(bucket: str, key: str, query: Mapping[str, str] | None = None) -> str:
    path = f"/{quote(bucket)}" + (f"/{quote(key, safe='/~')}" if key else "")
    return path + (f"?{urlencode(query, quote_via=quote)}" if query else "")


def _text(document: str, name: str) -> str:
    found = re.search(rf"<{name}>(.*?)</{name}>", document, re.DOTALL)
    return html.unescape(found.group(1)) if found else ""


def s3_of(url: str, region: str, environ: Mapping[str, str], credentials: Credentials | None = None) -> S3:
    """The S3 that belongs to the Mooring at `url`, as the environment says; its own is called with `credentials`."""
    elsewhere = environ.get("AWS_ENDPOINT_URL_S3", "").rstrip("/")
    if elsewhere and elsewhere != url:
        return S3(elsewhere, region, _foreign_signer(region))
    return S3(url, region, None if credentials is None else _own_signer(credentials, region))


def _own_signer(credentials: Credentials, region: str) -> Sign:
    def sign(method: str, url: str, digest: str) -> dict[str, str]:
        return signed_headers(credentials, "s3", region, method, url, digest=digest.encode())

    return sign


def _foreign_signer(region: str) -> Sign:
    import botocore.session  # a fifth of a second, needed for foreign endpoints only
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest

    credentials = botocore.session.get_session().get_credentials()
    if credentials is None:
        raise Refused("AWS_ENDPOINT_URL_S3 is set, and there are no credentials for it: set AWS_ACCESS_KEY_ID")

    class Auth(S3SigV4Auth):  # type: ignore[misc]
        def payload(self, request: Any) -> str:
            return str(request.context["digest"])

    def sign(method: str, url: str, digest: str) -> dict[str, str]:
        request = AWSRequest(method, url)
        request.context["digest"] = digest
        Auth(credentials, "s3", region).add_auth(request)
        return dict(request.headers.items())

    return sign
