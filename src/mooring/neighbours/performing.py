"""One call after the other, kept before it is answered: moto, the journal, and the answers to calls that are repeated.

A call that is kept is made, written to disk, and only then told to anybody, all of it under moto's monitor: nobody sees
what might not last. When the journal cannot be written, what moto knows is ahead of it, and the process has to end: the
next one has what the journal has.
"""

from __future__ import annotations

import collections
import logging
import re
import secrets
import time
from dataclasses import dataclass
from urllib.parse import parse_qs

from mooring.errors import DataDirectoryError, Unavailable
from mooring.neighbours.calls import Call
from mooring.neighbours.emulation import Answer, Emulation
from mooring.neighbours.journal import Journal
from mooring.neighbours.keeping import is_kept
from mooring.wire.errors import WireError

log = logging.getLogger("mooring.neighbours")

ANSWERS_KEPT = 1000
ANSWERS_KEPT_S = 3600.0
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,576}")


@dataclass(frozen=True, slots=True)
class _Answered:
    call: Call
    answer: Answer
    at: float


class Performer:
    """Makes calls. Any thread may call `perform`."""

    def __init__(self, emulation: Emulation, journal: Journal) -> None:
        self._emulation = emulation
        self._journal = journal
        self._answers: collections.OrderedDict[str, _Answered] = collections.OrderedDict()
        self.broken = False
        """Set when the journal could not be written: the process must end."""

    def replay(self) -> int:
        """Make every kept call again, and return how many there were. Raises `DataDirectoryError`."""
        count = 0
        for record in self._journal.records():
            try:
                call, at, seed = Call.from_document(record["call"]), float(record["at"]), int(record["seed"])
                invocation = str(record["invocation"])
            except (KeyError, TypeError, ValueError):
                message = f"record {count + 1} of the neighbours' journal was written by a newer Mooring"
                raise DataDirectoryError(message) from None
            with self._emulation.monitor:
                self._again(call, at, seed, invocation)
            count += 1
        return count

    def perform(self, call: Call, invocation: str) -> Answer:
        """The answer. Raises `Unimplemented`, `WireError` or `Unavailable`."""
        _refuse_what_moto_takes(call)
        with self._emulation.monitor:
            if self.broken:
                raise Unavailable("The journal of IAM, SNS, SQS, Logs and CloudWatch cannot be written.")
            if not is_kept(call.service, call.operation):
                return self._emulation.call(call)
            if (first := self._first(call, invocation)) is not None:
                return first
            at, seed = time.time(), secrets.randbits(64)
            answer = self._emulation.call(call, at, seed)
            if answer.status < 400:
                self._keep(call, at, seed, invocation)
                self._remember(invocation, _Answered(call, answer, at))
            return answer

    def _keep(self, call: Call, at: float, seed: int, invocation: str) -> None:
        record = {"at": at, "seed": seed, "invocation": invocation, "call": call.to_document()}
        try:
            self._journal.append(record)
        except OSError as error:
            self.broken = True
            log.error("cannot write the journal: %s; ending, to begin again with what is in it", error)
            raise Unavailable(f"The call could not be kept: {error.strerror}.") from None

    def _again(self, call: Call, at: float, seed: int, invocation: str) -> None:
        try:
            answer = self._emulation.call(call, at, seed)
        except Exception as error:  # noqa: BLE001 - one resource that a newer moto does not make must not cost the rest
            log.warning("%s of %s worked once and does no longer: %r", call.operation, call.service, error)
            return
        if answer.status >= 400:
            log.warning("%s of %s worked once and does no longer: %r", call.operation, call.service, answer.body[:300])
            return
        self._remember(invocation, _Answered(call, answer, at))

    def _first(self, call: Call, invocation: str) -> Answer | None:
        """The answer to a call that a client repeats, because it did not get it."""
        found = self._answers.get(invocation)
        fresh = found is not None and found.call == call and time.time() - found.at <= ANSWERS_KEPT_S
        return found.answer if found is not None and fresh else None

    def _remember(self, invocation: str, answered: _Answered) -> None:
        if invocation:
            self._answers[invocation] = answered
            while len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)


def _refuse_what_moto_takes(call: Call) -> None:
    """moto assumes whatever it is given; AWS a role's ARN."""
    if call.service == "sts" and call.operation == "AssumeRole":
        arn = parse_qs(call.body).get("RoleArn", [""])[0]
        if not _ROLE_ARN.fullmatch(arn):
            raise WireError("ValidationError", f"{arn} is invalid", status=400)
