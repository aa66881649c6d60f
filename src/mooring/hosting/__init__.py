"""The domain: what an endpoint is, and the documents that the processes exchange.

Pure functions and frozen dataclasses; no I/O, no clock, no HTTP.
"""
