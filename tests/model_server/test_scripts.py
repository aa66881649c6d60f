"""The script contract, on the family of the toolkit without a framework."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model_server.conftest import Serve

ECHO = """
import json
def model_fn(model_dir):
    return {"dir": model_dir}
def predict_fn(data, model):
    return [data, model["dir"]]
"""


def test_every_function_is_used(serve: Serve) -> None:
    replica = serve(
        """
def model_fn(model_dir): return "model"
def input_fn(body, content_type): return [type(body).__name__, body.decode(), content_type]
def predict_fn(data, model): return data + [model]
def output_fn(prediction, accept): return ",".join(prediction + [accept])
"""
    )
    reply = replica.invoke("x", "application/x-own", "text/plain")
    assert (reply.status, reply.type) == (200, "text/plain")
    assert reply.body == b"bytes,x,application/x-own,model,text/plain"


def test_defaults_speak_json(serve: Serve) -> None:
    replica = serve(ECHO)
    reply = replica.invoke('{"a": 1}', "application/json")
    assert (reply.status, reply.type) == (200, "application/json")
    assert reply.json == [{"a": 1}, replica.spec["model_dir"]]


def test_transform_fn_names_its_own_type(serve: Serve) -> None:
    replica = serve(
        "def model_fn(d): return 2\n"
        "def transform_fn(model, body, content_type, accept): return str(model * int(body)), 'text/own'\n"
    )
    reply = replica.invoke("21", "text/csv")
    assert (reply.status, reply.type, reply.body) == (200, "text/own", b"42")


def test_context_is_passed_to_who_takes_one_argument_more(serve: Serve) -> None:
    replica = serve(
        """
def pre_model_fn(model_dir, context): print("pre", context.system_properties["model_dir"] == model_dir)
def model_fn(model_dir, context): return "m"
def model_warmup_fn(model_dir, model): print("warm", model)
def predict_fn(data, model, context):
    context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "out")
    context.set_response_status(202)
    return context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes")
"""
    )
    headers = {"X_Amzn_SageMaker_Custom_Attributes": "in"}
    reply = replica.invoke("{}", "application/json", **headers)
    assert (reply.status, reply.json) == (202, "in")
    assert reply.headers["x-amzn-sagemaker-custom-attributes"] == "out"
    assert "pre True" in replica.log
    assert "warm m" in replica.log


def test_error_is_500_with_the_exception_last_and_the_trace_in_the_log(serve: Serve) -> None:
    replica = serve("def model_fn(d): return 1\ndef predict_fn(data, model): raise ValueError('no such animal')\n")
    reply = replica.invoke("{}", "application/json")
    assert reply.status == 500
    assert reply.body.decode().splitlines()[0] == "no such animal"
    assert reply.body.decode().splitlines()[-1] == "ValueError: no such animal"
    assert "Traceback" in replica.log


@pytest.mark.parametrize(
    ("returned", "status", "body", "content_type"),
    [
        ("Reply()", 418, b"flask", "text/tea"),
        ("b'bytes'", 200, b"bytes", "application/own"),
        ("None", 200, b"", "application/own"),
        ("{'a': [1]}", 200, b'{"a": [1]}', "application/own"),
        ("('x', 'y/z')", 200, b"x", "y/z"),
        ("('x', 'y/z\\r\\nEvil: 1')", 200, b"x", "y/z Evil: 1"),
    ],
)
def test_what_output_fn_may_return(serve: Serve, returned: str, status: int, body: bytes, content_type: str) -> None:
    replica = serve(
        f"""
class Reply:
    status_code = 418
    headers = {{"Content-Type": "text/tea", "X-Own": "1"}}
    def get_data(self): return b"flask"
def model_fn(d): return 1
def predict_fn(data, model): return data
def output_fn(prediction, accept): return {returned}
"""
    )
    reply = replica.invoke("{}", "application/json", "application/own")
    assert (reply.status, reply.body) == (status, body)
    assert (reply.type or "").replace("  ", " ") == content_type
    assert "evil" not in reply.headers
    assert reply.headers.get("x-own") == ("1" if status == 418 else None)


@pytest.mark.parametrize(
    ("script", "where", "reason"),
    [
        ("import nothing_like_this", "import", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("def model_fn(d): raise KeyError('weights')", "model_fn", "KeyError: 'weights'"),
        ("def model_fn(d): import sys; sys.exit('no licence')", "model_fn", "SystemExit: no licence"),
        ("x = ", "import", "SyntaxError"),
        ("", "model_fn", "NotImplementedError: Please provide a model_fn implementation."),
        ("def model_fn(d): pass\ndef pre_model_fn(d): 1/0", "pre_model_fn", "ZeroDivisionError: division by zero"),
        (
            "def transform_fn(*a): pass\ndef input_fn(*a): pass",
            "import",
            (
                "ValueError: Cannot use transform_fn implementation in conjunction with "
                "input_fn, predict_fn, and/or output_fn implementation"
            ),
        ),
    ],
)
def test_failed_load_says_where_and_why(serve: Serve, script: str, where: str, reason: str) -> None:
    replica = serve(script)
    failure = replica.document("failure.json")
    assert failure["where"] == where
    assert reason in failure["reason"]
    assert replica.document("exit.json")["returncode"] == 3
    # Once as the traceback's last line, and once more with the advice behind it where there is some.
    assert replica.log.count(reason) == 1 + (". If nothing_like_this is your own" in failure["reason"])


def test_where_a_script_was_looked_for_is_said_only_when_there_is_none(serve: Serve) -> None:
    none = serve(None).document("failure.json")["reason"]
    assert "SAGEMAKER_PROGRAM is not set" in none
    assert "code/inference.py" in none
    there = serve("def predict_fn(data, model): ...").document("failure.json")["reason"]
    assert there.endswith(
        "Please provide a model_fn implementation. inference.py defines predict_fn: add def model_fn(model_dir) to it."
    )


@pytest.mark.parametrize("status", ["99", "'ok'", "1000"])
def test_status_that_http_has_no_words_for_is_500(serve: Serve, status: str) -> None:
    replica = serve(
        "def model_fn(d): return 1\n"
        f"def predict_fn(data, model, context): context.set_response_status({status}); return 1\n"
    )
    assert replica.invoke("1", "application/json").status == 500
    assert replica.ping().status == 200


def test_missing_program_is_named(serve: Serve) -> None:
    replica = serve(program="other.py")
    assert "FileNotFoundError: the program other.py is not in" in replica.document("failure.json")["reason"]


def test_place_of_a_missing_program_is_named_once(tmp_path: Path, serve: Serve) -> None:
    code = tmp_path / "model" / "code"
    code.mkdir(parents=True)
    replica = serve(program="other.py", model_dir=str(code.parent), code_dir=str(code))
    assert replica.document("failure.json")["reason"].count(str(code)) == 1


def test_pickles_of_the_scripts_own_classes_load(serve: Serve) -> None:
    replica = serve(
        """
import pickle
class Doubler:
    def predict(self, x): return x * 2
def model_fn(d): return pickle.loads(pickle.dumps(Doubler()))
"""
    )
    assert replica.invoke("4", "application/json").json == 8


def test_neighbours_of_the_script_can_be_imported_and_nothing_is_written_there(serve: Serve, tmp_path: object) -> None:
    replica = serve("from os import listdir\ndef model_fn(d): import neighbour\n")
    assert replica.document("failure.json")["reason"].startswith("ModuleNotFoundError")
    code = replica.root / "code"
    assert sorted(path.name for path in code.iterdir()) == ["inference.py"]


def test_default_accept_is_taken_from_the_environment(serve: Serve) -> None:
    replica = serve(
        "def model_fn(d): return 1\ndef predict_fn(data, model): return data\n"
        "def output_fn(prediction, accept): return accept, 'text/plain'\n",
        environment={"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv"},
    )
    assert replica.invoke("1", "application/json").body == b"text/csv"
    assert replica.invoke("1", "application/json", "*/*").body == b"text/csv"
    assert replica.invoke("1", "application/json", "a/b, c/d").body == b"a/b, c/d"
