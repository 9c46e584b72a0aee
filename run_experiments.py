#!/usr/bin/env python3
"""The main door: python run_experiments.py --configs "config/*.py" --device cuda"""

import sys

from runner.cli import main

if __name__ == "__main__":
    sys.exit(main())
