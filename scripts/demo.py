"""`make demo`: start Mooring on a free port with a data directory of its own, and run the quickstart against it.

`--keep` leaves the server and the endpoint running and prints how to reach and to stop them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOORING = Path(sys.executable).with_name("mooring")
START_TIMEOUT_S = 30.0


def main() -> int:
    keep = "--keep" in sys.argv[1:]
    data = Path(tempfile.mkdtemp(prefix="mooring-demo-"))
    began = time.perf_counter()
    log = data / "server.log"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [MOORING, "serve", "--port", "0", "--data-dir", data, "--log-level", "warning"],
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    outcome = 1
    try:
        url = wait_until_ready(server, data, log)
        print(f"Mooring answers at {url}, {time.perf_counter() - began:.2f} s after `mooring serve`\n")
        outcome = subprocess.call(
            [sys.executable, ROOT / "examples" / "quickstart.py", *(["--keep"] if keep else [])],
            env={**os.environ, **client_environment(url)},
        )
        if keep and outcome == 0:
            print(f"\nStill running: {url}\n  export AWS_ENDPOINT_URL={url}")
            print(f"  {MOORING} status --data-dir {data}\n  {MOORING} stop --data-dir {data}")
    finally:
        if outcome != 0 or not keep:
            subprocess.call([MOORING, "stop", "--data-dir", data], stdout=subprocess.DEVNULL)
            if outcome != 0:
                print(f"the demo failed; the server said:\n{log.read_text('utf-8', 'replace')}", file=sys.stderr)
            if server.wait(timeout=30) == 0:
                shutil.rmtree(data, ignore_errors=True)
    return outcome


def wait_until_ready(server: subprocess.Popen[bytes], data: Path, log: Path) -> str:
    """The server's URL, once it says that it is ready."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        for word in log.read_text("utf-8", "replace").split():
            if word.startswith("http://"):
                return word
        time.sleep(0.02)
    raise SystemExit(f"mooring serve did not come up:\n{log.read_text('utf-8', 'replace')}")


def client_environment(url: str) -> dict[str, str]:
    """All that boto3 has to know."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


if __name__ == "__main__":
    sys.exit(main())
