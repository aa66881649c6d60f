"""Clients of AWS's services elsewhere: AWS's own, or another Mooring's, by a URL that the operator has set.

Signed by botocore with the credentials of the environment that started Mooring, as everywhere else on the machine.
Blocking, so for threads; a client keeps its connections and may be used by several threads.
"""

from __future__ import annotations

from typing import Any

CONNECT_S = 5


def client_of(service: str, region: str, url: str, *, read_s: int, attempts: int, connections: int = 10) -> Any:
    """A client of one service in one region. Raises botocore's `InvalidRegionError`."""
    from botocore.config import Config  # a fifth of a second, needed where a setting names a service elsewhere
    from botocore.session import Session

    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=read_s,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=connections,
    )
    return Session().create_client(service, region_name=region, endpoint_url=url, config=config)
