from __future__ import annotations

from tests.acceptance.conftest import make_server, own, server

__all__ = ["make_server", "own", "server"]
