"""What all gateways counted of shadows, kept for `mooring shadow report`.

A gateway tells what it counted since it started, and its successor begins at nothing: so the last word of each life of
a gateway is kept, and the sum is of all of them. It lies in a file that is written every few seconds, for the next
control. An update begins another comparison; of each endpoint only those that can still be asked for are kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mooring.hosting import comparisons
from mooring.processes.files import write_atomically

log = logging.getLogger("mooring.control")

MOST_LIVES = 64
"""Of gateways; the oldest are added up."""
_PAST = "past"


class ShadowReports:
    """Of all endpoints."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held: dict[str, dict[str, dict[str, Any]]] = {}
        """uid → generation → {"names", "counted": life of a gateway → what it counted}"""
        self._saved = self._state()

    def load(self) -> None:
        """Take over what an earlier control kept."""
        try:
            held = json.loads(self._path.read_bytes())
            for generations in held.values():
                for each in generations.values():
                    comparisons.summed(each["counted"].values())
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("the shadows' counts in %s cannot be read and begin anew: %s", self._path, error)
            return
        self._held = held
        self._saved = self._state()

    def heard(self, gateway: str, reports: Sequence[Mapping[str, Any]]) -> None:
        """What a life of a gateway and its copiers have counted. Raises what a message that is none raises."""
        for report in reports:
            uid, _, generation = report["comparison"].partition("/")
            comparisons.summed([report["counted"]])
            held = self._held.setdefault(uid, {}).setdefault(generation, {"names": {}, "counted": {}})
            held["names"] = report["names"]
            counted, life = held["counted"], f"{gateway} {report['life']}"
            counted[life] = report["counted"]
            if len(counted) > MOST_LIVES:
                oldest = [each for each in counted if each not in (life, _PAST)][: MOST_LIVES // 2]
                past = [counted[_PAST]] if _PAST in counted else []
                counted[_PAST] = comparisons.summed([*past, *(counted.pop(each) for each in oldest)])

    def of(self, uid: str, generation: int) -> dict[str, Any] | None:
        """`{"production", "shadow"}: names` with the sum of what was counted; None where nothing was."""
        held = self._held.get(uid, {}).get(str(generation))
        if held is None:
            return None
        return {"names": held["names"], **comparisons.told(comparisons.summed(held["counted"].values()))}

    def keep_only(self, wanted: Mapping[str, set[int]]) -> None:
        """Forget endpoints that are gone, and generations that are over."""
        self._held = {
            uid: kept
            for uid, generations in self._held.items()
            if (kept := {each: held for each, held in generations.items() if int(each) in wanted.get(uid, ())})
        }

    def save(self) -> None:
        """Write the file, if anything has changed. Raises OSError."""
        state = self._state()
        if state != self._saved:
            write_atomically(self._path, state)
            self._saved = state

    def _state(self) -> bytes:
        return json.dumps(self._held, separators=(",", ":")).encode()
