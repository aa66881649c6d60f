"""Serverless variants: no replica while nobody calls, one call at a time on each, and never more than MaxConcurrency.

The gateway's edge admits calls and holds those that wait for a replica; the work side, which control runs, decides how
many replicas there are.
"""
