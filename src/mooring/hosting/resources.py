"""Models and endpoint configs as Mooring keeps them: immutable, so a document and when it was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mooring.hosting.naming import Kind, Scope


@dataclass(frozen=True, slots=True)
class Resource:
    """A model or an endpoint config, which nothing changes once it is made."""

    kind: Kind
    scope: Scope
    name: str
    document: dict[str, Any]
    """The input of its Create call without Tags, in AWS's member names, as Describe gives it back."""
    created_at: float

    @property
    def arn(self) -> str:
        return self.scope.arn(self.kind, self.name)
