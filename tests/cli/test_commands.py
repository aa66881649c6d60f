"""The commands against a server that answers as the admin API does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from urllib.parse import parse_qsl

import pytest

from mooring import __version__
from mooring.cli import logs, main
from mooring.hosting.naming import in_progress

LOGS = ("GET", "/-/mooring/v1/endpoints/fleet/logs")


def test_status_for_people(fake, capsys) -> None:
    assert main(["status", "--url", fake.url]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "Mooring 0.1.0 at http://127.0.0.1:8080, up 1 h 2 min, account 000000000000, region us-east-1\n"
    )
    row = next(line for line in out.splitlines() if line.lstrip().startswith("fleet"))
    assert row.split() == [
        "fleet",
        "eu-west-1",
        "InService",
        "a[bold]",
        "1",
        "→",
        "3",
        "1",
        "r1",
        "healthy",
        "pid",
        "77",
    ]
    assert "twice: no [such] file" in out
    shadow = next(line for line in out.splitlines() if line.lstrip().startswith("mirrored"))
    assert "shadow (shadow)" in shadow
    # It serves: what failed is over.
    assert "mirrored: the last update failed: no such [key]\n" in out
    assert "mirrored: asynchronous, 5 waiting, 6 in process\n" in out
    assert "fleet: asynchronous" not in out
    assert "mirrored: explains records for which [0]>`0.5`\ufffd is true\n" in out
    assert "fleet: explains" not in out
    assert "mirrored: 12 records captured since control began, 2 files on the way to S3\n" in out
    assert any(line.split() == ["gateway", "0", "12", "30", "MB"] for line in out.splitlines())


def test_status_in_a_pipe_breaks_no_line(fake, capsys) -> None:
    reason = "why " * 200 + "it failed"
    replica = {"id": "r" * 300, "pid": 1, "state": "healthy"}
    variant = {"name": "a" * 200, "replicas": [replica, replica]}
    endpoint = {"name": "long", "status": "Failed", "failure_reason": reason, "variants": [variant]}
    fake.answers["GET", "/-/mooring/v1/status"] = lambda query, body: (200, {"endpoints": [endpoint]})
    assert main(["status", "--url", fake.url]) == 0
    out = capsys.readouterr().out
    assert f"long: {reason}\n" in out
    assert [line.split()[-4:] for line in out.splitlines() if "rrr" in line] == [["r" * 300, "healthy", "pid", "1"]] * 2


def test_a_shadow_report(fake, capsys) -> None:
    side = {"answers": 1234567, "errors_4xx": 0, "errors_5xx": 9, "timeouts": 3, "broken": 0}
    comparison = {
        "config": "new",
        "names": {"production": "a[bold]", "shadow": "b"},
        "copied": 1234567,
        "dropped": {"full": 12, "late": 0, "gone": 0},
        "agreement": {"same": 3, "equal": 1, "different": 0, "uncompared": 0},
        "production": {**side, "p50_ms": 1.684, "p90_ms": 362.783, "p99_ms": None},
        "shadow": {**side, "p50_ms": 0.04, "p90_ms": 99.97, "p99_ms": 12345.6},
        "examples": [{"inference_id": "[i]", "request_id": "r", "what": "$[0]: 1 and 0"}],
    }
    document = {"endpoint": "e", "has_shadow": True, "comparisons": [comparison]}
    fake.answers["GET", "/-/mooring/v1/endpoints/fleet/shadow"] = lambda query, body: (200, document)
    assert main(["shadow", "report", "fleet", "--url", fake.url]) == 0
    out = capsys.readouterr().out
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "e, new: 1234567 calls to be copied, 12 dropped (the queue was full)",
        "a[bold] (production) b (shadow)",
        "2xx 1234567 1234567",
        "4xx 0 0",
        "5xx and other 9 9",
        "timed out 3 3",
        "no answer 0 0",
        "p50 ms 1.7 0.04",
        "p90 ms 363 100.0",
        "p99 ms – 12346",
        "of 4 pairs of answers: 75.0 % the same bytes, 25.0 % the same values, 0.0 % different, 0.0 % not compared",
        "[i]: $[0]: 1 and 0",
    ]


@pytest.mark.parametrize(
    ("has_shadow", "said"), [(True, "no call was copied to its shadow yet"), (False, "ShadowProductionVariants")]
)
def test_a_shadow_report_of_nothing(fake, capsys, has_shadow: bool, said: str) -> None:
    document = {"endpoint": "e", "has_shadow": has_shadow, "comparisons": []}
    fake.answers["GET", "/-/mooring/v1/endpoints/fleet/shadow"] = lambda query, body: (200, document)
    assert main(["shadow", "report", "fleet", "--url", fake.url]) == 0
    assert said in capsys.readouterr().out


INVOCATION = {
    "id": "01a21f20-a503-7497-8d74-42cb5b967223",
    "inference_id": "mine [bold]",
    "position": 7,
    "status": "Failed",
    "reason": "it\nbroke",
    "input_location": None,
    "output_location": "s3://b/o.out",
    "failure_location": None,
    "written": None,
    "ttl_s": 21600,
    "timeout_s": 900,
    "accepted_at": 1_790_000_000.5,
    "finished_at": 1_790_000_001.0,
    "attempts": 2,
    "replica": "r1",
}
ASYNC = "/-/mooring/v1/endpoints/fleet/async"


def test_a_list_of_asynchronous_invocations(fake, capsys) -> None:
    waits = {**INVOCATION, "inference_id": INVOCATION["id"], "status": "Waiting", "reason": None, "finished_at": None}
    page = {"endpoint": "fleet", "waiting": 3, "in_process": 1, "invocations": [INVOCATION, waits], "next": 8}
    fake.answers["GET", ASYNC] = lambda query, body: (200, {**page, "asked": dict(parse_qsl(query))})
    assert main(["async", "list", "fleet", "--status", "failed", "--after", "5", "--url", fake.url]) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "fleet: 3 waiting, 1 in process",
        "id inference id status accepted finished reason",
        f"{INVOCATION['id']} mine [bold] Failed 2026-09-21 14:13:20 UTC 2026-09-21 14:13:21 UTC it broke",
        f"{INVOCATION['id']} Waiting 2026-09-21 14:13:20 UTC",
        "there are more: --after 8",
    ]
    assert main(["async", "list", "fleet", "--status", "failed", "--json", "--url", fake.url]) == 0
    asked = json.loads(capsys.readouterr().out)["asked"]
    assert asked == {"region": "eu-west-1", "status": "Failed", "after": "0", "limit": "50"}


def test_one_asynchronous_invocation(fake, capsys) -> None:
    found = {"endpoint": "fleet", "invocations": [INVOCATION]}
    fake.answers["GET", f"{ASYNC}/mine%20%5Bbold%5D"] = lambda query, body: (200, found)
    assert main(["async", "show", "fleet", "mine [bold]", "--url", fake.url]) == 0
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown[0] == INVOCATION["id"]
    assert "inference id mine [bold]" in shown
    assert "input in the request" in shown
    assert "may wait 21600 s" in shown
    assert not any(line.startswith("failure") for line in shown)


@pytest.mark.parametrize("words", [["list", "fleet"], ["show", "fleet", "mine [bold]"]])
def test_a_narrow_terminal_shortens_nothing_of_an_invocation(fake, capsys, monkeypatch, words: list[str]) -> None:
    long = {**INVOCATION, "inference_id": INVOCATION["id"], "reason": "why " * 50 + "it s3://b/" + "k" * 200}
    page = {"endpoint": "fleet", "waiting": 0, "in_process": 0, "invocations": [long], "next": None}
    fake.answers["GET", ASYNC] = lambda query, body: (200, page)
    fake.answers["GET", f"{ASYNC}/mine%20%5Bbold%5D"] = lambda query, body: (200, page)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for name, value in (("COLUMNS", "60"), ("TERM", "dumb"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    assert main(["async", *words, "--url", fake.url]) == 0
    out = capsys.readouterr().out
    assert INVOCATION["id"] in out
    assert f"{long['reason']}\n" in out


@pytest.mark.parametrize(("change", "said"), [("retry", "waits again"), ("cancel", "is cancelled")])
def test_changing_an_asynchronous_invocation(fake, capsys, change: str, said: str) -> None:
    fake.answers["POST", f"{ASYNC}/x/{change}"] = lambda query, body: (200, INVOCATION)
    assert main(["async", change, "fleet", "x", "--url", fake.url]) == 0
    assert capsys.readouterr().out == f"{INVOCATION['id']} {said}\n"
    fake.answers["POST", f"{ASYNC}/x/{change}"] = lambda query, body: (400, {"message": "x is Calling: too late"})
    assert main(["async", change, "fleet", "x", "--url", fake.url]) == 1
    assert capsys.readouterr().err == "mooring: x is Calling: too late\n"


@pytest.mark.parametrize("of", [[], ["async"], ["endpoints"], ["keys"], ["shadow"]])
def test_no_line_of_help_is_cut_off(capsys, of: list[str]) -> None:
    assert main([*of, "--help"]) == 0
    listed = capsys.readouterr().out.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


def test_status_without_endpoints(fake, capsys) -> None:
    fake.answers["GET", "/-/mooring/v1/status"] = lambda query, body: (200, {"version": "x", "endpoints": []})
    assert main(["status", "--url", fake.url]) == 0
    assert "no endpoints" in capsys.readouterr().out


def test_status_as_json_is_the_answer(fake, capsys) -> None:
    assert main(["status", "--json", "--url", fake.url]) == 0
    assert json.loads(capsys.readouterr().out)["endpoints"][0]["name"] == "fleet"
    assert fake.asked[0][2]["x-mooring-client"] == f"cli/{__version__}"


def test_url_from_the_environment(fake, capsys, monkeypatch) -> None:
    monkeypatch.setenv("MOORING_URL", fake.url + "/")
    assert main(["status", "--json"]) == 0
    assert fake.asked[0][1] == "/-/mooring/v1/status"


@pytest.mark.parametrize(
    ("words", "help_of"),
    [
        (["nope"], "mooring"),
        (["endpoints", "list"], "mooring endpoints"),
        (["keys", "create", "--x"], "mooring keys create"),
    ],
)
def test_a_wrong_command_line_names_the_help_that_tells_more(capsys, words: list[str], help_of: str) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.endswith(f" (`{help_of} --help` tells more)\n")


def test_logs_are_read_to_the_end(fake, capsys) -> None:
    pages = {"region=eu-west-1": ("one", "t1"), "region=eu-west-1&after=t1": ("two\x1b[2J", "t2")}

    def answer(query: str, body: bytes) -> tuple[int, object]:
        text, token = pages.get(query, (None, "t2"))
        return 200, {"lines": [{"variant": "a", "replica": "r1", "text": text}] if text else [], "next": token}

    fake.answers[LOGS] = answer
    assert main(["logs", "fleet", "--url", fake.url]) == 0
    assert capsys.readouterr().out == "a/r1 | one\na/r1 | two\x1b[2J\n"


def numbered(fake, count: int, text: str = "") -> None:
    """`count` answers of a line each, then empty ones."""

    def answer(query: str, body: bytes) -> tuple[int, object]:
        at = int(dict(parse_qsl(query)).get("after", "0"))
        lines = [{"variant": "a", "replica": "r", "text": f"{at}{text}"}] if at < count else []
        return 200, {"lines": lines, "next": str(min(at + 1, count))}

    fake.answers[LOGS] = answer


@pytest.mark.parametrize(("flags", "shown"), [(["--lines", "2"], [8, 9]), (["-n", "0"], []), (["-n", "99"], range(10))])
def test_last_lines(fake, capsys, flags: list[str], shown: Sequence[int]) -> None:
    numbered(fake, 10, "x" * logs.SHORT)
    assert main(["logs", "fleet", *flags, "--url", fake.url]) == 0
    out, err = capsys.readouterr()
    assert [line.partition("x")[0] for line in out.splitlines()] == [f"a/r | {number}" for number in shown]
    assert err == ""


def test_last_lines_are_of_each_replica(fake, capsys) -> None:
    pages = {"": (["a/r1 1", "a/r1 2", "b/r2 3", "b/r2 4"], "t1"), "t1": (["b/r2 5", "a/r1 6"], "t2"), "t2": ([], "t2")}

    def answer(query: str, body: bytes) -> tuple[int, object]:
        lines, token = pages[dict(parse_qsl(query)).get("after", "")]
        split = [line.replace("/", " ").split() for line in lines]
        return 200, {"lines": [{"variant": v, "replica": r, "text": text} for v, r, text in split], "next": token}

    fake.answers[LOGS] = answer
    assert main(["logs", "fleet", "-n", "2", "--url", fake.url]) == 0
    assert capsys.readouterr().out == "a/r1 | 2\na/r1 | 6\nb/r2 | 4\nb/r2 | 5\n"


def test_log_that_is_written_without_a_pause_has_an_end(fake, capsys) -> None:
    numbered(fake, 10**9)
    assert main(["logs", "fleet", "-n", "1", "--url", fake.url]) == 0
    assert capsys.readouterr().out == f"a/r | {logs.SHORT_ANSWERS - 1}\n"


def test_endpoint_that_failed_without_a_line_gives_its_reason(fake, capsys) -> None:
    path = "/-/mooring/v1/endpoints/twice/logs"
    fake.answers["GET", path] = lambda query, body: (200, {"lines": [], "next": "t"})
    assert main(["logs", "twice", "--region", "eu-west-1", "--url", fake.url]) == 0
    assert capsys.readouterr() == ("", "mooring: twice wrote nothing; it is Failed: no [such] file\n")
    assert main(["logs", "twice", "--region", "us-east-1", "--url", fake.url]) == 0
    assert capsys.readouterr() == ("", "")


def test_terminal_gets_no_control_characters(monkeypatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert logs._text({"variant": "a", "replica": "r", "text": "x\x1b[2J\ty\x9b"}) == "a/r | x\ufffd[2J\ty\ufffd"


def test_following_goes_on_over_a_restart_until_the_endpoint_is_gone(fake, capsys, monkeypatch) -> None:
    monkeypatch.setattr(logs, "POLL_S", 0.01)
    turns = [
        (200, {"lines": [{"variant": "a", "replica": "r", "text": "one"}], "next": "1"}),
        (200, {"lines": [], "next": "1"}),
        (503, {"message": "control is being restarted"}),
        (503, {"message": "control is being restarted"}),
        (200, {"lines": [{"variant": "a", "replica": "r", "text": "two"}], "next": "2"}),
        (404, {"message": 'there is no endpoint "fleet"'}),
    ]
    fake.answers[LOGS] = lambda query, body: turns.pop(0)
    assert main(["logs", "fleet", "--follow", "--region", "eu-west-1", "--url", fake.url]) == 1
    out, err = capsys.readouterr()
    assert out == "a/r | one\na/r | two\n"
    assert err == ('mooring: control is being restarted; trying again\nmooring: there is no endpoint "fleet"\n')


@pytest.mark.parametrize(
    ("name", "environment", "flags", "outcome"),
    [
        ("fleet", None, [], "eu-west-1"),
        ("fleet", "us-east-1", [], "eu-west-1"),
        ("twice", "us-east-1", [], "us-east-1"),
        ("twice", None, ["--region", "eu-west-1"], "eu-west-1"),
        ("twice", None, [], 'mooring: "twice" is in several regions (eu-west-1, us-east-1): name one with --region\n'),
        ("none", None, [], 'mooring: there is no endpoint "none" at {url}: `mooring status` shows those that are\n'),
    ],
)
def test_region_is_found(fake, capsys, monkeypatch, name, environment, flags, outcome) -> None:
    if environment:
        monkeypatch.setenv("AWS_REGION", environment)
    path = f"/-/mooring/v1/endpoints/{name}"
    fake.answers["DELETE", path] = lambda query, body: (200, {})
    code = main(["endpoints", "delete", name, "--force", "--url", fake.url, *flags])
    if outcome.startswith("mooring:"):
        assert code == (2 if "several" in outcome else 1)
        assert capsys.readouterr().err == outcome.replace("{url}", fake.url)
    else:
        assert code == 0
        assert fake.asked[-1][:2] == ("DELETE", f"{path}?region={outcome}")
        assert capsys.readouterr().out == f"deleted {name}\n"


def test_name_is_quoted(fake) -> None:
    main(["endpoints", "delete", "a/../b?x", "--force", "--region", "r&s", "--url", fake.url])
    assert fake.asked[-1][1] == "/-/mooring/v1/endpoints/a%2F..%2Fb%3Fx?region=r%26s"


def test_events_of_an_endpoint(fake, capsys) -> None:
    asked: list[str] = []
    texts = ["Creating", "v: replica i-1 \x1b[2J went", "InService"]

    def history(query: str, body: bytes) -> tuple[int, dict[str, object]]:
        asked.append(query)
        if len(asked) > 2:
            return 404, {"message": "gone"}
        half = texts[:2] if len(asked) == 1 else texts[2:]
        return 200, {"events": [{"position": 7, "at": 0.0, "kind": "status", "text": text} for text in half]}

    fake.answers["GET", "/-/mooring/v1/endpoints/fleet/events"] = history
    assert main(["endpoints", "events", "fleet", "--follow", "--url", fake.url]) == 0
    assert asked[:2] == ["region=eu-west-1&after=0", "region=eu-west-1&after=7"]
    assert [line.split("status")[1].strip() for line in capsys.readouterr().out.splitlines()] == texts


def test_events_of_an_endpoint_that_is_not_there(fake, capsys) -> None:
    assert main(["endpoints", "events", "none", "--url", fake.url]) == 1
    assert "none" in capsys.readouterr().err


def test_delete_without_force_is_the_call_of_aws(fake, capsys) -> None:
    fake.answers["POST", "/"] = lambda query, body: (200, b"")
    assert main(["endpoints", "delete", "fleet", "--url", fake.url]) == 0
    _, _, headers, body = fake.asked[-1]
    assert json.loads(body) == {"EndpointName": "fleet"}
    assert headers["x-amz-target"] == "SageMaker.DeleteEndpoint"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert "/eu-west-1/sagemaker/aws4_request" in headers["authorization"]
    assert capsys.readouterr().out == "deleting fleet\n"


def test_error_of_aws_is_one_line(fake, capsys) -> None:
    message = 'Could not find endpoint\n"arn".'
    fake.answers["POST", "/"] = lambda query, body: (400, {"__type": "x#ValidationException", "message": message})
    assert main(["endpoints", "delete", "fleet", "--url", fake.url]) == 1
    assert capsys.readouterr().err == 'mooring: Could not find endpoint "arn".\n'


def test_deletion_in_progress_is_told_of_force(fake, capsys) -> None:
    message = in_progress("arn")
    fake.answers["POST", "/"] = lambda query, body: (400, {"__type": "ValidationException", "message": message})
    assert main(["endpoints", "delete", "fleet", "--url", fake.url]) == 1
    assert capsys.readouterr().err == f"mooring: {message} Use --force to delete it nevertheless.\n"


@pytest.mark.parametrize(
    ("answer", "code", "complaint"),
    [
        ((404, {"message": "gone"}), 1, "gone"),
        ((400, {"message": "bad"}), 1, "bad"),
        ((503, {"message": "down"}), 1, "down"),
        ((500, {}), 1, "{url} answered with status 500"),
        ((200, b"<html>"), 1, "what answers at {url} is not Mooring (status 200)"),
        ((200, b"[]"), 1, "what answers at {url} is not Mooring (status 200)"),
    ],
)
def test_failed_answer_is_one_line(fake, capsys, answer, code, complaint) -> None:
    fake.answers["GET", "/-/mooring/v1/status"] = lambda query, body: answer
    assert main(["status", "--url", fake.url]) == code
    assert capsys.readouterr() == ("", f"mooring: {complaint.format(url=fake.url)}\n")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "foo", "http://:80", "http://x:99999", "ftp://x"])
def test_no_server_at_the_url(capsys, url: str) -> None:
    assert main(["status", "--url", url]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mooring: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [["nope"], ["status", "--nope"], ["logs"], ["serve", "--port", "x"], ["stop", "--timeout", "-1"], ["endpoints"]],
)
def test_wrong_command_line_is_one_line(capsys, words: list[str]) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mooring: ")
    assert err.count("\n") == 1


def test_help_shows_every_flag_of_serve_with_its_variable(capsys) -> None:
    assert main(["serve", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    for name in ("host", "port", "data-dir", "workers", "log-level"):
        assert f"--{name} " in text
        assert f"MOORING_{name.upper().replace('-', '_')}" in text


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_bare_command_shows_help(capsys, words: list[str]) -> None:
    assert main(words) == 0
    assert "endpoints" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["version", "--version"])
def test_version(capsys, word: str) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out == f"Mooring {__version__}\n"


def test_reader_that_leaves_is_no_trace(fake) -> None:
    fake.answers["GET", "/-/mooring/v1/status"] = lambda query, body: (200, {"processes": ["x" * 99] * 9999})
    command = subprocess.Popen(
        [sys.executable, "-m", "mooring.cli", "status", "--json", "--url", fake.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    command.stdout.close()
    assert command.stderr is not None
    with command.stderr as errors:
        assert errors.read() == b""
    assert command.wait(20) == 1
