"""Control's side of an endpoint's explainers: what a route says of them, and S3 that is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from unittest.mock import AsyncMock, MagicMock

import pytest

from mooring.control import explainers
from mooring.control.endpoint_worker import EndpointWorker
from mooring.control.explainers import EndpointExplainers
from mooring.control.trials import creation, scaling, update
from mooring.explainer.preparing import vetting
from mooring.explainer.preparing.baselines import BaselineError, BaselineStore, Loaded
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase, Rollout
from mooring.hosting.rules import Members
from mooring.paths import Paths
from mooring.settings import Settings
from tests.store.making import an_endpoint

AWAY = BaselineError("s3://b/k: S3 cannot be reached", away=True)
MISSING = BaselineError("s3://b/k: there is no such object")


class SetClock:
    now = 100.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class Store(BaselineStore):
    """S3 answers as it is told."""

    def __init__(self, root: Path, outcomes: Sequence[BaselineError | None]) -> None:
        super().__init__(Paths(root), Settings())
        self.outcomes = list(outcomes)
        self.calls = 0

    async def bring(self, uid: str, generation: int, explainer: Members) -> Loaded:
        self.calls += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise outcome
        path = self.path(uid, generation)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1,2\n")
        return Loaded(1, 4)


class Scene:
    def __init__(self, root: Path, *outcomes: BaselineError | None) -> None:
        self.store = Store(root, outcomes or [None])
        self.clock = SetClock()
        self.told: list[str] = []
        note = lambda kind, text: self.told.append(text)  # noqa: E731
        self.explainers = EndpointExplainers("uid-e", self.store, cast("Any", self.clock), note)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explainers, "PAUSE_S", 0)


def config(baseline: Members, **more: Any) -> Members:
    clarify = {"ShapConfig": {"ShapBaselineConfig": baseline}, **more}
    return {"EndpointConfigName": "c", "ExplainerConfig": {"ClarifyExplainerConfig": clarify}}


IN_S3 = config({"ShapBaselineUri": "s3://b/k"})
INLINE = config({"ShapBaseline": "1,2"})


def record(of: Members, environment: dict[str, str] | None = None, **changes: Any) -> EndpointRecord:
    plain = an_endpoint()
    model = {"ModelName": "m", "PrimaryContainer": {"Image": "i", "Environment": environment or {}}}
    return replace(plain, config=of, variants=(replace(plain.variants[0], model=model),), **changes)


def updating(old: Members, new: Members) -> EndpointRecord:
    of = record(old, {"SAGEMAKER_MODEL_SERVER_WORKERS": "3"}, status=EndpointStatus.UPDATING, generation=2)
    rollout = Rollout(
        generation=5, config_name="d", config=new, variants=of.variants, deployment_config=None, guarded=False,
        before=EndpointStatus.IN_SERVICE, started_at=1.0, timeout_s=9.0, phase=Phase.LAUNCHING, phase_since=1.0,
    )  # fmt: skip
    return replace(of, rollout=rollout)


def test_each_fleet_of_an_update_is_explained_as_its_own_config_wants(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    of = updating(IN_S3, INLINE)
    old, new = (scene.explainers.route(of, number, of.variants[0]) for number in (2, 5))
    assert old is not None
    assert new is not None
    assert (old.model, new.model) == ("uid-e/2/v", "uid-e/5/v")
    assert (old.baseline, new.baseline) == (str(tmp_path / "baselines/uid-e/2/baseline"), None)
    assert (old.config, new.config) == tuple(
        each["ExplainerConfig"]["ClarifyExplainerConfig"] for each in (IN_S3, INLINE)
    )
    assert old.calls_per_replica == 3
    plain = updating(IN_S3, {"EndpointConfigName": "d"})
    assert scene.explainers.route(plain, 5, plain.variants[0]) is None


def test_what_is_left_of_a_failed_update_uses_the_baseline_of_the_endpoints_config(tmp_path: Path) -> None:
    of = record(IN_S3, generation=2)
    left = Scene(tmp_path).explainers.route(of, 4, of.variants[0])
    assert left is not None
    assert left.model == "uid-e/4/v"
    assert left.baseline == str(tmp_path / "baselines/uid-e/2/baseline")


def outcome(scene: Scene, change: Any) -> str | None:
    attempt = scene.explainers.attempt(change)
    assert attempt is not None
    return asyncio.run(cast("Any", attempt))


def test_an_s3_that_is_away_is_waited_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, AWAY, AWAY, None)
    assert outcome(scene, creation(record(IN_S3))) is None
    assert scene.store.calls == 3
    assert scene.told == ["the baseline was loaded from s3://b/k: 1 record, 4 bytes"]
    assert outcome(scene, creation(record(IN_S3))) is None
    assert scene.store.calls == 3, "it is there already"


def test_an_s3_that_stays_away_fails_the_change_in_the_end(tmp_path: Path) -> None:
    scene = Scene(tmp_path, AWAY)

    async def later() -> None:
        while scene.store.calls < 3:
            await asyncio.sleep(0)
        scene.clock.now += explainers.PATIENCE_S + 1

    async def both() -> str | None:
        attempt = scene.explainers.attempt(update(cast("Rollout", updating(INLINE, IN_S3).rollout)))
        assert attempt is not None
        found, _ = await asyncio.gather(attempt, later())
        return found

    failure = asyncio.run(both())
    assert failure is not None
    assert "S3 cannot be reached" in failure
    assert scene.told == [failure]


def test_what_s3_refuses_is_not_tried_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MISSING)
    assert "there is no such object" in str(outcome(scene, creation(record(IN_S3))))
    assert scene.store.calls == 1


def test_weights_are_changed_without_a_look_at_the_explainer(tmp_path: Path) -> None:
    assert Scene(tmp_path).explainers.attempt(scaling(record(IN_S3))) is None
    assert Scene(tmp_path).explainers.attempt(creation(record({"EndpointConfigName": "c"}))) is None


@pytest.mark.parametrize(
    ("absent", "shap", "words"),
    [
        ("numpy", {}, "ExplainerConfig needs NumPy, which is not installed where Mooring runs: install mooring[expl"),
        ("spacy", {"TextConfig": {}}, "TextConfig needs spaCy, which is not installed where Mooring runs: install m"),
    ],
)
def test_an_extra_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str, shap: Members, words: str
) -> None:
    monkeypatch.setattr(vetting, "is_there", lambda module: module != absent)
    given = config({"ShapBaseline": "1,2"})
    given["ExplainerConfig"]["ClarifyExplainerConfig"]["ShapConfig"] |= shap
    scene = Scene(tmp_path)
    assert words in str(outcome(scene, creation(record(given))))
    assert words in scene.told[0]


def test_a_baseline_that_has_gone_is_put_back_and_its_loss_told_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MISSING, MISSING, AWAY, None)

    async def run() -> None:
        of = record(IN_S3)
        for _ in range(3):
            scene.explainers.look(of)
        while not scene.store.path("uid-e", 1).exists():
            await asyncio.sleep(0)
        scene.explainers.look(of)

    asyncio.run(run())
    assert scene.store.calls == 4
    lost = "the baseline has gone, and calls that need it fail: s3://b/k: "
    assert scene.told == [
        f"{lost}there is no such object",
        f"{lost}S3 cannot be reached",
        "the baseline was loaded from s3://b/k: 1 record, 4 bytes",
    ]


def test_what_is_forgotten_is_not_put_back(tmp_path: Path) -> None:
    scene = Scene(tmp_path, AWAY)

    async def run() -> None:
        scene.explainers.look(record(IN_S3))
        while scene.store.calls < 2:
            await asyncio.sleep(0)
        scene.store.outcomes = [None]
        await scene.explainers.forget()
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert not (tmp_path / "baselines" / "uid-e").exists()


def test_an_update_that_is_turned_back_brings_no_baseline_later(tmp_path: Path) -> None:
    class Slow(Store):
        def __init__(self) -> None:
            super().__init__(tmp_path, [None])
            self.begun, self.go = asyncio.Event(), asyncio.Event()

        async def bring(self, uid: str, generation: int, explainer: Members) -> Loaded:
            self.begun.set()
            await self.go.wait()
            return await super().bring(uid, generation, explainer)

    async def scene() -> None:
        store, around = Slow(), MagicMock(clock=SetClock())
        around.baselines, around.engine.artifacts.forget = store, AsyncMock()
        worker = EndpointWorker("uid-e", around)
        of = updating(INLINE, IN_S3)
        worker._trials.of(update(cast("Rollout", of.rollout)))
        await store.begun.wait()
        await worker._tidy(replace(of, rollout=None, status=EndpointStatus.IN_SERVICE, last_generation=5))
        store.go.set()
        await asyncio.sleep(0.01)
        assert (store.calls, store.path("uid-e", 5).exists()) == (0, False)

    asyncio.run(scene())
