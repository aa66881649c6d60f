"""What a model's files tell of their maker, and that no bytes at all do harm."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.engines import evidence
from mooring.engines.evidence import BINARY, made_with

VERSION = "1.2.2"
STATE = {"weights": list(range(300)), "_sklearn_version": VERSION}
XGBOOST_JSON = b'{"learner":{"attributes":{}},"version":[1,7,6]}'
XGBOOST_UBJ = b"{L\0\0\0\0\0\0\0\x07learner{}L\0\0\0\0\0\0\0\x07version[#L\0\0\0\0\0\0\0\x03i\x01i\x07i\x06}"


def binary(major: int, minor: int, header: bytes = b"binf") -> bytes:
    return header + struct.pack("<f4iII", 0.5, 3, 0, 1, 0, major, minor) + bytes(1000)


def found(directory: Path, content: bytes, framework: str = "sklearn", name: str = "model") -> dict[str, str]:
    (directory / name).write_bytes(content)
    return made_with(directory, framework)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    assert found(tmp_path, pickle.dumps(STATE, protocol)) == {"scikit-learn": VERSION}


@pytest.mark.parametrize("compress", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_what_joblib_compresses(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    assert found(tmp_path, compress(pickle.dumps(STATE))) == {"scikit-learn": VERSION}


def test_an_old_lzma_file(tmp_path: Path) -> None:
    packed = lzma.compress(pickle.dumps(STATE), format=lzma.FORMAT_ALONE)
    assert found(tmp_path, packed) == {"scikit-learn": VERSION}


@pytest.mark.parametrize("where", [1024**2 - 8, 5 * 1024**2, evidence.BYTES + 3 * 1024**2])
def test_wherever_it_stands(tmp_path: Path, where: int) -> None:
    """At the seam of two chunks, and at the end of a file that is longer than what is looked at."""
    assert found(tmp_path, bytes(where) + pickle.dumps(STATE)) == {"scikit-learn": VERSION}


@pytest.mark.parametrize(
    ("content", "version"),
    [
        (XGBOOST_JSON, "1.7.6"),
        (XGBOOST_JSON.replace(b":[1,7,6]", b": [3, 0, 12]"), "3.0.12"),
        (XGBOOST_UBJ, "1.7.6"),
        (pickle.dumps(bytearray(XGBOOST_UBJ)), "1.7.6"),
        (binary(1, 5), "1.5"),
        (binary(1, 0, header=b""), "1.0"),
        (binary(0, 0), BINARY),
        (binary(0, 0, header=b""), BINARY),
        (binary(77777, 3), BINARY),
        (b"\x80\x04\x8c\x0cxgboost.core\x94\x8c\x07Booster\x94" + bytes(3000), BINARY),
    ],
)
def test_xgboosts_formats(tmp_path: Path, content: bytes, version: str) -> None:
    assert found(tmp_path, content, "xgboost", "xgboost-model") == {"xgboost": version}


@pytest.mark.parametrize(
    "content",
    [b"", b"binf", b"{}", b"\x80\x04.", b"BZh", b"\x1f\x8b", b"\xfd7zXZ\0", b"\x5d\0\0", b"\x78\x9c", bytes(5000),
     b"_sklearn_version", b'"version":[1,2,', json.dumps({"version": "1.2.3"}).encode()],
)  # fmt: skip
@pytest.mark.parametrize("framework", ["sklearn", "xgboost"])
def test_what_tells_nothing(tmp_path: Path, content: bytes, framework: str) -> None:
    assert found(tmp_path, content, framework) == {}


STARTS = [b"", b"binf", b"\x80\x04", b"BZh9", b"\x1f\x8b\x08", b"\xfd7zXZ\0\0\x04", b"\x5d\0\0\x80\0", b"\x78\x9c"]
PIECES = [b"_sklearn_version", b"\x94\x8c\x051.2.2", b"xgboost.core", b"Booster", b'"version":[', b"version[#L"]


@settings(max_examples=100)
@given(
    st.sampled_from(STARTS),
    st.lists(st.one_of(st.binary(max_size=200), st.sampled_from(PIECES))),
    st.sampled_from(["sklearn", "xgboost"]),
)
def test_no_bytes_get_anything_but_a_clean_answer(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: list[bytes], framework: str
) -> None:
    answer = found(tmp_path_factory.mktemp("e"), start + b"".join(rest), framework)
    assert all(version == BINARY or version.replace(".", "").isdigit() for version in answer.values())


def test_a_file_that_unpacks_without_end_is_left(tmp_path: Path) -> None:
    """200 MB of zeros in 200 kB, and the version behind them: looked for up to the bound only."""
    packer = zlib.compressobj(9)
    with (tmp_path / "bomb").open("wb") as file:
        for _ in range(200):
            file.write(packer.compress(bytes(1024**2)))
        file.write(packer.compress(pickle.dumps(STATE)) + packer.flush())
    assert made_with(tmp_path, "sklearn") == {}


def test_the_top_of_the_directory_comes_first_and_code_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_bytes(pickle.dumps({"_sklearn_version": "0.1.0"}))
    (tmp_path / "code" / "a.pkl").write_bytes(pickle.dumps({"_sklearn_version": "0.2.0"}))
    (tmp_path / "z.pkl").write_bytes(pickle.dumps(STATE))
    assert made_with(tmp_path, "sklearn") == {"scikit-learn": VERSION}


def test_other_frameworks_are_not_looked_for(tmp_path: Path) -> None:
    assert found(tmp_path, pickle.dumps(STATE), "pytorch") == {}
    assert found(tmp_path, pickle.dumps(STATE), "xgboost") == {}
