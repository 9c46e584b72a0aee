"""How the runner knows train_run.py: its pipelines' settings say everything about a config. Never imports torch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import configurator
from pipelines import config_tree
from runner.configs import inheritance
from runner.configs.config_file import ConfigFile
from runner.configs.evaluator import Evaluator
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
            depends_on_path=bool(configurator.meant_by_path(type(settings), config, given)),
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
        meant = config_tree.pipeline(subdir)
        if meant is not None and "pipeline" not in {*config.values, *given}:
            given = {"pipeline": meant, **given}
        settings = configurator.class_for(config, given)
        pipeline = str(settings.model_fields["pipeline"].default)
        # Where its subdirectories are not named on the command line, only this pipeline's configs are run.
        if not named and pipeline != config_tree.PIPELINE:
            return LeftOut(pipeline)
        return {**config_tree.defaults(subdir, settings, {*config.values, *given}), **given}
