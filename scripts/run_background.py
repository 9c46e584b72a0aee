#!/usr/bin/env python3
"""Sweeps in the background: python3 scripts/run_background.py --experiment SPEC | --list | --stop RUN"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from runner.cli import interpreter

if __name__ == "__main__":
    interpreter.use_own()
    from runner.cli.background_runs import main

    sys.exit(main())
