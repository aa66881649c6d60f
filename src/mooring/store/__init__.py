"""Mooring's state: SQLAlchemy Core on one SQLite file, which control alone opens.

`Store` gives connections to functions; the functions are here, a module a table: `models`, `endpoint_configs`,
`endpoints`, `events`, `tags`, `answers`. Each takes a `Connection` first and does no more than its name says.
"""

from __future__ import annotations

from sqlalchemy import Connection

from mooring.store.store import Store

__all__ = ["Connection", "Store"]
