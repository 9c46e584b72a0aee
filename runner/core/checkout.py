"""The checkout that this package belongs to, where it was not installed elsewhere."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PLUGINS = "overnight_plugins"  # a module beside the package, with a function `register`


@cache
def load_plugins() -> None:
    """Let the checkout add its entries to the registries, once; an installed runner does not have such a module."""
    path = PROJECT / f"{PLUGINS}.py"
    if not path.is_file():
        return
    if str(PROJECT) not in sys.path:  # what is registered is imported by name later
        sys.path.insert(0, str(PROJECT))
    spec = importlib.util.spec_from_file_location(PLUGINS, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.register()
