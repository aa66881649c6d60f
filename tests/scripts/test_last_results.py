"""The table of what the last run showed: from pytest's report into a page, beside rows of other runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parents[2] / "scripts" / "last_results.py"
REPORT = """<?xml version="1.0"?>
<testsuites><testsuite name="pytest" timestamp="2026-01-02T03:04:05">
<testcase classname="tests.clients.test_x" name="test_a" time="1.2"><properties>
  <property name="subject" value="X"/><property name="did" value="this"/><property name="version" value="1.0"/>
</properties></testcase>
<testcase classname="tests.clients.test_x" name="test_b" time="2.1"><properties>
  <property name="subject" value="X"/><property name="did" value="a | b"/>
</properties><failure message="assert&#10; 1 == 2">trace</failure></testcase>
<testcase classname="tests.clients.test_y" name="test_c" time="0"><properties>
  <property name="subject" value="Y"/><property name="did" value="that"/>
</properties><skipped message="there is none"/></testcase>
</testsuite></testsuites>
"""
X = "| X | 1.0 | this; a \\| b | 1 passed, 1 failed in 3 s; assert 1 == 2 | 2026-01-02 |\n"
Y = "| Y |  | that | 1 skipped in 0 s; there is none | 2026-01-02 |\n"
HEAD = "| | Version | What ran | Result | Date |\n| --- | --- | --- | --- | --- |\n"
OLD = "| X | 0.9 | this | 2 passed in 4 s | 2025-01-01 |\n"
OTHER = "| a/test_z.py |  | else | 1 passed in 4 s | 2025-01-01 |\n"


def run(tmp_path: Path, *flags: str | Path) -> str:
    (tmp_path / "report.xml").write_text(REPORT)
    command = [sys.executable, PROGRAM, tmp_path / "report.xml", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_subjects_have_their_tests_versions_and_reasons(tmp_path: Path) -> None:
    assert run(tmp_path) == HEAD + X + Y


def test_a_page_keeps_what_did_not_run_again_and_all_around(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n\n| a | b |\n\n<!-- last results -->\n{HEAD}{OTHER}{OLD}<!-- end -->\n\nAfter\n")
    run(tmp_path, "--write", page)
    wanted = f"# Before\n\n| a | b |\n\n<!-- last results -->\n{HEAD}{X}{Y}{OTHER}<!-- end -->\n\nAfter\n"
    assert page.read_text() == wanted
    run(tmp_path, "--write", page)
    assert page.read_text() == wanted
