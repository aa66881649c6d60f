"""The conditional headers: of writes (decided under the key's lock) and of reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from mooring.objects.errors import S3Error, not_implemented


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """`If-None-Match: *` and `If-Match: "etag"` of a write or delete."""

    absent: bool = False
    etag: str | None = None

    @staticmethod
    def of(headers: Mapping[str, str]) -> WriteCondition:
        """From a request's headers, lower-cased."""
        absent = headers.get("if-none-match")
        if absent not in (None, "*"):
            raise not_implemented("If-None-Match of a write with another value than *")
        wanted = headers.get("if-match")
        return WriteCondition(absent is not None, None if wanted is None else wanted.strip().strip('"'))

    @property
    def is_given(self) -> bool:
        return self.absent or self.etag is not None

    def check(self, etag: str | None) -> None:
        """Refuse unless the condition holds for the object that is there now (None: there is none)."""
        if self.absent and etag is not None:
            raise S3Error("PreconditionFailed", Condition="If-None-Match")
        if self.etag is None:
            return
        if etag is None:
            raise S3Error("NoSuchKey")
        if self.etag not in ("*", etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")


def check_read(headers: Mapping[str, str], etag: str, modified_s: int, prefix: str = "") -> None:
    """RFC 9110's order of If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since; with the prefix
    `x-amz-copy-source-` the ones of a copy's source, where a failed one is always PreconditionFailed."""
    wanted = headers.get(f"{prefix}if-match")
    if wanted is not None:
        if not _matches(wanted, etag):
            raise S3Error("PreconditionFailed", Condition="If-Match")
    elif (limit := _seconds(headers.get(f"{prefix}if-unmodified-since"))) is not None and modified_s > limit:
        raise S3Error("PreconditionFailed", Condition="If-Unmodified-Since")
    unchanged = "PreconditionFailed" if prefix else "NotModified"
    unwanted = headers.get(f"{prefix}if-none-match")
    if unwanted is not None:
        if _matches(unwanted, etag):
            raise S3Error(unchanged)
    elif (since := _seconds(headers.get(f"{prefix}if-modified-since"))) is not None and modified_s <= since:
        raise S3Error(unchanged)


def _matches(value: str, etag: str) -> bool:
    return any(each.strip().removeprefix("W/").strip('"') in ("*", etag) for each in value.split(","))


def _seconds(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parsedate_to_datetime(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
