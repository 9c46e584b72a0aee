"""What a run leaves in its folder beside what the pipeline writes: config.yaml, the resolved configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.core import redact
from runner.disk import atomic

CONFIG = Path("config.yaml")


def save_config(config: Mapping[str, Any]) -> None:
    """Write config.yaml into the current directory, which Hydra sets to the folder of the run. Raises OSError."""
    import yaml

    text = yaml.safe_dump(redact.mapping(config), sort_keys=False, allow_unicode=True)
    atomic.write_bytes(CONFIG, text.encode())
