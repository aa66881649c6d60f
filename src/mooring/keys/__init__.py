"""Encryption at rest: the master key of a data directory, what is derived from it, and what is sealed with it.

The one room that knows the library `cryptography`, which is imported only where something is sealed or opened.
"""
