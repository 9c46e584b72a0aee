"""Choose the adapter of a training script: one of this checkout, of an installed package, or a built-in one."""

from __future__ import annotations

from pathlib import Path

from runner.configs.registry import SCRIPTS
from runner.configs.training_script import TrainingScript
from runner.configs.unknown_script import UnknownScript


def recognize(script: Path | None) -> TrainingScript:
    """The adapter for a script; None: an unknown command. Raises UserError for broken Python."""
    if script is None:
        return UnknownScript()
    adapters = (SCRIPTS.get(name)(script) for name in SCRIPTS.by_priority())
    return next(adapter for adapter in adapters if adapter is not None)  # the last one accepts any script
