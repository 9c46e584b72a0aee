"""Prepare a dataset whose tokens are characters, for data/*/prepare.py. Never imports torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipelines.diffusion.text import dataset
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.shared import dataset_preparation


def prepare_once(folder: Path, read: Callable[[], tuple[str, dict[str, str]]], *, again: bool = False) -> bool:
    """Prepare `folder` from the text and the notes on its source that `read` returns; False when it was already."""
    return dataset_preparation.prepare_once(folder, dataset.PARTS, lambda: write(folder, *read()), again=again)


def is_prepared(folder: Path) -> bool:
    return dataset.is_prepared(folder)


def write(folder: Path, text: str, source: dict[str, str]) -> None:
    dataset.write(folder, text, Characters.of(text), source)
