"""Runs the supervisor with the table of fake children that a test wrote down as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mooring.errors import MooringError
from mooring.settings import RESOLVED, Settings, load
from mooring.supervisor import run
from mooring.supervisor.children import ChildSpec
from mooring.supervisor.listening import Listeners

plan = json.loads(Path(sys.argv[1]).read_text())


def table(settings: Settings, listeners: Listeners) -> list[ChildSpec]:
    return [
        ChildSpec(
            child["name"],
            (sys.executable, str(Path(__file__).with_name("fake_child.py")), *fake(child)),
            child.get("order", 0),
            child.get("stop_timeout_s", 10.0),
            descriptors=(("--listen-fd", listeners.gateways[child["listen"]].fileno()),) if "listen" in child else (),
            environment={RESOLVED: settings.to_json()},
            awaited=child.get("awaited", True),
            holds=child.get("holds", ""),
        )
        for child in plan["children"]
    ]


def fake(child: dict[str, object]) -> list[str]:
    return ["--name", str(child["name"]), "--notes", plan["notes"], *child.get("flags", [])]


try:
    sys.exit(run(load({}, **plan["settings"]), table))
except MooringError as error:
    sys.exit(f"mooring: {error}")
