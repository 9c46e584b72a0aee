"""Kill the runner at random moments, resume until done, and count the faults. The program is in bench/torture/."""

from __future__ import annotations

import sys

from torture.program import main

if __name__ == "__main__":
    sys.exit(main())
