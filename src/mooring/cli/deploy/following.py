"""What an endpoint does once it is created: its steps, how it ended, and what to do with it then."""

from __future__ import annotations

import time

from mooring.cli import events, logs
from mooring.cli.client import Client
from mooring.cli.deploy import equivalents, invoking
from mooring.cli.deploy.planning import Plan
from mooring.cli.progress import Step, Steps
from mooring.errors import NotFound

FOLLOWED_S = 3600.0
"""As long as AWS's own waiter waits."""
LOG_LINES = 20
_STEPS = (
    ("fetching", "fetch"),
    ("environment", "environment"),
    ("loads the model", "load"),
    ("answers /ping", "ping"),
)
"""Words of an event, and what its step is called in short."""


def begun(plan: Plan) -> str:
    """What to tell of an endpoint that nobody waits for."""
    return "\n".join([f"{plan.endpoint} is being created; {_watching(plan)}", "", _shown(plan)])


def follow(plan: Plan, client: Client, steps: Steps) -> int:
    """Show the endpoint's steps until it is in service or has failed, and tell the outcome. The exit code."""
    try:
        with steps.step("service", f"waiting until {plan.endpoint} is in service") as waited:
            status, reason = _settled(plan, client, steps, waited)
            if status == "InService":
                waited.tell(f"{plan.endpoint} is InService")
            elif status == "Failed":
                waited.fail(f"{plan.endpoint} is Failed: {reason}")
            else:
                waited.fail(f"{plan.endpoint} {_unsettled(plan, client, status)}")
    except (KeyboardInterrupt, SystemExit):
        steps.note("endpoint", f"{plan.endpoint} goes on without being watched; {_watching(plan)}")
        raise
    if status == "InService":
        print(f"{plan.endpoint} is InService, {waited.took_s():.1f} s after it was created\n\n{_shown(plan)}")
        return 0
    if status == "Failed":
        _explain(plan, client, steps)
    return 1


def _settled(plan: Plan, client: Client, steps: Steps, waited: Step) -> tuple[str, str]:
    """The last status that was seen, and the reason in it; InService or Failed unless it took too long."""
    status, reason = "", ""
    lone = f"{plan.models[0].wanted.variant}: " if len(plan.models) == 1 else ""
    for event in events.watched(client, plan.endpoint, plan.region, time.monotonic() + FOLLOWED_S):
        kind, text = str(event.get("kind")), str(event.get("text"))
        if kind == "status":
            status, _, reason = text.partition(": ")
            if status in ("InService", "Failed"):
                break
        elif kind == "step":
            text = text.removeprefix(lone)  # an endpoint with one variant need not name it in every line
            steps.line("event", _named(text), text, waited.took_s())
        elif kind == "replica":
            steps.failed(kind, text.removeprefix(lone))
        else:
            steps.note(kind, text)
    return status, reason


def _named(step: str) -> str:
    return next((name for words, name in _STEPS if words in step), "step")


def _unsettled(plan: Plan, client: Client, status: str) -> str:
    try:
        events.recorded(client, plan.endpoint, plan.region)
    except NotFound:
        return "was deleted meanwhile"
    return f"is still {status} after {FOLLOWED_S / 3600:g} h; {_watching(plan)}"


def _explain(plan: Plan, client: Client, steps: Steps) -> None:
    """What the replicas said last, and what to do next."""
    lines = logs.tail(client, plan.endpoint, plan.region, LOG_LINES)
    if lines:
        steps.note("log", f"`mooring logs {plan.endpoint}` ends so:")
    for line in lines:
        steps.quote(line)
    steps.note("next", f"mend it and run the same with --replace, or `mooring endpoints delete {plan.endpoint}`")


def _watching(plan: Plan) -> str:
    return f"watch it with `mooring endpoints events {plan.endpoint} --follow`"


def _shown(plan: Plan) -> str:
    return f"{invoking.examples(plan)}\n\n{equivalents.script(plan)}"
