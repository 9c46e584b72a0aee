#!/usr/bin/env python3
"""Run the configs of all subdirectories of config/: python runners/run_all.py --max-workers 1"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from runners import runner_lib

if __name__ == "__main__":
    sys.exit(runner_lib.run_all(__file__))
