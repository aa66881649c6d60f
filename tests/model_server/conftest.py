from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.model_server.serving import Replica, Zygote, prepare

Serve = Callable[..., Replica]


def warm(preload: str) -> Iterator[Zygote]:
    zygote = Zygote(preload)
    try:
        yield zygote.wait_ready()
    finally:
        zygote.close()


@pytest.fixture(scope="session")
def plain_zygote() -> Iterator[Zygote]:
    yield from warm("none")


@pytest.fixture(scope="session")
def sklearn_zygote() -> Iterator[Zygote]:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    yield from warm("sklearn")


@pytest.fixture(scope="session")
def xgboost_zygote() -> Iterator[Zygote]:
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    yield from warm("xgboost")


@pytest.fixture
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Serve]:
    """Start a replica from a script by the zygote of its framework; killed afterwards."""
    started: list[Replica] = []

    def begin(
        script: str | None = None, framework: str = "generic", *, model: bytes | None = None, **fields: object
    ) -> Replica:
        replica = prepare(tmp_path / f"r{len(started)}", script, framework, **fields)
        if model is not None:
            (replica.root / "model" / "model").write_bytes(model)
        warmth = framework if framework in ("sklearn", "xgboost") else "plain"
        zygote: Zygote = request.getfixturevalue(f"{warmth}_zygote")
        started.append(replica)
        return zygote.spawn(replica)

    yield begin
    for replica in started:
        replica.close()
