"""A certificate and its key: what is taken, what is refused and why, and for which names."""

from __future__ import annotations

import json
import os
import ssl
import time
from pathlib import Path

import pytest

from mooring.errors import BadPair
from mooring.paths import Paths
from mooring.processes import certificates
from tests.certifying import LOCAL, Made, made


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / "data")
    found.make_private_directories()
    return found


def take(pair: Made, paths: Paths, *issuers: Made) -> certificates.Certificate:
    certificate, key = pair.write(paths.root, *issuers)
    return certificates.take(str(certificate), str(key), paths)


def test_a_pair_is_kept_apart_from_its_key(paths: Paths) -> None:
    pair = made("a.example", "*.b.example", "10.0.0.1", "::1")
    found = take(pair, paths)
    assert found.names == ("a.example", "*.b.example", "10.0.0.1", "::1")
    assert found.anchored
    assert 29 * 86_400 < found.not_after - time.time() < 31 * 86_400
    assert certificates.facts(paths) == found
    assert b"PRIVATE KEY" not in paths.certificate.read_bytes()
    assert paths.served_pair.stat().st_mode & 0o777 == 0o600
    context = certificates.server_context()
    certificates.load(context, paths.served_pair)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    certificates.forget(paths)
    assert certificates.facts(paths) is None
    assert not paths.served_pair.exists()


def test_an_issuer_that_others_know_is_not_to_be_trusted_untold(paths: Paths) -> None:
    root = made(subject="root", authority=True)
    middle = made(subject="middle", issuer=root, authority=True)
    leaf = made(*LOCAL, issuer=middle)
    assert not take(leaf, paths).anchored
    assert not take(leaf, paths, middle).anchored
    assert take(leaf, paths, middle, root).anchored


def test_an_expired_certificate_is_served_all_the_same(paths: Paths) -> None:
    assert take(made(*LOCAL, days=-1), paths).not_after < time.time()


def test_a_bad_pair_leaves_the_good_one(paths: Paths) -> None:
    take(made(*LOCAL), paths)
    kept = paths.served_pair.read_bytes(), paths.certificate.read_bytes()
    certificate, key = made(*LOCAL).write(paths.root)
    other = made(*LOCAL)
    for content, said in (
        (other.key_pem, "the key is not that of the certificate"),
        (b"", "one of them is not"),
        (b"\xff" * 100, "one of them is not"),
        (other.locked_key_pem, "the key is encrypted; write it without its password"),
        (b"x" * (certificates.LARGEST_BYTES + 1), "too large"),
    ):
        key.write_bytes(content)
        with pytest.raises(BadPair, match=said):
            certificates.take(str(certificate), str(key), paths)
        assert said in str(certificates.problem(str(certificate), str(key), paths))
    key.unlink()
    key.mkdir()
    with pytest.raises(BadPair, match="Is a directory"):
        certificates.take(str(certificate), str(key), paths)
    key.rmdir()
    os.mkfifo(key)  # to which nobody writes
    with pytest.raises(BadPair, match="is not a file"):
        certificates.take(str(certificate), str(key), paths)
    assert (paths.served_pair.read_bytes(), paths.certificate.read_bytes()) == kept
    assert sorted(path.name for path in paths.run.iterdir() if path.is_file()) == [
        "certificate.json",
        "certificate.pem",
        "tls.pem",
    ], "nothing of the candidates is left"


def test_a_certificate_without_a_name_is_refused(paths: Paths) -> None:
    with pytest.raises(BadPair, match="subjectAltName"):
        take(made(), paths)


def test_a_pinned_certificate_is_that_one_and_none_of_its_issuers(paths: Paths) -> None:
    root = made(subject="root", authority=True)
    ours, theirs = made("a.example", issuer=root), made("a.example", issuer=root)
    take(theirs, paths)
    context = certificates.server_context()
    certificates.load(context, paths.served_pair)
    take(ours, paths, root)
    client = certificates.pinned_context(paths.certificate)
    with pytest.raises(ssl.SSLCertVerificationError):
        certificates._handshake(client, context)
    certificates.load(context, paths.served_pair)
    assert certificates._handshake(client, context)["subjectAltName"] == (("DNS", "a.example"),)


@pytest.mark.parametrize(
    ("host", "names", "chosen"),
    [
        ("127.0.0.1", ["mooring.example", "localhost", "127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", ["mooring.example", "localhost"], "localhost"),
        ("0.0.0.0", ["mooring.example", "::1"], "::1"),
        ("0.0.0.0", ["*.example", "mooring.example"], "mooring.example"),
        ("10.0.0.7", ["localhost", "mooring.example", "10.0.0.7"], "10.0.0.7"),
        ("10.0.0.7", ["mooring.example", "localhost"], "mooring.example"),
        ("mooring.example", ["other.example", "mooring.example"], "mooring.example"),
        ("127.0.0.1", ["*.example"], None),
    ],
)
def test_the_name_by_which_a_server_is_reached(host: str, names: list[str], chosen: str | None) -> None:
    assert certificates.name_for(host, names) == chosen


def test_a_star_stands_for_one_label() -> None:
    names = ["*.example.com", "localhost"]
    assert certificates.is_for("a.example.com", names)
    assert certificates.is_for("localhost", names)
    assert not certificates.is_for("a.b.example.com", names)
    assert not certificates.is_for("example.com", names)


def test_changes_are_seen_once(tmp_path: Path) -> None:
    certificate, key = made(*LOCAL).write(tmp_path)
    changes = certificates.changes(str(certificate), str(key))
    assert [next(changes), next(changes)] == [False, False]
    fresh = tmp_path / "fresh"
    fresh.write_bytes(key.read_bytes())
    fresh.replace(key)
    assert [next(changes), next(changes)] == [True, False]
    certificate.unlink()
    assert [next(changes), next(changes)] == [True, False]


def test_facts_that_are_broken_are_none(paths: Paths) -> None:
    for content in ("", "[]", json.dumps({"names": 5}), json.dumps({"names": [], "not_after": None, "anchored": True})):
        paths.certificate_facts.write_text(content)
        assert certificates.facts(paths) is None
