"""Change the code a little, again and again: does a test notice? The program is in bench/mutation/."""

from __future__ import annotations

import sys

from mutation.program import main

if __name__ == "__main__":
    sys.exit(main())
