"""`python -m mooring.cli`, where the `mooring` script is not on the path."""

from __future__ import annotations

import sys

from mooring.cli import main

sys.exit(main())
