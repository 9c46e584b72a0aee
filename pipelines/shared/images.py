"""Image datasets on disk: train and test images and labels, and meta.json. Never imports torch."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from pipelines.shared.settings_types import dataset_folder
from runner.disk import atomic

PARTS = ("train_images.npy", "train_labels.npy", "test_images.npy", "test_labels.npy")


@dataclass(frozen=True, slots=True)
class Images:
    """A dataset in memory."""

    name: str
    train_images: np.ndarray  # (N, H, W) uint8
    train_labels: np.ndarray  # (N,) uint8, below `classes`
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    maximum: int  # the largest value of a pixel
    sha256: str
    source: dict[str, Any]

    @property
    def inputs(self) -> int:
        return self.train_images[0].size

    def describe(self, train_examples: int) -> dict[str, Any]:
        """The record for evaluation.json; `train_examples` of its images were used for training."""
        return {
            "name": self.name,
            "source": self.source,
            "sha256": self.sha256,
            "classes": self.classes,
            "image": list(self.train_images.shape[1:]),
            "train_examples": train_examples,
            "test_examples": len(self.test_labels),
        }


@dataclass(frozen=True, slots=True)
class Arrays:
    """The content of a dataset, as prepare.py reads it."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    maximum: int
    source: dict[str, Any]


def prepare_once(folder: Path, read: Callable[[], Arrays], *, again: bool = False) -> bool:
    """Prepare `folder` from the arrays that `read` returns; False when it was prepared already."""
    return dataset_preparation.prepare_once(folder, PARTS, lambda: write(folder, read()), again=again)


def write(folder: Path, arrays: Arrays) -> None:
    """Raises ValueError for arrays that do not match."""
    labels = np.concatenate((arrays.train_labels, arrays.test_labels))
    for images, own in ((arrays.train_images, arrays.train_labels), (arrays.test_images, arrays.test_labels)):
        if images.ndim != 3 or len(images) != len(own) or not len(own):
            raise ValueError(f"{images.shape} are not images for {len(own)} labels")
    contents = [npy(getattr(arrays, Path(name).stem)) for name in PARTS]
    height, width = arrays.train_images.shape[1:]
    meta = {
        "schema": 1,
        "kind": "images",
        "classes": int(labels.max()) + 1,
        "height": height,
        "width": width,
        "maximum": arrays.maximum,
        "train_examples": len(arrays.train_labels),
        "test_examples": len(arrays.test_labels),
        "sha256": hashlib.sha256(b"".join(contents)).hexdigest(),
        "source": arrays.source,
    }
    for name, content in zip(PARTS, contents, strict=True):
        atomic.write_bytes(folder / name, content)
    atomic.write_bytes(folder / "meta.json", json.dumps(meta, ensure_ascii=False, indent=1).encode())


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array, dtype=np.uint8))
    return file.getvalue()


def open_images(name: str) -> Images:
    """The dataset data/<name>, prepared now if needed, or the one in the folder `name` when that is a path."""
    folder = dataset_folder(name)
    if not dataset_preparation.is_prepared(folder, PARTS):
        dataset_preparation.run_script(name, folder)
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        arrays = {Path(part).stem: np.load(folder / part) for part in PARTS}
        return Images(name=name, **arrays, **{key: meta[key] for key in ("classes", "maximum", "sha256", "source")})
    except (KeyError, ValueError, EOFError) as error:
        raise InputError(f"{folder} has no readable images ({error!r}); prepare them again") from error
