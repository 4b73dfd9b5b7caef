"""The demo shop is a project of its own: its pure modules are imported here, the shop itself runs in a process."""

import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "example"

if str(EXAMPLE) not in sys.path:
    # Last: nothing of the demo may stand before another package.
    sys.path.append(str(EXAMPLE))
