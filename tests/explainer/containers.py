"""A gateway and a container for tests of explained calls: predictions are made of functions, and answers scripted."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mooring.explainer.frames import Explain, Explained, Predict, Predicted, Unexplained
from mooring.explainer.work.explaining import Explaining
from mooring.explainer.work.keeping import Kept
from mooring.hosting.explaining import ExplainerRoute
from mooring.settings import ExplainerSettings

Model = Callable[[list[float]], float | Sequence[float]]
Answering = Callable[[Predict], Predicted | None]

CSV = "text/csv"


def kept_of() -> Kept:
    """What a process keeps, as it begins."""
    return Kept(ExplainerSettings())


def rows_of(body: bytes) -> list[list[float]]:
    """The numbers of a CSV body."""
    return [[float(cell) for cell in line.split(",")] for line in body.decode().split("\n")]


def answered(model: Model, body: bytes) -> bytes:
    """What a container with this model answers."""
    lines = []
    for row in rows_of(body):
        scores = model(row)
        lines.append(",".join(map(repr, scores if isinstance(scores, Sequence) else [scores])))
    return "\n".join(lines).encode() + b"\n"


def explain_of(
    model: Model,
    request: bytes,
    *,
    call: int = 1,
    baseline: str = "0,0,0",
    width: int = 1,
    within_s: float = 50.0,
    expression: str | None = None,
    shap: dict[str, Any] | None = None,
    route: dict[str, Any] | None = None,
    **inference: Any,
) -> Explain:
    """A call that this model has answered."""
    config: dict[str, Any] = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": baseline}, **(shap or {})}}
    if inference:
        config["InferenceConfig"] = inference
    explainer = ExplainerRoute(**{"model": "m/1/v", "config": config, **(route or {})}).to_text()
    return Explain(call, explainer, CSV, expression, request, CSV, answered(model, request), width, within_s)


class Container:
    """Answers as the model does, and notes what it was asked; it refuses what `refuses` says."""

    def __init__(
        self, model: Model, refuses: Callable[[Predict], tuple[int, bytes] | None] = lambda predict: None,
        seconds: Callable[[int], float] = lambda records: 0.001 + 0.00001 * records,
    ) -> None:  # fmt: skip
        self.asked: list[Predict] = []
        self.predicted: list[bytes] = []
        """The rows that it did predict, each once for a request."""
        self._model = model
        self._refuses = refuses
        self._seconds = seconds

    def answer(self, predict: Predict) -> Predicted:
        self.asked.append(predict)
        assert predict.records == predict.body.count(b"\n") + 1
        refusal = self._refuses(predict)
        seconds = self._seconds(predict.records)
        if refusal is not None:
            return Predicted(predict.call, predict.number, refusal[0], CSV, refusal[1], seconds)
        self.predicted += dict.fromkeys(predict.body.split(b"\n"))
        return Predicted(predict.call, predict.number, 200, CSV, answered(self._model, predict.body), seconds)


def explained(
    explain: Explain,
    answer: Callable[[Predict], Predicted],
    kept: Kept | None = None,
    *,
    pick: Callable[[int], int] = lambda number: 0,
    most: int = 200_000,
) -> Explained | Unexplained:
    """Run a call to its end. `pick` says which of the requests under way is answered next."""
    now = 0.0
    call = Explaining(explain, kept_of() if kept is None else kept, now)
    under_way: deque[Predict] = deque()
    for _ in range(most):
        frames = call.advance(now)
        if frames is None:
            work = call.to_run()
            if work is not None:
                work()
                frames = call.ran(work)
        if frames is None:
            if under_way:
                at = pick(len(under_way))
                predict = under_way[at]
                del under_way[at]
                call.take(answer(predict), 0.0)
            else:
                assert call.not_before > now, "the call waits for nothing"
                now = call.not_before
            continue
        for frame in frames:
            if isinstance(frame, Explained | Unexplained):
                assert call.is_over
                assert call.advance(now) is None
                return frame
            assert isinstance(frame, Predict)
            under_way.append(frame)
    raise AssertionError("the call does not end")


def attributions_of(said: Explained | Unexplained) -> list[Any]:
    """For each record its attributions, features by classes; None for one that is not explained."""
    assert isinstance(said, Explained), said
    records = json.loads(said.body)["explanations"]["kernel_shap"]
    return [
        None if record is None else np.array([each["attributions"][0]["attribution"] for each in record])
        for record in records
    ]
