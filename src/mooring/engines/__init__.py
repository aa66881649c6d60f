"""Engines: how a replica is made to run, and made to stop.

An engine knows containers, files and processes, and nothing of endpoints or variants. The `process` engine here
runs AWS's prebuilt images' contract as plain processes, without a container.
"""
