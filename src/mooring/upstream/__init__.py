"""Calling replicas: one keep-alive pool per replica, callbacks instead of futures.

`replica` holds the pool, its count of outstanding calls (which is the load that routing compares) and its health as
seen from here; `connection` is one connection to it; `call` is what a caller implements.
"""
