from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mooring import __version__
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.supervisor.announcing import Announcer


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("10.0.0.7", "http://10.0.0.7:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080 and at every other address of this machine"),
        ("::", "http://[::1]:8080 and at every other address of this machine"),
    ],
)
def test_where_the_server_is_ready(capsys, tmp_path: Path, host: str, told: str) -> None:
    settings, paths = Settings(), Paths(tmp_path)
    paths.run.mkdir()
    Announcer(replace(settings, server=replace(settings.server, host=host)), paths).look([])
    assert capsys.readouterr().out == f"Mooring {__version__} is ready at {told} (data in {tmp_path})\n"
