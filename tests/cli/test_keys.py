"""`mooring keys` without a server, and with which key the commands call one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mooring.cli import environment, main
from mooring.cli.credentials import credentials_for
from mooring.cli.finding import Server
from mooring.paths import Paths
from mooring.wire.signing import Credentials

POLICY = {"Statement": [{"Effect": "Allow", "NotAction": ["s3:*", "sts:*"], "Resource": "*"}]}


def keys(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> tuple[int, str, str]:
    code = main(["keys", *words, "--data-dir", str(data)])
    return (code, *capsys.readouterr())


def test_keys_are_made_shown_and_revoked_before_any_server(capsys, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert keys(capsys, data, "list")[1] == "no access keys; `mooring keys create` makes one\n"
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    code, out, err = keys(capsys, data, "create", "--name", "ann", "--policy", str(tmp_path / "policy.json"))
    assert (code, err) == (0, "The secret is not shown again.\n")
    first, second = (line.partition("=") for line in out.splitlines())
    assert (first[0], second[0]) == ("export AWS_ACCESS_KEY_ID", "export AWS_SECRET_ACCESS_KEY")
    made = json.loads(keys(capsys, data, "create", "--json")[1])
    assert made["name"] == made["access_key_id"]
    listed = keys(capsys, data, "list")[1]
    assert [line.split()[0] for line in listed.splitlines()] == [first[2], made["access_key_id"]]
    assert "allow all but s3:*, sts:*" in listed
    assert "may do everything" in listed
    assert second[2] not in listed
    assert keys(capsys, data, "revoke", "ann")[1] == f"revoked {first[2]}\n"
    assert [each["name"] for each in json.loads(keys(capsys, data, "list", "--json")[1])] == [made["name"]]


def test_what_cannot_be_is_one_line(capsys, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("[")
    for words, said in (
        (("revoke", "nobody"), 'there is no access key "nobody": `mooring keys list` shows those that are'),
        (("create", "--name", "x"), "is not 2 to 64 letters"),
        (("create", "--policy", str(broken)), "is not valid JSON"),
        (("create", "--policy", str(tmp_path / "absent.json")), "cannot read the policy"),
    ):
        code, out, err = keys(capsys, tmp_path / "data", *words)
        assert code in (1, 2)
        assert out == ""
        assert said in err
        assert err.count("\n") == 1


def left(paths: Paths) -> Credentials:
    paths.run.mkdir(parents=True)
    paths.local_credentials.write_text(json.dumps({"access_key_id": "LEFT", "secret_access_key": "s"}))
    return Credentials("LEFT", "s")


def test_the_servers_owner_calls_with_what_it_has_left(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    server = Server("x", "http://127.0.0.1:1", None, paths)
    environ = {"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "e", "AWS_SESSION_TOKEN": "t"}
    assert credentials_for(server, environ) == Credentials("ENV", "e", "t")
    assert credentials_for(server, environ) != left(paths)
    assert credentials_for(server, environ) == Credentials("LEFT", "s")
    assert credentials_for(Server("x", "http://127.0.0.1:1", None), environ) == Credentials("ENV", "e", "t")


def test_others_call_with_their_profile_or_nothing(tmp_path: Path) -> None:
    server = Server("x", "http://127.0.0.1:1", None)
    assert credentials_for(server, {"HOME": str(tmp_path)}) is None
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        "[default]\naws_access_key_id = D\naws_secret_access_key = d\n[p]\naws_access_key_id = P\n"
        "aws_secret_access_key = p\naws_session_token = t\n[half]\naws_access_key_id = H\n"
    )
    home = {"HOME": str(tmp_path)}
    assert credentials_for(server, home) == Credentials("D", "d")
    assert credentials_for(server, {**home, "AWS_PROFILE": "p"}) == Credentials("P", "p", "t")
    assert credentials_for(server, {**home, "AWS_PROFILE": "half"}) is None


def test_code_of_the_servers_owner_gets_its_key_unless_it_has_one(fake, tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    left(paths)
    server = Server("x", fake.url, None, paths)
    added = environment.variables(server, {"AWS_SESSION_TOKEN": "of another key"})
    assert (added["AWS_ACCESS_KEY_ID"], added["AWS_SECRET_ACCESS_KEY"], added["AWS_SESSION_TOKEN"]) == ("LEFT", "s", "")
    own = {"AWS_ACCESS_KEY_ID": "OWN", "AWS_SECRET_ACCESS_KEY": "o"}
    assert not environment.variables(server, own).keys() & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
