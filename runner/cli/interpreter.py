"""Choose the Python that runs us: the given one, or the project's own if that one is too old or lacks a package.

Written so that an old Python can read it, as are the modules that are imported before it.
"""

import importlib.util
import os
import sys
from pathlib import Path

from runner.core.printing import say

OWN = Path(__file__).resolve().parents[2] / ".venv"
OLDEST = (3, 11)
NEEDED = ("pydantic", "yaml")  # by the runner itself
ALSO = ("torch", "numpy")  # by the project's trainings; a --command may not need them


def use_own() -> None:
    """Start again with .venv/bin/python, if it exists and the present Python is not sufficient.

    So `python3 run_experiments.py` works after `make setup`, activated or not, and from cron.
    """
    old = sys.version_info < OLDEST
    missing = [] if old else [name for name in (*NEEDED, *ALSO) if importlib.util.find_spec(name) is None]
    if not old and not missing:
        return
    python = str(OWN / "bin" / "python")
    there = os.path.exists(python)  # noqa: PTH110 - Path's would raise for a folder that cannot be searched
    if there and Path(sys.prefix).resolve() != OWN.resolve():
        os.execv(python, [python, *sys.argv])
    if not old and not set(missing) & set(NEEDED):
        return
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    why = f"is Python {version}, and at least 3.11 is needed" if old else f"does not have {missing[0]}"
    say(f"{sys.argv[0]}: {sys.executable} {why}; run make setup", file=sys.stderr)
    sys.exit(2)
