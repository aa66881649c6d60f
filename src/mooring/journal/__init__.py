"""Durable segments: files of whole lines that one process appends to, and another takes over when that one is done.

A line is kept from the moment its write(2) has returned, whatever process dies after that. From the next `sync` on it
is kept through a loss of power too.
"""
