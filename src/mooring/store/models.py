"""Queries of the table `models`."""

from __future__ import annotations

from mooring.store import schema
from mooring.store.documents import Documents

_documents = Documents("model", schema.models)

insert = _documents.insert
get = _documents.get
require = _documents.require
delete = _documents.delete
page = _documents.page
count = _documents.count
all = _documents.all  # noqa: A001 - read as `models.all`
