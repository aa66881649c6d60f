"""What a deployment takes: directories as they lie, scripts at the top, files, archives; and what it refuses."""

from __future__ import annotations

import gzip
import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from mooring.cli.deploy import packing, sources
from mooring.errors import BadInput

MODEL_FN = "def model_fn(model_dir):\n    return 1\n"


def tree(root: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(root)


def packed(source: sources.Source, target: Path) -> dict[str, bytes | None]:
    """The members of the archive of `source`, directories as None."""
    archive = packing.pack(source.entries, target, lambda count: None)
    assert archive.size == target.stat().st_size
    with tarfile.open(target, "r:gz") as tar:
        return {each.name: None if each.isdir() else tar.extractfile(each).read() for each in tar}


def refusal(given: str) -> str:
    with pytest.raises(BadInput) as refused:
        sources.of_path(given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_model_directory_is_taken_as_it_lies(tmp_path: Path) -> None:
    files = {"model.joblib": "m", "code/inference.py": MODEL_FN, "code/lib/x.py": "", "sub/data.bin": b"\0\1"}
    source = sources.of_path(tree(tmp_path / "iris", files))
    (tmp_path / "iris" / "empty").mkdir()
    source = sources.of_path(str(tmp_path / "iris"))
    members = packed(source, tmp_path / "a.tar.gz")
    assert {name: data for name, data in members.items() if data is not None} == {
        name: text.encode() if isinstance(text, str) else text for name, text in files.items()
    }
    assert members.keys() - files.keys() == {"code", "code/lib", "sub", "empty"}
    assert source.program == "inference.py"


def test_a_script_at_the_top_goes_into_code_with_what_belongs_to_it(tmp_path: Path) -> None:
    files = {
        "inference.py": MODEL_FN,
        "features.py": "",
        "helpers/__init__.py": "",
        "requirements.txt": "",
        "model.joblib": "m",
        "vocabulary/words.txt": "w",
    }
    source = sources.of_path(tree(tmp_path / "iris", files))
    assert set(packed(source, tmp_path / "a.tar.gz")) == {
        "code", "code/inference.py", "code/features.py", "code/helpers", "code/helpers/__init__.py",
        "code/requirements.txt", "model.joblib", "vocabulary", "vocabulary/words.txt",
    }  # fmt: skip
    assert "features.py, helpers, inference.py, requirements.txt put into code/" in source.summary()


def test_the_only_script_that_defines_a_model_is_the_program(tmp_path: Path) -> None:
    source = sources.of_path(
        tree(tmp_path / "iris", {"train.py": f"import os\n{MODEL_FN}", "util.py": "", "m.pkl": ""})
    )
    assert source.program == "train.py"
    assert "code/train.py" in source.heads
    two = sources.of_path(tree(tmp_path / "two", {"code/a.py": MODEL_FN, "code/b.py": MODEL_FN}))
    assert two.program is None


def test_scripts_that_define_no_model_stay_where_they_are(tmp_path: Path) -> None:
    source = sources.of_path(tree(tmp_path / "hf", {"modeling_x.py": "class X: ...", "config.json": "{}"}))
    assert set(source.heads) == {"modeling_x.py", "config.json"}
    assert source.program is None


@pytest.mark.parametrize(("name", "target"), [("model.joblib", "model.joblib"), ("inference.py", "code/inference.py")])
def test_a_single_file(tmp_path: Path, name: str, target: str) -> None:
    tree(tmp_path, {name: MODEL_FN})
    (tmp_path / "latest").symlink_to(tmp_path / name)
    source = sources.of_path(str(tmp_path / name))
    assert packed(source, tmp_path / "a.tar.gz") == {target: MODEL_FN.encode()}
    assert set(sources.of_path(str(tmp_path / "latest")).heads) == {"latest"}  # what is named itself may be a link


def test_what_never_belongs_to_a_model_is_left_out(tmp_path: Path) -> None:
    files = {"model.joblib": "m", ".git/HEAD": "", "code/__pycache__/x.pyc": "", "code/inference.py": MODEL_FN}
    root = Path(tree(tmp_path / "iris", files))
    (root / ".venv").mkdir()
    (root / ".venv" / "python").symlink_to("/usr/bin/python3")
    source = sources.of_path(str(root))
    assert set(source.heads) == {"model.joblib", "code/inference.py"}
    assert ".git, .venv, __pycache__ left out" in source.summary()


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    digests = []
    for name in ("first", "second"):
        root = Path(tree(tmp_path / name, {"b": "2", "a": "1", "ü/c": "3"}))
        os.utime(root / "a", (len(digests) * 1000, 5))
        (root / "b").chmod(0o600 + len(digests) * 0o022)
        digests.append(packing.pack(sources.of_path(str(root)).entries, tmp_path / f"{name}.gz", lambda count: None))
    assert digests[0].digest == digests[1].digest
    with tarfile.open(tmp_path / "first.gz") as tar:
        members = tar.getmembers()
    assert {(each.mtime, each.uid, each.gid, each.uname) for each in members} == {(0, 0, 0, "")}
    assert gzip.decompress((tmp_path / "first.gz").read_bytes())


def test_progress_counts_every_byte(tmp_path: Path) -> None:
    source = sources.of_path(tree(tmp_path / "big", {"weights": bytes(3_000_001), "other": "x"}))
    counts: list[int] = []
    packing.pack(source.entries, tmp_path / "a.tar.gz", counts.append)
    assert sum(counts) == source.size == 3_000_002


def test_hard_links_are_packed_as_files(tmp_path: Path) -> None:
    root = Path(tree(tmp_path / "iris", {"a.pkl": "same"}))
    (root / "b.pkl").hardlink_to(root / "a.pkl")
    assert packed(sources.of_path(str(root)), tmp_path / "a.tar.gz") == {"a.pkl": b"same", "b.pkl": b"same"}


def test_what_is_refused(tmp_path: Path) -> None:
    assert refusal(str(tmp_path / "none")) == f"{tmp_path}/none: No such file or directory"
    empty = tmp_path / "empty"
    (empty / ".git").mkdir(parents=True)
    assert refusal(str(empty)) == f"there is nothing to deploy in {empty}: it holds no file"
    linked = Path(tree(tmp_path / "linked", {"real": "x"}))
    (linked / "sub").mkdir()
    (linked / "sub" / "link").symlink_to(linked / "real")
    assert f"{linked}/sub/link is a symbolic link, which SageMaker refuses" in refusal(str(linked))
    beside = tree(tmp_path / "beside", {"inference.py": "", "code/x.py": ""})
    assert refusal(beside) == f"{beside} has inference.py beside code/, where nothing reads it: move it into code/"
    (tmp_path / "m.zip").touch()
    assert "unpack this and name the directory" in refusal(str(tmp_path / "m.zip"))


def test_what_is_neither_file_nor_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(tree(tmp_path / "iris", {"model.pkl": ""}))
    os.mkfifo(root / "pipe")
    assert "pipe is neither a file nor a directory" in refusal(str(root))
    assert "is neither a file nor a directory" in refusal(str(root / "pipe"))
    (root / "pipe").unlink()
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        assert "socket is neither" in refusal(str(root))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(tmp_path / "iris", {"model.pkl": "x"})
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root reads everything
    assert refusal(root) == f"cannot read {root}/model.pkl: permission denied"


def test_a_name_that_is_not_text_is_refused(tmp_path: Path) -> None:
    root = Path(tree(tmp_path / "iris", {"model.pkl": "x"}))
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff"))).write_bytes(b"")
    assert "a name in model data must be UTF-8" in refusal(str(root))


@pytest.mark.parametrize("change", ["longer", "shorter"])
def test_a_file_that_changes_while_it_is_packed_is_told(tmp_path: Path, change: str) -> None:
    root = Path(tree(tmp_path / "iris", {"weights": bytes(2_000_000)}))
    source = sources.of_path(str(root))
    (root / "weights").write_bytes(bytes(2_000_001 if change == "longer" else 1_500_000))
    with pytest.raises(BadInput, match="weights changed while it was packed"):
        packing.pack(source.entries, tmp_path / "a.tar.gz", lambda count: None)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    source = sources.of_path(tree(tmp_path / "iris", {"weights": os.urandom(100_000)}))
    with pytest.raises(BadInput, match=r"cannot write /dev/full: No space left on device \(TMPDIR"):
        packing.pack(source.entries, Path("/dev/full"), lambda count: None)


def archive(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(data), kind, "x"
            tar.addfile(member, io.BytesIO(data))
    stream.seek(0)
    return stream


def test_archives_are_looked_into_without_unpacking() -> None:
    heads = packing.look_into(
        archive({"./code/inference.py": MODEL_FN.encode(), "big.bin": bytes(100_000)}), "a.tar.gz"
    )
    assert heads == {"code/inference.py": MODEL_FN.encode(), "big.bin": b""}


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (io.BytesIO(b"no archive"), "is not a tar.gz archive, or is damaged"),
        (io.BytesIO(archive({"a": bytes(99_999)}).read()[:-30]), "is not a tar.gz archive, or is damaged"),
        (io.BytesIO(gzip.compress(b"x" * 2000)), "is not a tar.gz archive"),
        (archive({"link": b""}, tarfile.SYMTYPE), "link in a.tar.gz is a symbolic link"),
        (archive({}), "there is nothing to deploy in a.tar.gz"),
    ],
)
def test_bad_archives_are_one_line(stream: io.BytesIO, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        packing.look_into(stream, "a.tar.gz")
