"""`python -m mooring.api.unserved_keys`: one request for access keys, from standard input, while no server runs.

Whoever starts it holds the data directory's lock. The answer is one JSON object on standard output: `answered`, or
`error` and `message`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from mooring.api.administration import wanted_key
from mooring.clock import SystemClock
from mooring.control.access_keys import KeyKeeper
from mooring.errors import MooringError, NotFound
from mooring.keys.master import open_master_key
from mooring.paths import Paths
from mooring.settings import Settings, data_directory, load
from mooring.store import Store


def main() -> None:
    """Answer one request."""
    request = json.loads(sys.stdin.read())
    try:
        answer: dict[str, Any] = {"answered": asyncio.run(answered(load(), request))}
    except MooringError as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    json.dump(answer, sys.stdout)


async def answered(settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    """What the admin API would say. Raises `MooringError`."""
    paths = Paths(data_directory(settings))
    store = await Store.open(paths.state_db)
    try:
        master = open_master_key(paths.master_key, settings.access)
        keeper = KeyKeeper(store, master, SystemClock())
        match request["method"], request["page"].split("/", 1):
            case "GET", ["keys"]:
                return await keeper.listed()
            case "POST", ["keys"]:
                return await keeper.create(*wanted_key(json.dumps(request["document"]).encode()))
            case "DELETE", ["keys", key]:
                return await keeper.revoke(key)
        raise NotFound("There is no such page in the admin API.")
    finally:
        await store.close()


if __name__ == "__main__":
    main()
