#!/usr/bin/env python3
"""Run the configs of config/IMAGE/; by default with dataset_name IMAGE and model_name CNN."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from runners import runner_lib

if __name__ == "__main__":
    sys.exit(runner_lib.run_subdirectory(__file__))
