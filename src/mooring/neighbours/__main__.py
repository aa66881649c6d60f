"""`python -m mooring.neighbours`: started by control, at the first call to one of them."""

from __future__ import annotations

import sys

from mooring.neighbours.process import main

if __name__ == "__main__":
    sys.exit(main())
