"""What the calls of an endpoint are, by what it uses; those of a plain one are plain invocations."""

from __future__ import annotations

from mooring.gateway.explained import (
    ExplainedInvocation,
    ExplainedServerlessInvocation,
    ObservedExplainedInvocation,
    ObservedExplainedServerlessInvocation,
)
from mooring.gateway.invocation import Invocation
from mooring.gateway.observed import ObservedInvocation
from mooring.gateway.pipeline import Pipeline
from mooring.gateway.serverless import ObservedServerlessInvocation, ServerlessInvocation

_KINDS: dict[tuple[bool, bool, bool], type[Invocation]] = {
    (False, False, False): Invocation,
    (True, False, False): ObservedInvocation,
    (False, True, False): ServerlessInvocation,
    (True, True, False): ObservedServerlessInvocation,
    (False, False, True): ExplainedInvocation,
    (True, False, True): ObservedExplainedInvocation,
    (False, True, True): ExplainedServerlessInvocation,
    (True, True, True): ObservedExplainedServerlessInvocation,
}


def kind_of(pipeline: Pipeline) -> type[Invocation]:
    """What the calls of an endpoint are."""
    return _KINDS[pipeline.observed, pipeline.serverless, pipeline.explained]
