#!/usr/bin/env python3
"""The main entry point: python run_experiments.py --configs "config/*.py" --device cuda"""

import sys

if __name__ == "__main__":
    try:
        import signal
        from pathlib import Path

        sys.path.insert(0, str(Path(__file__).resolve().parent))  # Python leaves it out with PYTHONSAFEPATH
        from runner.cli import interpreter

        interpreter.use_own()
        from runner.cli.main import main
    except KeyboardInterrupt:  # before anything was started
        sys.exit(130)  # 128 and the number of SIGINT
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is recorded: another Ctrl+C must not change the exit code
    sys.exit(code)
