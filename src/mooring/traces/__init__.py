"""Traces: the caller's context for the replica, and spans of invocations for a collector.

The context is passed on always, once its form is right (`context`). Spans are there by setting: a gateway decides which
calls are sampled and gives them ids (`tracing`), and a child process makes spans of them with OpenTelemetry's own
library and sends them (`exporter`), since that takes longer than the call.
"""
