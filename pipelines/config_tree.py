"""What the place of a config in a tree means: config/VECTOR/x.yaml is for the VECTOR data. Reads no file.

Whoever reads a config gets the same settings: a tree of configs, a single job, a sweep, and the calls from Python.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from runner.configs.overrides import InvalidValue, parse

ROOTS = ("config", "configs")  # folders whose subdirectories have a meaning
PIPELINE = "robustness"
DATASET_NAMES = ("IMAGE", "TABULAR", "VECTOR")  # these subdirectories mean their data, wherever they are
MODELS = {"IMAGE": "CNN"}
OTHER_MODEL = "MLP"


def subdirectory(path: Path) -> str | None:
    """The subdirectory of a tree that the config is in: of the nearest folder `config`, else one called like a dataset.

    `config/VECTOR/deep/x.yaml` -> `VECTOR`
    """
    folders = path.absolute().parent.parts
    for number in range(len(folders) - 2, -1, -1):
        if folders[number] in ROOTS:
            return folders[number + 1]
    return next((name for name in reversed(folders) if name in DATASET_NAMES), None)


def pipeline(subdir: str | None) -> str | None:
    """The pipeline of configs there that do not name one; None where any may be meant."""
    return PIPELINE if subdir in DATASET_NAMES else None


def defaults(subdir: str | None, settings: type[BaseModel], given: Collection[str]) -> dict[str, str]:
    """The settings that the subdirectory means, of those that these settings have and that are not given."""
    if subdir is None:
        return {}
    meant = {"dataset_name": subdir, "model_name": MODELS.get(subdir, OTHER_MODEL)}
    fields = settings.model_fields
    return {key: text for key, text in meant.items() if key not in given and _accepts(fields.get(key), text)}


def _accepts(field: Any, text: str) -> bool:
    if field is None:
        return False
    try:
        parse(text, field.annotation)
    except InvalidValue:
        return False
    return True
