"""LightGBM: what is no framework of an image comes as a requirement of the script."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.acceptance.running import IMAGE, Deployment
from tests.models import pages
from tests.models.deploying import FIRST_TIME_S, Endpoint, fail

pytestmark = [pytest.mark.clients, pytest.mark.timeout(FIRST_TIME_S)]

ROW = "5.1,3.5,1.4,0.2"


def test_one_row_and_several(served_by_page: Callable[[str], Endpoint]) -> None:
    endpoint = served_by_page("lightgbm")
    assert json.loads(endpoint.ask(ROW, "text/csv").body) == [0]
    assert json.loads(endpoint.ask(f"[[{ROW}]]", "application/json").body) == [0]
    assert endpoint.ask(f"{ROW}\n{ROW}\n", "text/csv", "text/csv").body == b"0\n0\n"


def test_requirements_outside_code_are_not_found(models: Deployment) -> None:
    page = pages.read("lightgbm").files
    files: dict[str, str | bytes] = {
        "code/inference.py": page["code/inference.py"],
        "requirements.txt": page["code/requirements.txt"],
    }
    reason, log = fail(models, "light-outside", IMAGE, files)
    assert "import failed: ModuleNotFoundError: No module named 'lightgbm'" in reason
    assert "Traceback" in log
