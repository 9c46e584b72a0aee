#!/usr/bin/env python3
"""The main entry point under another name: python3 scripts/run_experiment.py --exp SPEC [--resume] [--limit N]"""

import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parent.parent
    sys.path.insert(0, str(ROOT))
    runpy.run_path(str(ROOT / "run_experiments.py"), run_name="__main__")
