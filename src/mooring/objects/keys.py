"""Where a key's bytes lie: a reversible mapping from S3 keys to paths below a bucket's directory.

An ordinary key is its own path: `churn/model.tar.gz` is the file `churn/model.tar.gz`. S3's keys are flat, though, so
`a` and `a/b` may both exist, where a file system has one `a`. So file names and directory names are kept apart by rule:
**a file whose name has no dot, and a directory whose name has one, end in `%`** (`train` is `train%`, `v1.2/x.bin` is
`v1.2%/x.bin`). An empty part is `%-`, and `%`, control characters and the parts `.` and `..` are percent-encoded.
Since no path part is ever empty, `.` or `..`, and none holds `/` or NUL, no key leaves its bucket's directory.

Limits that the file system brings: one part between slashes takes 254 bytes (refused with KeyTooLongError, as are keys
of more than 1024 bytes), and where file names fold case (macOS by default) keys that differ in case only share a file.
"""

from __future__ import annotations

import ipaddress
import re

from mooring.objects.errors import S3Error

LONGEST_KEY = 1024
LONGEST_PART = 255
MARK = b"%"
EMPTY = b"%-"

_UNSAFE = re.compile(rb"[\x00-\x1f\x7f%]")
_ESCAPED = re.compile(rb"%([0-9A-F]{2})")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def check_bucket(name: str) -> str:
    """The bucket's name, or `InvalidBucketName` by AWS's rules for new buckets."""
    if not _BUCKET.fullmatch(name) or ".." in name or _is_address(name):
        raise S3Error("InvalidBucketName", BucketName=name)
    return name


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def path_of(key: str) -> bytes:
    """The path of a key, relative to its bucket's directory."""
    raw = key.encode()
    if not raw:
        raise S3Error("InvalidArgument", "A key must not be empty.")
    if len(raw) > LONGEST_KEY:
        raise S3Error("KeyTooLongError", Size=str(len(raw)), MaxSizeAllowed=str(LONGEST_KEY))
    *directories, name = raw.split(b"/")
    parts = [_encode(part, directory=True) for part in directories]
    parts.append(_encode(name, directory=False))
    if any(len(part) > LONGEST_PART for part in parts):
        raise S3Error(
            "KeyTooLongError",
            f"A part of a key between slashes takes {LONGEST_PART - 1} bytes here, fewer where it must be escaped.",
        )
    return b"/".join(parts)


def part_of(name: bytes, *, directory: bool) -> bytes | None:
    """The part of a key that one directory entry stands for; None for an entry that no key has."""
    body = name.removesuffix(MARK) if _is_marked(name) else name
    part = b"" if body == EMPTY else _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), body)
    return part if _encode(part, directory=directory) == name and _is_text(part) else None


def _is_marked(name: bytes) -> bool:
    return name.endswith(MARK)


def _is_text(part: bytes) -> bool:
    try:
        part.decode()
    except UnicodeDecodeError:
        return False
    return True


def _encode(part: bytes, *, directory: bool) -> bytes:
    if not part:
        encoded = EMPTY
    elif part in (b".", b".."):
        encoded = part.replace(b".", b"%2E")
    else:
        encoded = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], part)
    return encoded + MARK if (b"." in part) is directory else encoded
