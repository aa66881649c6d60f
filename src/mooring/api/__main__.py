"""`python -m mooring.api`: the control process."""

from __future__ import annotations

import sys

from mooring.api.process import main

if __name__ == "__main__":
    sys.exit(main())
