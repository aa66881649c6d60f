"""What a model's files tell of the library that made them, read without unpickling anything.

A scikit-learn estimator carries its maker's version in every pickle, in plain opcodes; joblib may compress the whole
file. XGBoost writes its version into JSON, UBJSON and the binary format of its past. Runs in the fetching child, on
files that a stranger made: guarantees that at most `FILES` files and `BYTES` bytes of each are looked at, however far
they would unpack, that memory stays small, and that the answer is digits and dots or nothing.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

FILES = 64
BYTES = 64 * 1024**2
"""Of one file, unpacked; more than that is skipped but for the end of a file that is not compressed."""
TAIL_BYTES = 1024**2
CHUNK_BYTES = 1024**2
OVERLAP_BYTES = 256
"""So that nothing is missed where two chunks meet."""
LZMA_MEMORY_BYTES = 256 * 1024**2
NOT_MODELS = frozenset({".py", ".txt", ".md", ".csv", ".yaml", ".yml", ".toml", ".npy", ".npz", ".safetensors"})

BINARY = "binary"
"""The answer for XGBoost's old binary format where it does not say which version wrote it."""

_SKLEARN = re.compile(
    rb"_sklearn_version"
    rb"(?:\x94|q[\x00-\xff]|r[\x00-\xff]{4}|'?\np\d{1,9}\n)?"  # memoized, as each protocol does it
    rb"(?:\x8c[\x00-\xff]|X[\x00-\xff]\0\0\0|U[\x00-\xff]|V|S')"  # a string follows
    rb"(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)"
)
_XGBOOST_JSON = re.compile(
    rb'"version"\s{0,8}:\s{0,8}\[\s{0,8}(\d{1,3})\s{0,8},\s{0,8}(\d{1,3})\s{0,8},\s{0,8}(\d{1,3})'
)
_XGBOOST_UBJ = re.compile(rb"version\[#L\0{7}\x03[iU]([\x00-\x7f])[iU]([\x00-\x7f])[iU]([\x00-\x7f])")
_XGBOOST_PICKLE = re.compile(rb"xgboost\.core[\x00-\xff]{1,8}Booster")
_BINARY_HEADER = b"binf"
_BINARY_START = struct.Struct("<4x4iII")
"""LearnerModelParam: base score, features, classes, two flags, and since 1.0 the version."""


class _Decompressor(Protocol):
    def decompress(self, data: bytes, size: int, /) -> bytes: ...


class _Maker(NamedTuple):
    """How one library's files are read."""

    distribution: str
    version: Callable[[bytes], str | None]
    """From any piece of a file."""
    otherwise: Callable[[bytes], str | None]
    """From the beginning of a file that holds no version."""


def made_with(model_dir: Path, framework: str) -> dict[str, str]:
    """`{distribution: version}` of the library that made the model; empty where nothing tells. Never raises."""
    maker = _MAKERS.get(framework)
    if maker is None:
        return {}
    for path in _candidates(model_dir):
        try:
            found = _look_into(path, maker)
        except (OSError, ValueError, EOFError, MemoryError, zlib.error, lzma.LZMAError):
            continue  # unreadable, or not what its first bytes say: it tells nothing
        if found:
            return {maker.distribution: found}
    return {}


def _candidates(model_dir: Path) -> list[Path]:
    """The files that may hold a model: those at the top first, in the order of their names."""
    found = (path for path in model_dir.rglob("*") if path.suffix.lower() not in NOT_MODELS and path.is_file())
    return sorted(found, key=lambda path: (len(path.parts), path))[:FILES]


def _look_into(path: Path, maker: _Maker) -> str | None:
    beginning, carried = b"", b""
    for chunk in _content(path):
        if found := maker.version(carried + chunk):
            return found
        beginning = beginning or chunk
        carried = chunk[-OVERLAP_BYTES:]
    return maker.otherwise(beginning)


def _content(path: Path) -> Iterator[bytes]:
    """The file's bytes in chunks, decompressed, up to the bounds."""
    with path.open("rb") as file:
        first = file.read(CHUNK_BYTES)
        if (decompressor := _decompressor(first)) is not None:
            yield from _decompressed(decompressor, first, lambda: file.read(CHUNK_BYTES))
            return
        yield first
        seen = len(first)
        while seen < BYTES and (chunk := file.read(CHUNK_BYTES)):
            seen += len(chunk)
            yield chunk
        end = path.stat().st_size
        if end > seen:
            # The outermost estimator's version is the last thing that its pickle says.
            file.seek(max(seen, end - TAIL_BYTES))
            yield file.read(TAIL_BYTES)


def _decompressor(first: bytes) -> _Decompressor | None:
    if first[:2] == b"\x1f\x8b":
        return zlib.decompressobj(wbits=31)
    if first[:1] == b"\x78" and len(first) > 1 and int.from_bytes(first[:2]) % 31 == 0:
        return zlib.decompressobj()
    if first[:3] == b"BZh":
        return bz2.BZ2Decompressor()
    if first[:6] == b"\xfd7zXZ\0" or first[:3] == b"\x5d\0\0":
        return lzma.LZMADecompressor(memlimit=LZMA_MEMORY_BYTES)
    return None


def _decompressed(decompressor: _Decompressor, data: bytes, more: Callable[[], bytes]) -> Iterator[bytes]:
    taken, given = len(data), 0
    while max(taken, given) < BYTES + CHUNK_BYTES:
        chunk = decompressor.decompress(data, CHUNK_BYTES)
        given += len(chunk)
        if chunk:
            yield chunk
        if getattr(decompressor, "eof", False):
            return
        data = getattr(decompressor, "unconsumed_tail", b"")  # zlib hands back what it did not take; the others keep it
        if not data and getattr(decompressor, "needs_input", True):
            data = more()
            taken += len(data)
            if not data:
                return


def _sklearn(data: bytes) -> str | None:
    found = _SKLEARN.search(data)
    return found[1].decode() if found else None


def _xgboost(data: bytes) -> str | None:
    if found := _XGBOOST_JSON.search(data):
        return ".".join(str(int(part)) for part in found.groups())
    if found := _XGBOOST_UBJ.search(data):
        return ".".join(str(part[0]) for part in found.groups())
    return None


def _xgboost_binary(beginning: bytes) -> str | None:
    """The version in the binary format, which versions before 1.2 wrote without a header, or `BINARY`."""
    if _XGBOOST_PICKLE.search(beginning):
        return BINARY
    headed = beginning.startswith(_BINARY_HEADER)
    start = beginning[len(_BINARY_HEADER) if headed else 0 :]
    if len(start) < _BINARY_START.size:
        return None
    features, classes, *flags, major, minor = _BINARY_START.unpack_from(start)
    sound = 0 <= features < 10**8 and 0 <= classes < 10**6 and all(flag in (0, 1) for flag in flags)
    if not (headed or (sound and features)):
        return None
    return f"{major}.{minor}" if 0 < major < 3 and minor < 100 else BINARY


_MAKERS = {
    "sklearn": _Maker("scikit-learn", _sklearn, lambda _: None),
    "xgboost": _Maker("xgboost", _xgboost, _xgboost_binary),
}
