"""`mooring env` and `mooring run`: code that knows nothing of Mooring finds a server, and nothing is left over."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from mooring.cli import environment, main
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.identity import ProcessIdentity

MOORING = [sys.executable, "-m", "mooring.cli"]


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path: Path) -> None:
    cleared = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "NO_PROXY", "no_proxy", "AWS_ENDPOINT_URL", "AWS_DATA_PATH"
    for name in cleared:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "it's a cache"))


def exported(text: str) -> dict[str, str]:
    words = [shlex.split(line) for line in text.splitlines()]
    assert all(word[0] == "export" and len(word) == 2 for word in words)
    return dict(word[1].split("=", 1) for word in words)


def test_env_for_sh(fake, capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("no_proxy", "intranet,localhost")
    assert main(["env", "--url", fake.url]) == 0
    found = exported(capsys.readouterr().out)
    data = Path(found.pop("AWS_DATA_PATH"))
    assert found == {
        "AWS_ENDPOINT_URL": fake.url,
        "AWS_ACCESS_KEY_ID": "mooring",
        "AWS_SECRET_ACCESS_KEY": "mooring",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "NO_PROXY": "intranet,localhost,127.0.0.1",
        "no_proxy": "intranet,localhost,127.0.0.1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert data.is_relative_to(tmp_path)
    written = [path for path in data.rglob("*") if path.is_file()]
    assert [path.name for path in written] == ["endpoint-rule-set-1.json"]
    assert written[0].stat().st_mode & 0o777 == 0o600


class Sent(Exception):
    """A request on its way: its URL."""


def sent_to(url: str | None) -> str:
    """Where a client of STS goes that is made as the SageMaker SDK makes it."""

    def caught(request, **_: object) -> None:
        raise Sent(request.url)

    client = boto3.session.Session(region_name="eu-west-1").client("sts", endpoint_url=url)
    client.meta.events.register("before-send", caught)
    with pytest.raises(Sent) as sent:
        client.get_caller_identity()
    return str(sent.value)


def test_the_host_of_sts_that_the_sdk_spells_out_is_this_server(fake, capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path / "mine"))
    assert main(["env", "--url", fake.url]) == 0
    found = exported(capsys.readouterr().out)
    assert found["AWS_DATA_PATH"].endswith(f"{os.pathsep}{tmp_path / 'mine'}")
    for name in ("AWS_DATA_PATH", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, found[name])
    assert sent_to("https://sts.eu-west-1.amazonaws.com") == f"{fake.url}/"
    assert sent_to("https://sts.example.com") == "https://sts.example.com/"
    assert sent_to(None) == "https://sts.eu-west-1.amazonaws.com/"
    monkeypatch.setenv("AWS_ENDPOINT_URL", fake.url)
    assert sent_to(None) == f"{fake.url}/"
    assert main(["env", "--url", fake.url]) == 0
    assert exported(capsys.readouterr().out)["AWS_DATA_PATH"] == found["AWS_DATA_PATH"]


def test_own_keys_are_kept(fake, capsys, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("NO_PROXY", "*")
    assert main(["env", "--shell", "json", "--url", fake.url]) == 0
    found = json.loads(capsys.readouterr().out)
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} & set(found)
    assert found["no_proxy"] == "*"


def test_fish_has_its_own_quotes() -> None:
    assert environment.script({"A": "it's a \\ b", "B": "c"}, "fish") == "set -gx A 'it\\'s a \\\\ b'\nset -gx B 'c'"


def test_found_by_data_directory_keeps_its_file_there(fake, capsys, tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    paths.run.mkdir(parents=True)
    me = identity.of(os.getpid())
    assert me is not None
    paths.server_file.write_text(json.dumps({**me.to_document(), "url": fake.url}))
    assert main(["env", "--data-dir", str(paths.root)]) == 0
    found = exported(capsys.readouterr().out)
    assert found["AWS_DATA_PATH"] == str(paths.botocore_data)
    assert paths.botocore_data.is_dir()


def test_env_without_a_server_prints_nothing_to_evaluate(capsys, tmp_path: Path) -> None:
    assert main(["env", "--data-dir", str(tmp_path / "none")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mooring: no server runs")
    assert err.count("\n") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("status", [{}, {"region": "../x"}, {"region": "us-east-1\nexport x=y"}])
def test_a_region_is_looked_at(fake, capsys, status) -> None:
    fake.answers["GET", "/-/mooring/v1/status"] = lambda query, body: (200, status)
    assert main(["env", "--url", fake.url]) == 1
    assert capsys.readouterr() == ("", f"mooring: {fake.url} does not tell its region\n")


def test_unknown_shell(fake, capsys) -> None:
    assert main(["env", "--shell", "csh", "--url", fake.url]) == 2
    assert capsys.readouterr() == ("", "mooring: --shell is one of sh, fish, json, not 'csh'\n")


def test_run_hands_on_environment_words_and_exit_code(fake, capfd) -> None:
    program = "import os, sys; print(os.environ['AWS_ENDPOINT_URL'], sys.argv[1:]); sys.exit(7)"
    assert main(["run", "--url", fake.url, "--", sys.executable, "-c", program, "--url", "--", "x"]) == 7
    assert capfd.readouterr().out == f"{fake.url} ['--url', '--', 'x']\n"


def test_command_that_is_not_found_starts_no_server(capsys, tmp_path: Path) -> None:
    assert main(["run", "--data-dir", str(tmp_path / "none"), "--", "no-such-command"]) == 127
    assert capsys.readouterr() == ("", "mooring: no-such-command: command not found\n")
    assert main(["run", "--data-dir", str(tmp_path / "none"), "--", str(tmp_path)]) == 126
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("handled", [True, False])
def test_signals_reach_the_command(fake, number: signal.Signals, handled: bool) -> None:
    handler = "lambda *_: sys.exit(9)" if handled else "signal.SIG_DFL"
    program = (
        f"import signal, sys, time; signal.signal({int(number)}, {handler}); print('up', flush=True); time.sleep(30)"
    )
    command = [*MOORING, "run", "--url", fake.url, "--", sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            process.send_signal(number)
            assert process.wait(20) == (9 if handled else 128 + number)
        finally:
            process.kill()


def free(paths: Paths) -> bool:
    """Whether every process of the directory's server is gone."""
    try:
        with paths.children_lock.open("rb") as children:
            fcntl.flock(children, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_killed_run_leaves_no_server(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    command = [*MOORING, "run", "--data-dir", str(paths.root), "--", "sh", "-c", "echo up; read end"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            server = ProcessIdentity.read(paths.server_file)
        finally:
            process.kill()
    assert server is not None
    deadline = time.monotonic() + 20
    while server.alive():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert free(paths)


IN_A_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
COUNTING = """
import signal, time
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1))
print('up', flush=True)
while not seen: time.sleep(0.01)
time.sleep(0.3)
print('seen', len(seen), flush=True)
"""


def test_ctrl_c_in_a_terminal_reaches_the_command_once(fake) -> None:
    ours, theirs = pty.openpty()
    command = [*MOORING, "run", "--url", fake.url, "--", sys.executable, "-c", COUNTING]
    process = subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *command],
        stdin=theirs,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.write(ours, b"\x03")
        assert process.stdout.read() == b"seen 1\n"
        assert process.wait(20) == 0
    finally:
        process.kill()
        os.close(theirs)
        os.close(ours)
        process.communicate()


def test_run_starts_a_server_and_leaves_nothing(tmp_path: Path) -> None:
    paths = Paths(tmp_path / "data")
    program = "import boto3; print(boto3.client('sagemaker').list_models()['Models'])"
    command = [*MOORING, "run", "--data-dir", str(paths.root), "--", sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
    assert not paths.server_file.exists()
    assert ProcessIdentity.read(paths.lock) is None
    assert free(paths)
    assert "is ready at http://127.0.0.1:" in paths.server_log.read_text()


def test_server_that_cannot_start_says_why(capsys, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOORING_WORKERS", "x")
    assert main(["run", "--data-dir", str(tmp_path / "data"), "--", sys.executable, "-c", ""]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "mooring: the server ended before it was ready: MOORING_WORKERS='x': a whole number is needed\n"
