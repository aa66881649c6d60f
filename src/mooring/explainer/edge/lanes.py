"""Synthetic calls on the replicas of the callers' own variants, so that ordinary calls keep their latency.

A lane is one version of a model behind one variant; it outlives the versions of its route, and replicas come and go
meanwhile. Each replica gets `calls_per_replica` synthetic calls of a gateway at a time and no more, explained calls
take turns, and a replica that has ordinary calls comes after one that has none. A replica that refuses the connection
has seen nothing: its call goes to another. What answers have to wait for, and how much waits, is bounded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter

from mooring.explainer.frames import Predict, Predicted
from mooring.hosting.explaining import ExplainerRoute
from mooring.hosting.routes import Route, RouteVariant
from mooring.upstream.call import Call, Failure
from mooring.upstream.observing import ReplyHeaders
from mooring.upstream.replica import Replica

ATTEMPTS = 4
"""Connections that are tried for one synthetic call; the replicas that refused are passed over for a while."""
MOST_ANSWER_BYTES = 16 * 1024 * 1024
"""Of one answer to a synthetic call."""
WAITING_BYTES = 64 * 1024 * 1024
"""Of bodies that wait to be predicted; above that the solver is not listened to."""
NOBODY = "The variant has no healthy instance of this model any more."
TOO_LONG = f"Its answer is longer than {MOST_ANSWER_BYTES} bytes."

_CONTENT_LENGTH = b"\r\nContent-Length: "
_SESSION = b"\r\nX-Amzn-SageMaker-Session-Id: "

Heard = Callable[[Predicted], None]


class SyntheticCall(Call):
    """One request of the solver's, on one replica after the other until one takes it."""

    __slots__ = ("_kept", "_reply", "_requests", "_size", "attempts", "on", "predict", "sent")

    def __init__(self, requests: Requests, predict: Predict) -> None:
        super().__init__(requests.timeout_s)
        self.head = requests.head_of(len(predict.body))
        self.body = predict.body
        self.predict = predict
        self.attempts = 0
        self.on: Replica | None = None
        self.sent = 0.0
        self._requests = requests
        self._kept: list[bytes] = []
        self._size = 0
        self._reply: tuple[int, ReplyHeaders] = (0, [])

    def replied(self, status: int, headers: ReplyHeaders, body: bytes) -> None:
        if len(body) > MOST_ANSWER_BYTES:
            self._too_long(status, headers)
        else:
            self._requests.landed(self, status, headers, body)

    def reply_began(self, status: int, headers: ReplyHeaders, length: int | None) -> None:
        self._reply = status, headers

    def reply_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MOST_ANSWER_BYTES:
            self._kept.append(data)
            return
        self.cancel()
        self._kept = []
        self._too_long(*self._reply)

    def reply_ended(self) -> None:
        if self._size <= MOST_ANSWER_BYTES:  # else it was given up at its last piece
            self._requests.landed(self, *self._reply, b"".join(self._kept))

    def failed(self, failure: Failure) -> None:
        if failure is Failure.UNREACHABLE:
            self._requests.refused(self)
        else:
            self._requests.landed(self, 0, [], _told(failure))

    def _too_long(self, status: int, headers: ReplyHeaders) -> None:
        if 200 <= status < 300:
            self._requests.landed(self, 0, [], TOO_LONG.encode())
        else:
            self._requests.landed(self, status, headers, b"")


class Requests:
    """The synthetic calls of one explained call. `close` ends what is under way."""

    def __init__(
        self,
        lane: Lane,
        head: bytes,
        timeout_s: float,
        held: Replica,
        heard: Heard,
        *,
        only: bool = False,
    ) -> None:
        """`head` is the caller's own, of any length. `held` answered the caller, and is called when no other replica
        has this model any more; with `only`, no other is ever called.
        """
        self.timeout_s = timeout_s
        self.waiting: deque[SyntheticCall] = deque()
        self.under_way: set[SyntheticCall] = set()
        self.held = held
        self.only = only
        self.records = self.requests = 0
        """What the model has answered so far."""
        self._lane = lane
        self._before, self._after = _parted(head)
        self._heard = heard

    @property
    def is_idle(self) -> bool:
        """Whether the solver has all that it asked for."""
        return not self.waiting and not self.under_way

    @property
    def width(self) -> int:
        """How many of its calls may be under way at a time, if there were no others."""
        lane = self._lane
        return lane.explainer.calls_per_replica * (1 if self.only else max(1, len(lane.replicas)))

    def ask(self, predict: Predict) -> None:
        """Have a body predicted, when it is its turn."""
        self._lane.lanes.took(len(predict.body))
        self.waiting.append(SyntheticCall(self, predict))
        self._lane.turn(self)

    def close(self) -> None:
        """Nobody wants what is still asked: the replicas are told by their connections."""
        waiting, under_way = list(self.waiting), list(self.under_way)
        self.waiting.clear()
        self.under_way.clear()
        for call in waiting:
            self._let_go(call)
        for call in under_way:
            call.cancel()
            self._let_go(call)
            self._lane.left(call)
        self._lane.leave(self)

    def head_of(self, length: int) -> bytes:
        """The head of a synthetic call."""
        return b"%b%d%b" % (self._before, length, self._after)

    # For its calls

    def landed(self, call: SyntheticCall, status: int, headers: ReplyHeaders, body: bytes) -> None:
        """The last of a call: an answer, or status 0 and why there is none."""
        took = perf_counter() - call.sent if call.sent else 0.0
        self.under_way.discard(call)
        self._let_go(call)
        self._lane.left(call)
        if 200 <= status < 300:
            self.records += call.predict.records
            self.requests += 1
        content_type = next((value for name, value in headers if name == b"content-type"), b"").decode("latin-1")
        self._heard(Predicted(call.predict.call, call.predict.number, status, content_type, body, took))
        self._lane.pump()

    def refused(self, call: SyntheticCall) -> None:
        """A replica did not accept the connection, and has seen nothing."""
        self._lane.left(call)
        self.under_way.discard(call)
        call.attempts += 1
        if call.attempts >= ATTEMPTS:
            self.landed(call, 0, [], NOBODY.encode())
            return
        self.waiting.appendleft(call)
        self._lane.turn(self)

    def _let_go(self, call: SyntheticCall) -> None:
        self._lane.lanes.gave(len(call.body))
        call.body = b""


class Lane:
    """One version of a model behind one variant of an endpoint."""

    def __init__(self, lanes: Lanes, explainer: ExplainerRoute) -> None:
        self.lanes = lanes
        self.explainer = explainer
        self.explainer_text = explainer.to_text()
        self.replicas: Sequence[Replica] = ()
        self._turns: deque[Requests] = deque()
        self._on: dict[Replica, int] = {}

    def follow(self, explainer: ExplainerRoute, replicas: Sequence[Replica]) -> None:
        """It has these replicas now."""
        if explainer != self.explainer:
            self.explainer, self.explainer_text = explainer, explainer.to_text()
        self.replicas = replicas
        self.pump()

    def turn(self, requests: Requests) -> None:
        """Calls of `requests` wait."""
        if requests not in self._turns:
            self._turns.append(requests)
        self.pump()

    def leave(self, requests: Requests) -> None:
        """None of its calls wait any more."""
        if requests in self._turns:
            self._turns.remove(requests)
            self.lanes.waiting.discard(self)
        self.pump()

    def left(self, call: SyntheticCall) -> None:
        """A call is with its replica no longer."""
        replica, call.on = call.on, None
        if replica is not None:
            left = self._on[replica] - 1
            if left:
                self._on[replica] = left
            else:
                del self._on[replica]

    def pump(self) -> None:
        """Send what can be sent, one of each explained call after the other."""
        turns, passed = self._turns, 0
        if not turns:
            return
        self.lanes.waiting.add(self)
        while passed < len(turns) and self.lanes.may_send():
            requests = turns[0]
            replica = self._free(requests)
            turns.rotate(-1)
            if replica is None:
                passed += 1
                continue
            passed = 0
            call = requests.waiting.popleft()
            if not requests.waiting:
                turns.pop()
            self._send(call, requests, replica)
        if not turns:
            self.lanes.waiting.discard(self)

    def _send(self, call: SyntheticCall, requests: Requests, replica: Replica) -> None:
        requests.under_way.add(call)
        self._on[replica] = self._on.get(replica, 0) + 1
        call.on = replica
        call.sent = perf_counter()
        replica.begin(call)

    def _free(self, requests: Requests) -> Replica | None:
        """Where the next call of `requests` goes; None where that would be one too many."""
        most, on, best, best_has = self.explainer.calls_per_replica, self._on, None, (True, 0)
        for replica in (requests.held,) if requests.only or not self.replicas else self.replicas:
            synthetic = on.get(replica, 0)
            if replica.ejected or synthetic >= most:
                continue
            has = replica.outstanding > synthetic, replica.outstanding
            if best is None or has < best_has:
                best, best_has = replica, has
        return best


class Lanes:
    """Of all explained variants of one gateway. Its owner calls `sweep` a few times a second."""

    def __init__(self, may_send: Callable[[], bool], pause: Callable[[], None], resume: Callable[[], None]) -> None:
        """`may_send` is False while what is predicted could not be passed on. `pause` and `resume` are told when there
        is enough to do, and when there is room again.
        """
        self.may_send = may_send
        self.waiting: set[Lane] = set()
        """Lanes some of whose calls may wait."""
        self._pause = pause
        self._resume = resume
        self._of_route: dict[str, dict[tuple[str, str], Lane]] = {}
        self._bytes = 0
        self._paused = False

    def lane(self, route: Route, variant: RouteVariant, replicas: Sequence[Replica]) -> Lane | None:
        """The lane of a variant of this version of a route, which has these replicas; None where nothing is explained.

        It is asked for every variant, with every version.
        """
        self._leave_others(route)
        explainer = variant.explainer
        if explainer is None:
            return None
        lanes, key = self._of_route.setdefault(route.key, {}), (variant.name, explainer.model)
        lane = lanes.get(key)
        if lane is None:
            lane = lanes[key] = Lane(self, explainer)
        lane.follow(explainer, replicas)
        return lane

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        for lane in self._of_route.pop(route_key, {}).values():
            lane.follow(lane.explainer, ())

    def sweep(self, now: float) -> None:
        """Send what waited for a replica that was passed over, or for `may_send`."""
        for lane in tuple(self.waiting):
            lane.pump()

    def took(self, size: int) -> None:
        """A body waits, or is under way."""
        self._bytes += size
        if self._bytes > WAITING_BYTES and not self._paused:
            self._paused = True
            self._pause()

    def gave(self, size: int) -> None:
        """It is so no longer."""
        self._bytes -= size
        if self._paused and self._bytes <= WAITING_BYTES // 2:
            self._paused = False
            self._resume()

    def _leave_others(self, route: Route) -> None:
        """Models that only older versions of a route have."""
        lanes = self._of_route.get(route.key)
        if not lanes:
            return
        named = {(each.name, each.explainer.model) for each in route.variants if each.explainer is not None}
        for key in [key for key in lanes if key not in named]:
            lane = lanes.pop(key)
            lane.follow(lane.explainer, ())
        if not lanes:
            del self._of_route[route.key]


def _told(failure: Failure) -> bytes:
    return f"The container did not answer: {failure.value}.".encode()


def _parted(head: bytes) -> tuple[bytes, bytes]:
    """What is before and behind the length in a request's head, without its session, which only the caller is in."""
    before, found, after = head.rpartition(_CONTENT_LENGTH)
    assert found
    at = before.find(_SESSION)
    if at >= 0:
        ends = before.find(b"\r\n", at + len(_SESSION))
        before = before[:at] + (before[ends:] if ends >= 0 else b"")
    return before + found, after[after.index(b"\r\n") :]
