"""Who turns the loop: the main thread while it has nothing else to do, a standby while user code has it.

To hand each call from a thread that speaks HTTP to the main one and back costs more than everything else that is done
for a small call: two wake-ups, and two turns at the interpreter's lock. So the main thread reads the calls and writes
the answers itself. It lets go of the lead while user code runs, and the standby takes it when nobody has turned the
loop for `LOOK_S`: during a long call `/ping` is answered and calls are read; a short call is over before.

The lock is the state: whoever holds it turns the loop, and the main thread holds it whenever it is not in user code.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from mooring_model_server.loop import Loop
from mooring_model_server.output import Output

LOOK_S = 0.005
"""How long the loop may stand still during a call: about the longest that `/ping` waits."""
JOIN_S = 5.0


class Lead:
    """A context in which the main thread leads, but for what it does between `let_go` and `take`."""

    def __init__(self, loop: Loop, output: Output) -> None:
        self._loop = loop
        self._output = output
        self._lock = threading.Lock()
        self._wanted = False
        self._over = False
        self._awake = threading.Event()
        self._thread = threading.Thread(target=self._stand_by, name="standby", daemon=True)

    def __enter__(self) -> None:
        self.take()
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._loop.tell()
        self._awake.set()
        self._thread.join(JOIN_S)

    def take(self) -> None:
        """Lead; the standby, where it leads, is called out of its turn."""
        if not self._lock.acquire(blocking=False):
            self._wanted = True
            self._loop.tell()
            self._lock.acquire()
            self._wanted = False

    def let_go(self) -> None:
        """Lead no longer: user code comes."""
        self._lock.release()
        if not self._awake.is_set():
            self._awake.set()

    def _stand_by(self) -> None:
        """The standby's life; its death would leave a replica that may not answer, so it takes the process along."""
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # a script's mask is inherited
            while not self._over:
                turns = self._loop.turns
                time.sleep(LOOK_S)
                if self._loop.turns == turns and not self._stand_in():
                    self._sleep()
        except BaseException as error:  # noqa: BLE001
            self._output.trace(error)
            os._exit(1)

    def _stand_in(self) -> bool:
        """Lead for as long as the main thread does not; False when it does."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            while not (self._wanted or self._over):
                self._loop.turn()
        finally:
            self._lock.release()
        return True

    def _sleep(self) -> None:
        """Wait for a call: the main thread waits for one too, and an idle replica is to cost nothing."""
        self._awake.clear()
        if not self._stand_in() and not self._over:  # else a call began before `let_go` could see that this sleeps
            self._awake.wait()
