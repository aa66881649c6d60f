"""Metrics as plain values: distributions, statistics, expressions, and how alarms follow from them.

Nothing here knows who counts, where numbers are kept or in which protocol they are told; gateways, control and its API
all speak of metrics in these terms.
"""
