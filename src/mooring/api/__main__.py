"""`python -m mooring.api`: the control process."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    gc.disable()  # importing makes only what stays: looking for garbage meanwhile costs a tenth of the start
    from mooring.api.process import main

    gc.freeze()
    gc.enable()
    sys.exit(main())
