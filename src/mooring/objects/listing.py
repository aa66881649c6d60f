"""Listing a bucket's keys in S3's order (by their UTF-8 bytes), in pages, grouped by a delimiter.

The tree of files is walked as a sorted sequence that can be entered anywhere: "the first key above X" costs a bisection
for each directory on the way, so that a page in the middle, or the next group after thousands of keys, costs no walk
over what lies before it. Directories are read once for each request.
"""
# ruff: noqa: PTH118
# Keys are bytes, and pathlib takes none.

from __future__ import annotations

import bisect
import os
from dataclasses import dataclass, field

from mooring.objects.keys import part_of

ABOVE = b"\xff"
"""Above every continuation of a key: UTF-8 has no such byte."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one listing answers: keys, groups (S3: common prefixes), and where the next page starts, if there is one."""

    keys: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    next_after: bytes | None = None
    last: str = ""


@dataclass(frozen=True, slots=True)
class _Directory:
    """Sorted parts of keys, directories' with a slash behind, so that their order is that of the keys; and for each the
    name of its entry."""

    names: list[bytes]
    entries: dict[bytes, bytes]


class Listing:
    """One request's view of a bucket's directory."""

    def __init__(self, top: bytes) -> None:
        self._top = top
        self._directories: dict[bytes, _Directory] = {}

    def page(self, prefix: str, delimiter: str, after: bytes, limit: int) -> Page:
        """Up to `limit` keys and groups above `after`, of the keys that start with `prefix`."""
        start, divider = prefix.encode(), delimiter.encode()
        page = Page()
        last, seen = after, b""
        key = self._first(start, after)
        while key is not None:
            if len(page.keys) + len(page.groups) >= limit:
                return Page(page.keys, page.groups, last, seen.decode()) if limit else page
            group = _group(key, start, divider)
            if group is None:
                page.keys.append(key.decode())
                last = seen = key
            else:
                page.groups.append(group.decode())
                seen, last = group, group + ABOVE
            key = self._first(start, last)
        return page

    def is_empty(self) -> bool:
        """Whether the bucket holds no key."""
        return self._first(b"", b"") is None

    def _first(self, prefix: bytes, after: bytes) -> bytes | None:
        """The lowest key above `after` that starts with `prefix`."""
        return self._below(self._top, b"", prefix, after)

    def _below(self, path: bytes, above: bytes, prefix: bytes, after: bytes) -> bytes | None:
        directory = self._read(path)
        names = directory.names
        for index in range(_start(names, above, prefix, after), len(names)):
            name = names[index]
            key = above + name
            if not (key.startswith(prefix) or prefix.startswith(key)):
                if key > prefix:
                    return None
                continue
            if not name.endswith(b"/"):
                if key > after and key.startswith(prefix):
                    return key
                continue
            found = self._below(os.path.join(path, directory.entries[name]), key, prefix, after)
            if found is not None:
                return found
        return None

    def _read(self, path: bytes) -> _Directory:
        if (known := self._directories.get(path)) is None:
            known = self._directories[path] = _scan(path)
        return known


def _scan(path: bytes) -> _Directory:
    entries: dict[bytes, bytes] = {}
    try:
        with os.scandir(path) as found:
            for each in found:
                is_directory = each.is_dir(follow_symlinks=False)
                part = part_of(each.name, directory=is_directory)
                if part is not None and (is_directory or each.is_file(follow_symlinks=False)):
                    entries[part + b"/" if is_directory else part] = each.name
    except (FileNotFoundError, NotADirectoryError):
        pass  # removed while we walk
    return _Directory(sorted(entries), entries)


def _start(names: list[bytes], above: bytes, prefix: bytes, after: bytes) -> int:
    """The first index whose name can hold a key above `after` that starts with `prefix`.

    A directory just below the bound may hold such keys too, when the bound continues its name.
    """
    bound = max(prefix, after)
    if not bound.startswith(above):
        return 0 if bound < above else len(names)
    rest = bound[len(above) :]
    slash = rest.find(b"/")
    if slash >= 0:  # the part up to the slash is either a directory to enter, or the bound lies between two names
        rest = rest[: slash + 1]
    return bisect.bisect_left(names, rest)


def _group(key: bytes, prefix: bytes, delimiter: bytes) -> bytes | None:
    if not delimiter:
        return None
    end = key.find(delimiter, len(prefix))
    return None if end < 0 else key[: end + len(delimiter)]
