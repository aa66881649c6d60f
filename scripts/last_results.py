"""What the last run of `make clients` or `make soak` showed, as a table: printed, and with --write put into a page.

Reads the JUnit file that pytest wrote. Tests are one row for each `subject` (a property that they record, with its
`version` and with what they `did`); a row of a subject that did not run this time stays as it is in the page.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

HEAD = "| | Version | What ran | Result | Date |\n| --- | --- | --- | --- | --- |\n"
KINDS = ("passed", "failed", "skipped")
PLACE = re.compile(r"(<!-- last results -->\n).*?(<!-- end -->)", re.DOTALL)


@dataclass
class Row:
    """The tests of one subject."""

    date: str
    version: str = ""
    did: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0

    def add(self, case: ET.Element, properties: dict[str, str]) -> None:
        """Count one test."""
        self.version = properties.get("version", self.version)
        self.did += [properties["did"]] if properties.get("did", "") not in ("", *self.did) else []
        self.seconds += float(case.get("time", 0))
        found = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        kind = {None: "passed", "skipped": "skipped"}.get(None if found is None else found.tag, "failed")
        self.outcomes.append(kind)
        if found is not None:
            reason = " ".join((found.get("message") or kind).split())
            self.reasons += [reason] if reason not in self.reasons else []

    def line(self, subject: str) -> str:
        """As a row of the table."""
        counts = [f"{self.outcomes.count(kind)} {kind}" for kind in KINDS if kind in self.outcomes]
        result = "; ".join([f"{', '.join(counts)} in {self.seconds:.0f} s", *(reason[:200] for reason in self.reasons)])
        cells = (subject, self.version, "; ".join(self.did), result, self.date)
        return "| {} |\n".format(" | ".join(cell.replace("|", "\\|") for cell in cells))


def lines(report: Path) -> dict[str, str]:
    """The row of each subject that ran."""
    suite = ET.parse(report).getroot().find("testsuite")
    assert suite is not None
    rows: dict[str, Row] = {}
    for case in suite.iter("testcase"):
        properties = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
        subject = properties.get("subject") or case.get("classname", "").removeprefix("tests.")
        rows.setdefault(subject, Row(suite.get("timestamp", "")[:10])).add(case, properties)
    return {subject: row.line(subject) for subject, row in rows.items()}


def written(page: str, ran: dict[str, str]) -> str:
    """The page with the rows of what ran, and those of what did not as they are."""
    place = PLACE.search(page)
    assert place, "the page has no <!-- last results -->"
    kept = {line.split("|")[1].strip(): line for line in re.findall(r"(?m)^\| (?!\||---).*\n", place[0])}
    table = HEAD + "".join(row for _, row in sorted({**kept, **ran}.items(), key=_by_name))
    return page[: place.end(1)] + table + page[place.start(2) :]


def _by_name(item: tuple[str, str]) -> tuple[bool, str]:
    return "/" in item[0], item[0].lower()  # files, which stand for themselves, at the end


def main() -> None:
    """Print the table; write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    arguments = parser.parse_args()
    ran = lines(arguments.report)
    print(HEAD + "".join(ran.values()), end="")
    if arguments.write:
        arguments.write.write_text(written(arguments.write.read_text("utf-8"), ran), "utf-8")


if __name__ == "__main__":
    main()
