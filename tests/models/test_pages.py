"""The pages of docs/models, each run as it stands by somebody who has what it says to install."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.models import pages
from tests.models.deploying import FIRST_TIME_S


def test_the_table_names_every_page() -> None:
    table = pages.text("README")
    assert not [name for name in pages.NAMES if f"]({name}.md)" not in table]


@pytest.mark.timeout(FIRST_TIME_S)
@pytest.mark.parametrize("name", [pytest.param(name, marks=pages.marks(name)) for name in pages.NAMES])
def test_a_page_works_as_it_stands(run_page: Callable[[str], subprocess.CompletedProcess[str]], name: str) -> None:
    done = run_page(name)
    assert done.returncode == 0, done.stderr
    printed = pages.read(name).printed
    assert printed
    assert done.stdout.splitlines() == printed
