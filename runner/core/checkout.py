"""The checkout that this package lies in, if it lies in one: its folder, and what it adds to the registries."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PLUGINS = "overnight_plugins"


def load_plugins() -> None:
    """Import overnight_plugins.py beside this package, if there is one, and call its `register()`; both once.

    It is found by its path: another folder of the search path may hold a file of that name.
    """
    path = PROJECT / f"{PLUGINS}.py"
    if PLUGINS in sys.modules or not path.is_file():
        return
    spec = importlib.util.spec_from_file_location(PLUGINS, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[PLUGINS] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.register()
