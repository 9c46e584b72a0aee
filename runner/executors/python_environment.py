"""A Python interpreter: its version, and those of the packages that are installed for it. Imports none of them."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from runner.executors.git_state import ask

PACKAGES = (
    "torch", "numpy", "pydantic", "pyyaml", "rich", "psutil", "wandb", "tiktoken", "transformers", "tokenizers",
    "datasets", "accelerate", "lightning", "pytorch-lightning", "deepspeed", "peft", "trl", "timm", "tensorflow",
    "keras", "jax", "flax", "scikit-learn", "hydra-core",
)  # fmt: skip
PATIENCE = 10.0  # seconds for an interpreter: its packages may be on a slow disk
#: Runs on every Python from 2.7. The current folder is not searched: a json.py there would be imported.
_QUESTION = """\
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json, platform
found = None
try:
    from importlib import metadata
    found = {}
    for name in sys.argv[1:]:
        try:
            found[name] = metadata.version(name)
        except Exception:
            found[name] = None
except ImportError:
    pass
print("")
print(json.dumps({"python": platform.python_version(), "packages": found}))
"""


def described(python: Path | None, environ: Mapping[str, str]) -> dict[str, Any]:
    """The entries on the interpreter of a job: all None if it is not a Python, or does not answer in time."""
    nothing = {"python": None, "python_executable": None, "packages": None}
    if python is None:
        return nothing
    path = os.path.abspath(python)  # noqa: PTH100 - a link to it is another environment
    if is_own(Path(path)):
        return own()
    return {**nothing, "python_executable": path, **_answer(path, environ)}


def own() -> dict[str, Any]:
    """The entries on the interpreter of this process."""
    return {
        "python": platform.python_version(),
        "python_executable": sys.executable,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def is_own(python: Path) -> bool:
    """Whether it is ours: the same file in the same environment."""
    ours = Path(sys.executable)
    return python.resolve() == ours.resolve() and python.parent.resolve() == ours.parent.resolve()


def _answer(python: str, environ: Mapping[str, str]) -> dict[str, Any]:
    text = ask([python, "-c", _QUESTION, *PACKAGES], dict(environ), PATIENCE)
    try:
        answer = json.loads((text or "").rpartition("\n")[2])
        return {"python": str(answer["python"]), "packages": answer["packages"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
