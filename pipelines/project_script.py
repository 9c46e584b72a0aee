"""How the runner knows train_run.py: its pipelines' settings say everything about a config. Never imports torch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import configurator
from runner.configs import inheritance
from runner.configs.config_file import ConfigFile
from runner.configs.evaluator import Evaluator
from runner.configs.overrides import InvalidValue, parse
from runner.configs.training_script import (
    RESUME,
    Checked,
    LeftOut,
    Preparation,
    TrainingScript,
    changes,
    normalized,
)
from runner.core.errors import UserError

NEEDED = ("torch", "numpy")

# A tree of configs. Where its subdirectories are not named on the command line, only one pipeline's configs are run;
# three subdirectories say which data their configs are for, and need not name pipeline, data set and model.
TREE_PIPELINE = "robustness"
DATASET_NAMES = ("IMAGE", "TABULAR", "VECTOR")
MODELS = {"IMAGE": "CNN"}
OTHER_MODEL = "MLP"


@dataclass(frozen=True, slots=True)
class ProjectScript(TrainingScript):
    """train_run.py."""

    resolves = True
    needs_device = True

    def read(self, path: Path, evaluator: Evaluator) -> ConfigFile:
        return inheritance.read(path, evaluator)

    def check(self, config: ConfigFile, overrides: Mapping[str, str]) -> Checked:
        given = normalized(overrides)
        settings = configurator.resolve(config, given)
        resolved = settings.model_dump(mode="json")
        texts = {
            key: str(resolved[key]) if isinstance(resolved.get(key), bool) else text
            for key, text in configurator.canonical(type(settings), given).items()
        }
        try:
            before = configurator.resolve(config, {}).model_dump(mode="json")
        except UserError:  # an error in the config, which an override fixes
            before = configurator.resolve_for(type(settings), None, {}).model_dump(mode="json") | config.values
        return Checked(
            resolved,
            texts,
            changes(before, resolved, texts),
            disk_bytes=configurator.checkpoint_bytes(settings),
            resume_args=RESUME if "init_from" in resolved else (),
            relative_paths=True,
        )

    def keys(self, config: ConfigFile) -> Collection[str]:
        return set(configurator.class_for(config, {}).model_fields)

    def unread(self, config: Mapping[str, Any]) -> Collection[str]:
        return configurator.unread(config)

    def unprepared(self, config: Mapping[str, Any]) -> Preparation | None:
        argv = configurator.unprepared(config)
        return Preparation(f"dataset {config['dataset']}", tuple(argv)) if argv else None

    def unmet_requirements(self) -> list[str]:
        missing = next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)
        cause = f"train_run.py needs {missing}, which {sys.executable} does not have"
        return [] if missing is None else [f"{cause}; run make setup"]

    def for_tree(
        self, config: ConfigFile, subdir: str, overrides: Mapping[str, str], *, named: bool
    ) -> Mapping[str, str] | LeftOut:
        given = dict(overrides)
        if subdir in DATASET_NAMES and "pipeline" not in {*config.values, *given}:
            given = {"pipeline": TREE_PIPELINE, **given}
        fields = configurator.class_for(config, given).model_fields
        pipeline = str(fields["pipeline"].default)
        if not named and pipeline != TREE_PIPELINE:
            return LeftOut(pipeline)
        defaults = {"dataset_name": subdir, "model_name": MODELS.get(subdir, OTHER_MODEL)}
        left_open = (defaults.keys() & fields.keys()) - {*config.values, *given}
        fitting = {key: text for key, text in defaults.items() if key in left_open and _accepts(fields[key], text)}
        return {**fitting, **given}


def _accepts(field: Any, text: str) -> bool:
    try:
        parse(text, field.annotation)
    except InvalidValue:
        return False
    return True
