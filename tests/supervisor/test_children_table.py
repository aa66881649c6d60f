"""The real table: what each child is called with."""

from __future__ import annotations

import contextlib
import dataclasses
import sys

import pytest

from mooring.paths import Paths
from mooring.settings import RESOLVED, Settings, load
from mooring.supervisor import listening
from mooring.supervisor.children import table


@pytest.fixture
def opened(short_directory):
    @contextlib.contextmanager
    def enter(**topics):
        settings = load({}, host="127.0.0.1", port=0, workers=2, data_dir=str(short_directory))
        settings = dataclasses.replace(settings, **topics)
        paths = Paths(short_directory)
        paths.make_private_directories()
        with listening.opened(settings, paths) as listeners:
            resolved = listening.resolve(settings, paths, listeners)
            yield resolved, listeners, {spec.name: spec for spec in table(resolved, listeners)}

    return enter


def test_names_modules_and_descriptors(opened) -> None:
    with opened() as (settings, listeners, specs):
        assert list(specs) == ["control", "gateway 0", "gateway 1", "objects"]
        assert specs["control"].command == (sys.executable, "-P", "-m", "mooring.api")
        assert specs["gateway 1"].command[-3:] == ("mooring.gateway", "--index", "1")
        assert specs["gateway 1"].descriptors == (("--listen-fd", listeners.gateways[1].fileno()),)
        assert [flag for flag, _ in specs["objects"].descriptors] == ["--handover-fd", "--s3-fd"]
        for spec in specs.values():
            assert Settings.from_json(spec.environment[RESOLVED]) == settings
        assert "MALLOC_TRIM_THRESHOLD_" in specs["gateway 0"].environment
        assert "MALLOC_TRIM_THRESHOLD_" not in specs["control"].environment


def test_stop_order_and_deadlines(opened) -> None:
    with opened() as (settings, _, specs):
        assert specs["gateway 0"].stop_order < specs["control"].stop_order < specs["objects"].stop_order
        assert specs["gateway 0"].stop_timeout_s > settings.gateway.drain_s
        assert specs["control"].stop_timeout_s > settings.replicas.stop_grace_s


def test_no_objects_front_when_s3_is_elsewhere(opened) -> None:
    elsewhere = dataclasses.replace(Settings().objects, endpoint_url="http://127.0.0.1:9")
    with opened(objects=elsewhere) as (_, listeners, specs):
        assert "objects" not in specs
        assert listeners.handover is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("box.lan", "http://box.lan:8080"),
    ],
)
def test_url_is_one_that_can_be_called(host: str, url: str) -> None:
    assert load({}, host=host).url == url


def test_supervisor_imports_nothing_heavy() -> None:
    import subprocess

    program = "import sys, mooring.supervisor; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    heavy = {"asyncio", "hashlib", "http.client", "rich", "typer", "sqlalchemy", "botocore", "ssl", "uvloop", "random"}
    assert heavy.isdisjoint(found.stdout.split())
