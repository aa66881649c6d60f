"""What models and endpoint configs have in common: an immutable document under a name of a scope."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, Table, insert, select
from sqlalchemy import delete as delete_from
from sqlalchemy.exc import IntegrityError

from mooring.errors import AlreadyExists, NotFound
from mooring.hosting.listing import Cursor, Listed, Selection
from mooring.hosting.naming import Kind, Scope, already_exists, not_found
from mooring.hosting.resources import Resource
from mooring.store import tags
from mooring.store.names import ByName
from mooring.store.paging import count, page


class Documents:
    """The queries of one such table."""

    def __init__(self, kind: Kind, table: Table) -> None:
        self._kind = kind
        self._table = table
        self._named = ByName(table)
        self._insert = insert(table)

    def insert(self, conn: Connection, resource: Resource) -> None:
        """Raises `AlreadyExists` when the name is taken, in any case."""
        scope = resource.scope
        values = {
            "account": scope.account,
            "region": scope.region,
            "name": resource.name,
            "created_at": resource.created_at,
            "document": json.dumps(resource.document, separators=(",", ":")),
        }
        try:
            conn.execute(self._insert, values)
        except IntegrityError:
            raise AlreadyExists(already_exists(self._kind, resource.arn)) from None

    def get(self, conn: Connection, scope: Scope, name: str) -> Resource | None:
        """The one of exactly this name, or None."""
        row = self._named.one(conn, scope, name)
        return None if row is None else self._resource(row)

    def require(self, conn: Connection, scope: Scope, name: str) -> Resource:
        """The one of exactly this name. Raises `NotFound` in AWS's words."""
        found = self.get(conn, scope, name)
        if found is None:
            raise NotFound(not_found(self._kind, scope.arn(self._kind, name)))
        return found

    def delete(self, conn: Connection, scope: Scope, name: str) -> None:
        """Delete it and its tags. Raises `NotFound`."""
        arn = scope.arn(self._kind, name)
        row = self._named.one(conn, scope, name)
        if row is None:
            raise NotFound(not_found(self._kind, arn))
        conn.execute(delete_from(self._table).where(self._table.c.id == row.id))
        tags.delete_all(conn, arn)

    def page(self, conn: Connection, scope: Scope, wanted: Selection) -> tuple[list[Listed], Cursor | None]:
        """One page, and where the next begins when there is one."""
        return page(conn, self._table, self._kind, scope, wanted)

    def count(self, conn: Connection, scope: Scope) -> int:
        """How many this scope has."""
        return count(conn, self._table, scope)

    def all(self, conn: Connection) -> list[Resource]:
        """Every one of every scope, oldest first."""
        return [self._resource(row) for row in conn.execute(select(self._table).order_by(self._table.c.id))]

    def _resource(self, row: Row[Any]) -> Resource:
        scope = Scope(row.account, row.region)
        return Resource(self._kind, scope, row.name, json.loads(row.document), row.created_at)
