"""One admitted request with all that its operation needs, and the readings of it that operations share."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from mooring.objects.bodies import Body
from mooring.objects.content import Sealing
from mooring.objects.data_keys import Asker, DataKeyDesk
from mooring.objects.encryption import Encryption, context_of, object_arn, wanted
from mooring.objects.errors import S3Error
from mooring.objects.guarding import Caller
from mooring.objects.multipart import Uploads
from mooring.objects.requests import Head
from mooring.objects.storage import Storage

METADATA_LIMIT = 2048
META = "x-amz-meta-"
_KEPT = ("content-type", "cache-control", "content-disposition", "content-encoding", "content-language", "expires")


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation is given."""

    head: Head
    body: Body
    storage: Storage
    uploads: Uploads
    account: str
    region: str
    """The caller's: its credential's, or the account's of a call without one."""
    home: str
    """The account's."""
    caller: Caller
    desk: DataKeyDesk
    asker: Asker
    scheme: str = "http"
    """Of the URLs that clients are told."""

    @property
    def bucket(self) -> str:
        return self.head.bucket

    @property
    def key(self) -> str:
        return self.head.key

    def query(self, name: str, default: str = "") -> str:
        """A parameter, or its default."""
        return self.head.query.get(name, default)

    def number(self, name: str, default: int, most: int) -> int:
        """A parameter that is a whole number, cut to `most`."""
        text = self.query(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 11):
            raise S3Error("InvalidArgument", f"Provided {name} not an integer or within integer range")
        return min(int(text), most)

    def kept_headers(self) -> dict[str, str]:
        """The headers of a new object that are answered with it."""
        headers = self.head.headers
        kept = {name: headers[name] for name in _KEPT if name in headers}
        codings = [each.strip() for each in kept.pop("content-encoding", "").split(",")]
        if coding := ",".join(each for each in codings if each and each != "aws-chunked"):
            kept["content-encoding"] = coding
        metadata = {name: value for name, value in headers.items() if name.startswith(META)}
        if sum(len(name) - len(META) + len(value) for name, value in metadata.items()) > METADATA_LIMIT:
            raise S3Error("MetadataTooLarge", MaxSizeAllowed=str(METADATA_LIMIT))
        return kept | metadata

    def sealing(self) -> Sealing | None:
        """How the new object of this request is to be encrypted, with a new data key; None when it is not."""
        want = wanted(self.head.headers, self.storage.bucket_encryption(self.bucket))
        if want is None:
            return None
        region = self.storage.region_of(self.bucket) or self.home
        arn = object_arn(self.home, self.bucket, self.key)
        data_key = self.desk.generate(self.asker, region, want.key_id, context_of(want.context, arn))
        return Sealing(Encryption.begin(want, data_key, arn, region), data_key.plaintext)

    def data_key(self, encryption: Encryption | None) -> bytes:
        """The data key of what is encrypted so; empty for what is not. Raises `S3Error` for who may not have it."""
        if encryption is None:
            return b""
        return self.desk.unseal(self.asker, encryption.region, encryption.sealed_key, encryption.context).plaintext

    def encoded(self, text: str) -> str:
        """A key as a listing shows it: by `encoding-type=url` in percent-encoding."""
        kind = self.query("encoding-type")
        if kind not in ("", "url"):
            raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request")
        return quote(text, safe="/~!*'()") if kind else text
