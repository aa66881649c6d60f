"""The gateway's end of its solver process: calls go to it, and what it says of them is told to whoever waits.

The process is started by the first call, and stopped when nobody asked for long. When it dies, the calls that it had
fail, and the next call starts another; one that dies again and again is left alone for a while that doubles. It ends
with its gateway, of whatever that ends.

What is held is bounded: so many calls, and so many bytes of theirs; one more is refused. What it does not take in time
waits in the gateway, and `has_room` says so to those who would have more for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mooring.errors import Unavailable
from mooring.explainer.edge.life import FINISH_S, Asker, Life
from mooring.explainer.frames import Explain, Forget, Predicted
from mooring.settings import ExplainerSettings

log = logging.getLogger("mooring.explainer")

PROCESS = "mooring.explainer.process"
MOST_CALLS = 256
"""Calls that are being explained at a time."""
RESTART_S, RESTART_MAX_S = 1.0, 30.0
"""How long a process that died twice without having explained anything is left alone, and at most."""
STUCK_S = 20.0
"""A process that says nothing for this long, while it is its turn and is listened to, is ended."""

BUSY, FAULTY = "busy", "mooring"
"""Kinds of `Unexplained` (the first is the edge's own): trying again later helps, and what went wrong is Mooring's."""
FULL = "Too many calls are being explained at the moment. Try again later."
RESTING = "The process that explains predictions has ended again and again. It is started again in a moment."
STOPPING = "This server is being stopped, and the explanation took longer than it waits."


class Busy(Unavailable):
    """No further call can be explained right now."""


class Solver:
    """One for a gateway. Its owner calls `sweep` a few times a second."""

    def __init__(
        self,
        settings: ExplainerSettings,
        on_room: Callable[[], None],
        module: str = PROCESS,
        *,
        stuck_s: float = STUCK_S,
    ) -> None:
        """`on_room` is called when `has_room` is True again."""
        self._on_room = on_room
        self.starts = 0
        self._settings = settings
        self._module = module
        self._stuck_s = stuck_s
        self._life: Life | None = None
        self._ending: set[Life] = set()
        self._held: dict[int, int] = {}
        self._held_bytes = 0
        self._numbers = 0
        self._unproven = 0  # that died in a row without having explained anything
        self._not_before = 0.0
        self._idle_since = 0.0
        self._closed = False

    @property
    def has_room(self) -> bool:
        """Whether the process takes what it is told."""
        life = self._life
        return life is None or life.has_room

    @property
    def refusal(self) -> str | None:
        """Why no further call would be taken now, however small."""
        if len(self._held) >= MOST_CALLS or self._held_bytes >= self._settings.queue_bytes:
            return FULL
        if self._life is None and self._not_before and asyncio.get_running_loop().time() < self._not_before:
            return RESTING
        return None

    def begin(self, asker: Asker, explain: Explain) -> int:
        """Have a call explained; its number, by which it is known. Raises `Busy`."""
        if (refusal := self.refusal) is not None:
            raise Busy(refusal)
        size = len(explain.request) + len(explain.answer)
        if self._held and (self._held_bytes + size > self._settings.queue_bytes):
            raise Busy(FULL)
        life = self._life or self._start()
        self._idle_since = asyncio.get_running_loop().time()  # a call may come and end between two sweeps
        self._numbers += 1
        number = self._numbers
        self._held[number] = size
        self._held_bytes += size
        life.askers[number] = asker
        life.say(explain._replace(call=number))
        return number

    def say(self, predicted: Predicted) -> None:
        """What a replica answered."""
        if self._life is not None and predicted.call in self._life.askers:
            self._life.say(predicted)

    def forget(self, number: int, its_turn_since: float | None = None) -> None:
        """Nobody waits for a call any more. Since `its_turn_since`, by the loop's clock, it waits for the solver."""
        life = self._life
        if life is None or life.askers.pop(number, None) is None:
            return
        self.let_go(number)
        life.say(Forget(number))
        if its_turn_since is None or not life.is_listened_to:
            return
        now = asyncio.get_running_loop().time()
        if now - max(its_turn_since, life.heard_at) > self._stuck_s:
            log.warning("the process that explains has said nothing for %.0f s, and is ended", now - life.heard_at)
            life.kill()

    def pause(self) -> None:
        """Take nothing from the process for now: there is enough to do."""
        if self._life is not None:
            self._life.pause()

    def resume(self) -> None:
        """The inverse of `pause`."""
        if self._life is not None:
            self._life.resume()

    def sweep(self, now: float) -> None:
        """Stop a process that nobody asks."""
        life = self._life
        if life is None or life.askers:
            self._idle_since = now
        elif 0 < self._settings.solver_idle_s < now - self._idle_since:
            self._life = None
            self._end(life, wanted=True)

    def give_up(self) -> int:
        """The gateway ends, and those who wait are told so; returns how many there were."""
        return 0 if self._life is None else self._life.lose(BUSY, STOPPING)

    async def finish(self, within_s: float = FINISH_S) -> None:
        """At the end of the gateway: let the process end, and see it go. One that does not in time is killed."""
        self._closed = True
        life, self._life = self._life, None
        if life is not None:
            life.lose(BUSY, STOPPING)
            self._end(life, wanted=True)
        for _ in range(2):
            ending = [asyncio.create_task(each.gone.wait(), name="end of a solver") for each in self._ending]
            if not ending:
                return
            _, late = await asyncio.wait(ending, timeout=within_s)
            for waiting in late:
                waiting.cancel()
            for each in tuple(self._ending):
                each.kill()

    # life.Owner

    def let_go(self, number: int) -> None:
        self._held_bytes -= self._held.pop(number, 0)

    def proven(self) -> None:
        self._unproven = 0

    def room(self) -> None:
        self._on_room()

    def over(self, life: Life, reason: str) -> None:
        if self._life is life:
            self._life = None
            self._unproven += 1
            if self._unproven > 1:
                rest = min(RESTART_S * 2.0 ** min(self._unproven - 2, 16), RESTART_MAX_S)
                self._not_before = asyncio.get_running_loop().time() + rest
        life.lose(FAULTY, reason)
        self._end(life, wanted=False)

    # Inside

    def _start(self) -> Life:
        if self._closed:
            raise Busy(STOPPING)
        self.starts += 1
        life = self._life = Life(self, self._module)
        return life

    def _end(self, life: Life, *, wanted: bool) -> None:
        life.is_wanted = not wanted
        if not life.gone.is_set() and life not in self._ending:
            self._ending.add(life)
            life.when_gone = lambda: self._ending.discard(life)
            life.end()
