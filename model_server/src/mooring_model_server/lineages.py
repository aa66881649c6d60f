"""The two families of script-mode containers, as models that answer invocations.

`ContainersModel` is sagemaker-containers (scikit-learn, XGBoost); `ToolkitModel` is sagemaker-inference (PyTorch,
Hugging Face, the generic one). They differ in the default of Content-Type, in what errors look like and in the
`context` that only the toolkit passes.

Where AWS's first family answers a script's exception with Flask's HTML page, this one answers plain text whose last
line is the exception: a person can read it in the client. The traceback is in the log in both, and in the toolkit's
body as on AWS.
"""

from __future__ import annotations

import json
import sys
import traceback
from dataclasses import dataclass
from typing import Any, Mapping

from mooring_model_server.context import Context
from mooring_model_server.contract import JSON as JSON_TYPE
from mooring_model_server.contract import TEXT, Answer, Invocation, LoadFailure, Model
from mooring_model_server.explaining import explained
from mooring_model_server.negotiation import JSON, UTF8_TYPES, UnsupportedFormatError, wanted, with_charset
from mooring_model_server.responses import answer_of, is_stream
from mooring_model_server.scripts import Function, Functions, takes_context


@dataclass(frozen=True)
class Defaults:
    """A framework's own functions, used where the script has none."""

    model_fn: Function
    input_fn: Function
    predict_fn: Function
    output_fn: Function


def no_model_fn(functions: Functions) -> Function:
    """The default of frameworks that cannot guess: AWS's words, and what to do where there is no script at all."""
    text = "Please provide a model_fn implementation."

    def model_fn(model_dir: str) -> Any:
        raise NotImplementedError(f"{text} {functions.absence}".strip())

    return model_fn


def log(error: BaseException) -> None:
    """The traceback goes to the replica's log."""
    if sys.stderr is not None and not sys.stderr.closed:
        traceback.print_exception(type(error), error, error.__traceback__)


class ContainersModel(Model):
    """A script, or a framework's defaults, under the rules of sagemaker-containers."""

    def __init__(self, functions: Functions, defaults: Defaults) -> None:
        self._script = functions
        self._defaults = defaults
        self._model: Any = None
        self._model_dir = ""

    def load(self, model_dir: str) -> None:
        """Load the model; raises LoadFailure naming the function that raised."""
        self._model_dir = model_dir
        self._model = _step(model_dir, "model_fn", self._script.model_fn or self._defaults.model_fn, model_dir)

    def invoke(self, invocation: Invocation) -> Answer:
        content_type = invocation.content_type or JSON
        accept = wanted(invocation.accept)
        try:
            return self._transform(invocation.body, content_type, accept)
        except BaseException as error:  # noqa: BLE001 (user code, sys.exit included)
            log(error)
            text = f"Internal Server Error\n\n{explained(error, self._model_dir)}\n"
            return Answer(500, TEXT, text.encode("utf-8", "backslashreplace"))

    def _transform(self, raw: bytes, content_type: str, accept: str) -> Answer:
        # As on AWS: text reaches a script only when the type is exactly one of these.
        body: bytes | str = raw.decode("utf-8", "replace") if content_type in UTF8_TYPES else raw
        if self._script.transform_fn:
            return self._finish(self._script.transform_fn(self._model, body, content_type, accept), accept)
        try:
            data = (self._script.input_fn or self._defaults.input_fn)(body, content_type)
        except UnsupportedFormatError as error:
            return _unsupported(415, error)
        prediction = (self._script.predict_fn or self._defaults.predict_fn)(data, self._model)
        try:
            if self._script.output_fn is None and is_stream(prediction):
                return self._finish(prediction, accept)
            result = (self._script.output_fn or self._defaults.output_fn)(prediction, accept)
        except UnsupportedFormatError as error:
            return _unsupported(406, error)
        return self._finish(result, accept)

    @staticmethod
    def _finish(result: Any, accept: str) -> Answer:
        answer = answer_of(result, accept)
        content_type = with_charset(answer.content_type) if answer.content_type else None
        return answer._replace(content_type=content_type)


class ToolkitModel(Model):
    """A script, or a framework's defaults, under the rules of sagemaker-inference."""

    def __init__(self, functions: Functions, defaults: Defaults) -> None:
        self._model: Any = None
        self._model_dir = ""
        self._pre_model_fn = functions.pre_model_fn and with_context(functions.pre_model_fn, 1)
        self._model_fn = with_context(functions.model_fn or defaults.model_fn, 1)
        self._model_warmup_fn = functions.model_warmup_fn and with_context(functions.model_warmup_fn, 2)
        self._context_is_wanted = False
        self._transform_fn = functions.transform_fn and self._per_call(functions.transform_fn, 4)
        self._input_fn = self._per_call(functions.input_fn or defaults.input_fn, 2)
        self._predict_fn = self._per_call(functions.predict_fn or defaults.predict_fn, 2)
        self._output_fn = self._per_call(functions.output_fn or defaults.output_fn, 2)
        self._writes_streams = functions.output_fn is not None

    def _per_call(self, function: Function, arguments: int) -> Function:
        self._context_is_wanted |= takes_context(function, arguments)
        return with_context(function, arguments)

    def load(self, model_dir: str) -> None:
        """Load the model; raises LoadFailure naming the function that raised."""
        self._model_dir = model_dir
        context = Context(model_dir, {})
        if self._pre_model_fn:
            _step(model_dir, "pre_model_fn", self._pre_model_fn, context, model_dir)
        self._model = _step(model_dir, "model_fn", self._model_fn, context, model_dir)
        if self._model_warmup_fn:
            _step(model_dir, "model_warmup_fn", self._model_warmup_fn, context, model_dir, self._model)

    def invoke(self, invocation: Invocation) -> Answer:
        context = Context(self._model_dir, invocation.headers) if self._context_is_wanted else None
        try:
            accept = self.negotiate(invocation.accept)
            answer = self._transform(invocation, accept, context)
            return answer if context is None else context.applied_to(answer)
        except BaseException as error:  # noqa: BLE001 (user code, sys.exit included)
            log(error)
            return self.error(error)

    def negotiate(self, accept: str | None) -> str:
        """The type that is wanted."""
        return wanted(accept)

    def error(self, error: BaseException) -> Answer:
        """The answer for what user code raised."""
        trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return Answer(500, TEXT, f"{error}\n{trace}".encode("utf-8", "backslashreplace"))

    def _transform(self, invocation: Invocation, accept: str, context: Context | None) -> Answer:
        content_type = invocation.content_type
        raw = invocation.body
        body: bytes | str = raw.decode("utf-8") if content_type in UTF8_TYPES else raw
        if self._transform_fn:
            return answer_of(self._transform_fn(context, self._model, body, content_type, accept), accept)
        data = self._input_fn(context, body, content_type)
        prediction = self._predict_fn(context, data, self._model)
        if not self._writes_streams and is_stream(prediction):  # no default has a form for it
            return answer_of(prediction, accept)
        return answer_of(self._output_fn(context, prediction, accept), accept)


def with_context(function: Function, arguments: int) -> Function:
    """A function of the toolkit's contract as one that takes the context first, whether it wants it or not."""
    if takes_context(function, arguments):
        return lambda context, *given: function(*given, context)
    return lambda context, *given: function(*given)


def _step(model_dir: str, where: str, function: Function, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except LoadFailure:
        raise
    except BaseException as error:
        raise LoadFailure(where, explained(error, model_dir)) from error


def _unsupported(status: int, error: UnsupportedFormatError) -> Answer:
    log(error)
    document: Mapping[str, str] = {
        "error": type(error).__name__,
        "error-message": str(error),
        "stack-trace": "".join(traceback.format_exception(type(error), error, error.__traceback__)),
    }
    return Answer(status, JSON_TYPE, json.dumps(document).encode("utf-8"))
