"""What is to be deployed: the files of a model directory, one file, an archive, or what lies in S3 already.

A directory is taken as it would lie in `/opt/ml/model`. One that has its script at its top instead of in `code/` is
laid out as SageMaker wants it: scripts and `requirements.txt` go into `code/`, the rest stays. Nothing is followed out
of the directory: symbolic links are refused, as SageMaker refuses them.

Of files that may tell the framework the beginning is kept, as text to be looked at; nothing is ever loaded.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mooring.errors import BadInput

LEFT_OUT = frozenset({"__pycache__", ".git", ".venv", ".ipynb_checkpoints", ".DS_Store"})
"""Names that never belong to a model, wherever they lie."""
ARCHIVES = (".tar.gz", ".tgz")
SCRIPT = "inference.py"
CODE = "code"
HEAD_BYTES = 64 * 1024
MOST_HEADS = 500
_TELLING = re.compile(r"(^|/)(MLmodel|config\.json|requirements\.txt|[^/]+\.(py|json|pkl|pickle|joblib))$")
_DEFINES_MODEL = re.compile(rb"^(?:async\s+)?def (?:model_fn|transform_fn)\(", re.MULTILINE)

Kind = Literal["directory", "file", "archive", "s3 archive", "s3 prefix"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of the archive that is to be made."""

    name: str
    """Its path in the archive."""
    path: Path | None
    """Where it lies; None for text of our own."""
    size: int = 0
    directory: bool = False
    executable: bool = False
    text: bytes = b""


@dataclass(frozen=True, slots=True)
class Source:
    """One model, as it was found."""

    given: str
    """As the caller named it."""
    kind: Kind
    heads: Mapping[str, bytes]
    """Every file by its path in the archive, and the beginning of those that may tell something."""
    entries: tuple[Entry, ...] = ()
    """What to pack; empty when there is an archive already."""
    tops: tuple[tuple[str, str], ...] = ()
    """The same in short: what to copy, and to which path of the archive."""
    left_out: frozenset[str] = field(default_factory=frozenset)

    @property
    def program(self) -> str | None:
        """The script below `code/` that defines the model's functions, when there is exactly one to take."""
        scripts = [name for name in self.heads if re.fullmatch(rf"{CODE}/[^/]+\.py", name)]
        if f"{CODE}/{SCRIPT}" in scripts:
            return SCRIPT
        defining = [name for name in scripts if _DEFINES_MODEL.search(self.heads[name])]
        return defining[0].removeprefix(f"{CODE}/") if len(defining) == 1 else None

    @property
    def size(self) -> int:
        """Bytes to pack."""
        return sum(entry.size for entry in self.entries)

    def summary(self) -> str:
        """What was taken, in a line."""
        if self.kind in ("s3 archive", "s3 prefix"):
            return f"{self.given}, where it is"
        files = len(self.heads)
        words = f"{self.given}: {files} file{'' if files == 1 else 's'}"
        moved = [name for path, name in self.tops if name.startswith(f"{CODE}/")]
        if moved:
            words += f", {', '.join(name.removeprefix(f'{CODE}/') for name in moved)} put into code/"
        if self.left_out:
            words += f", {', '.join(sorted(self.left_out))} left out"
        return words


def of_path(given: str) -> Source:
    """A directory or a file. Archives are looked into by `mooring.cli.deploy.packing`. Raises `BadInput`."""
    path = Path(given)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise BadInput(f"{given}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        return _directory(given, path)
    if not stat.S_ISREG(mode):
        raise BadInput(f"{given} is neither a file nor a directory")
    if path.name.endswith((".zip", ".tar", ".tar.bz2", ".tar.xz")):
        raise BadInput(f"{given}: model data is a directory or a .tar.gz; unpack this and name the directory")
    target = f"{CODE}/{path.name}" if path.suffix == ".py" else path.name
    return _source(given, "file", [_file(path.resolve(), target)], [(given, target)], frozenset())


def is_archive(given: str) -> bool:
    """Whether a path or URI names an archive, by how it ends."""
    return given.endswith(ARCHIVES)


def with_text(source: Source, name: str, text: bytes) -> Source:
    """The same with a file more."""
    entry = Entry(name, None, len(text), text=text)
    return replace(source, heads={**source.heads, name: text}, entries=(*source.entries, entry))


def is_telling(name: str) -> bool:
    """Whether the beginning of a file is worth a look."""
    return _TELLING.search(name) is not None


def _directory(given: str, path: Path) -> Source:
    left_out: set[str] = set()
    tops = _listed(path, left_out)
    layout = [(str(Path(given, each.name)), name) for each, name in zip(tops, _layout(given, tops), strict=True)]
    entries: list[Entry] = []
    for each, (_, name) in zip(tops, layout, strict=True):
        entries += _walked(each, name, left_out)
    if not any(not entry.directory for entry in entries):
        raise BadInput(f"there is nothing to deploy in {given}: it holds no file")
    if any(name.startswith(f"{CODE}/") for _, name in layout):
        entries.insert(0, Entry(CODE, None, directory=True))
    return _source(given, "directory", entries, layout, frozenset(left_out))


def _layout(given: str, tops: Iterable[Path]) -> list[str]:
    """Where each thing at the top goes."""
    names = [path.name for path in tops]
    if CODE in names:
        if SCRIPT in names:
            raise BadInput(f"{given} has {SCRIPT} beside {CODE}/, where nothing reads it: move it into {CODE}/")
        return names
    scripts = {path.name for path in tops if path.suffix == ".py" and path.is_file()}
    if SCRIPT not in scripts and not any(_DEFINES_MODEL.search(_head(path)) for path in tops if path.name in scripts):
        return names
    return [f"{CODE}/{path.name}" if _is_code(path) else path.name for path in tops]


def _is_code(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob("*.py"))
    return path.suffix == ".py" or path.name == "requirements.txt"


def _listed(directory: Path, left_out: set[str]) -> list[Path]:
    try:
        found = sorted(directory.iterdir())
    except OSError as error:
        raise BadInput(f"cannot read {directory}: {error.strerror}") from None
    left_out.update(path.name for path in found if path.name in LEFT_OUT)
    return [path for path in found if path.name not in LEFT_OUT]


def _walked(path: Path, name: str, left_out: set[str]) -> Iterator[Entry]:
    if not stat.S_ISDIR(path.lstat().st_mode):
        yield _file(path, name)
        return
    yield Entry(name, path, directory=True)
    for each in _listed(path, left_out):
        yield from _walked(each, f"{name}/{each.name}", left_out)


def _file(path: Path, name: str) -> Entry:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise BadInput(f"{path} is a symbolic link, which SageMaker refuses in model data: put the file itself there")
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"{path} is neither a file nor a directory, which is all that model data may hold")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{os.fsencode(path)!r}: a name in model data must be UTF-8") from None
    if not os.access(path, os.R_OK):
        raise BadInput(f"cannot read {path}: permission denied")
    return Entry(name, path, found.st_size, executable=bool(found.st_mode & stat.S_IXUSR))


def _source(
    given: str, kind: Kind, entries: list[Entry], tops: list[tuple[str, str]], left_out: frozenset[str]
) -> Source:
    files = {entry.name: entry.path for entry in entries if not entry.directory}
    # Scripts first: of many files the beginnings are not worth their time.
    telling = sorted(filter(is_telling, files), key=lambda name: (not name.startswith(f"{CODE}/"), name.count("/")))
    heads = dict.fromkeys(files, b"")
    heads.update({name: _head(path) for name in telling[:MOST_HEADS] if (path := files[name]) is not None})
    return Source(given, kind, heads, tuple(entries), tuple(tops), left_out)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from None
