"""The rows for training, validation and testing: images, tables and points, without downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.robustness.random_streams import random_stream
from pipelines.robustness.settings import RobustnessSettings
from pipelines.shared.errors import InputError
from pipelines.shared.images import open_images

HELD_OUT_FRACTION = 0.2  # of the rows for testing, and of the rest for validation
MIN_ROWS = 2  # of a class in each part


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows and their classes, which are renumbered where one is held out."""

    x: np.ndarray  # (N, ...) float32
    y: np.ndarray  # (N,) int64

    def __len__(self) -> int:
        return len(self.y)

    def of(self, chosen: np.ndarray) -> Rows:
        return Rows(self.x[chosen], self.y[chosen])


@dataclass(frozen=True, slots=True)
class Data:
    train: Rows
    val: Rows
    test: Rows
    held_out: np.ndarray  # (N, ...) the test rows of the class that is held out; N is 0 without one
    low: np.ndarray  # (...) the smallest valid value; -inf without a limit
    high: np.ndarray
    names: list[str]  # of the classes for training
    features: list[str]  # their names; none for images
    about: dict[str, Any]  # what was used, for metadata.json

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a row: (1, H, W) or (D,)."""
        return self.train.x.shape[1:]

    @property
    def images(self) -> bool:
        return len(self.shape) == 3


@dataclass(frozen=True, slots=True)
class Raw:
    """A dataset before it is split. `tested` rows are never trained on; None: no test part is given."""

    x: np.ndarray
    y: np.ndarray
    tested: np.ndarray | None  # (N,) bool
    names: Sequence[Any]
    features: Sequence[str]
    source: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Parts:
    train: Rows
    val: Rows
    test: Rows
    held_out: np.ndarray


def load(settings: RobustnessSettings) -> Data:
    """Raises InputError for a dataset that is not available, or a part of it that would be too small."""
    raw = READERS[settings.dataset_name](settings)
    kept = learned(raw, settings.ood.held_out_class)
    names = [str(name) for name, keep in zip(raw.names, kept, strict=True) if keep]
    parts = split(raw, kept, settings)
    require_rows(parts, names, settings)
    if settings.dataset_name == "IMAGE":
        scaling, low, high = "pixels from 0 to 1", np.zeros_like(parts.train.x[0]), np.ones_like(parts.train.x[0])
    else:
        scaling = "mean 0 and standard deviation 1 on the training part"
        parts = standardised(parts)
        low, high = parts.train.x.min(0), parts.train.x.max(0)
    if settings.dataset_name == "VECTOR":  # any point of the plane is valid
        low, high = np.full_like(low, -np.inf), np.full_like(high, np.inf)
    about = {
        "dataset_name": settings.dataset_name,
        "name": settings.dataset,
        "source": raw.source,
        "sha256": digest(raw.x, raw.y),
        "learned": digest(parts.train.x, parts.train.y),  # the rows as the network gets them
        "shape": list(parts.train.x.shape[1:]),
        "classes": names,
        "held_out_class": next((str(name) for name, keep in zip(raw.names, kept, strict=True) if not keep), None),
        "train_examples": len(parts.train),
        "validation_examples": len(parts.val),
        "test_examples": len(parts.test),
        "held_out_examples": len(parts.held_out),
        "scaling": scaling,
    }
    return Data(parts.train, parts.val, parts.test, parts.held_out, low, high, names, list(raw.features), about)


def split(raw: Raw, kept: np.ndarray, settings: RobustnessSettings) -> Parts:  # kept: (C,) bool
    tested = raw.tested if raw.tested is not None else drawn(raw.y, np.ones(len(raw.y), bool), settings.seed, "test")
    validated = drawn(raw.y, ~tested, settings.seed, "val")
    seen, numbers = kept[raw.y], np.cumsum(kept) - 1  # the classes that stay, numbered from 0

    def rows(part: np.ndarray) -> Rows:  # (N,) bool
        return Rows(raw.x[part & seen], numbers[raw.y[part & seen]])

    train = rows(~tested & ~validated)
    if settings.train_examples:
        train = train.of(random_stream(settings.seed, "train").permutation(len(train))[: settings.train_examples])
    return Parts(train, rows(validated), rows(tested), raw.x[tested & ~seen])


def require_rows(parts: Parts, names: Sequence[str], settings: RobustnessSettings) -> None:
    for part, rows in (("train", parts.train), ("validation", parts.val), ("test", parts.test)):
        if len(missing := np.flatnonzero(np.bincount(rows.y, minlength=len(names)) < MIN_ROWS)):
            raise InputError(
                f"{settings.dataset}: the {part} part has fewer than {MIN_ROWS} rows of class {names[missing[0]]};"
                " give more with train_examples or vector.examples"
            )
    if settings.ood.held_out_class is not None and not len(parts.held_out):
        raise InputError(f"{settings.dataset}: the class that is held out has no test rows; hold out another one")


def standardised(parts: Parts) -> Parts:
    """Mean 0 and standard deviation 1, both of the training part alone."""
    mean, deviation = parts.train.x.mean(0), parts.train.x.std(0)
    scale = np.where(deviation > 0, deviation, 1)

    def standard(x: np.ndarray) -> np.ndarray:
        return ((x - mean) / scale).astype(np.float32)

    train, val, test = (Rows(standard(rows.x), rows.y) for rows in (parts.train, parts.val, parts.test))
    return Parts(train, val, test, standard(parts.held_out))


def images(settings: RobustnessSettings) -> Raw:
    found = open_images(settings.dataset or "digits")
    x = np.concatenate((found.train_images, found.test_images))[:, None] / np.float32(found.maximum)
    y = np.concatenate((found.train_labels, found.test_labels)).astype(np.int64)
    tested = np.arange(len(y)) >= len(found.train_labels)
    return Raw(x.astype(np.float32), y, tested, range(found.classes), [], {**found.source, "sha256": found.sha256})


def table(settings: RobustnessSettings) -> Raw:
    try:
        import sklearn
        from sklearn import datasets
    except ImportError as error:
        raise InputError(f"{settings.dataset} comes with scikit-learn ({error}); pip install scikit-learn") from error
    reader = {"breast_cancer": datasets.load_breast_cancer, "wine": datasets.load_wine}[settings.dataset or ""]
    found = reader()
    source = {"name": f"sklearn.datasets.{reader.__name__}", "scikit-learn": sklearn.__version__}
    return Raw(found.data, found.target.astype(np.int64), None, found.target_names, found.feature_names, source)


def points(settings: RobustnessSettings) -> Raw:
    """rings: class c is on a circle of radius c + 1. blobs: class c is around one of the corners of a polygon."""
    points_settings, random = settings.vector, random_stream(settings.seed, "points")
    y = np.arange(points_settings.examples) % points_settings.classes
    noise = points_settings.noise * random.standard_normal((len(y), 2))
    if settings.dataset == "rings":
        angle, radius = random.uniform(0, 2 * np.pi, len(y)), y + 1.0
    else:
        angle, radius = 2 * np.pi * y / points_settings.classes, np.ones(len(y))
    x = radius[:, None] * np.stack((np.cos(angle), np.sin(angle)), 1) + noise
    names = [f"ring {c}" if settings.dataset == "rings" else f"blob {c}" for c in range(points_settings.classes)]
    source = {"name": f"drawn: {settings.dataset}", "seed": settings.seed, **points_settings.model_dump()}
    return Raw(x, y, None, names, ["x", "y"], source)


READERS = {"IMAGE": images, "TABULAR": table, "VECTOR": points}


def learned(raw: Raw, held_out: int | None) -> np.ndarray:  # -> (C,) bool
    """Which classes are trained on."""
    kept = np.ones(len(raw.names), bool)
    if held_out is None:
        return kept
    if held_out >= len(kept):
        raise InputError(f"ood.held_out_class is {held_out}, and the classes are numbered from 0 to {len(kept) - 1}")
    if len(kept) < 3:
        raise InputError(
            f"ood.held_out_class: {len(kept)} classes are too few to hold one out; remove the key or change the dataset"
        )
    kept[held_out] = False
    return kept


def drawn(y: np.ndarray, among: np.ndarray, seed: int, purpose: str) -> np.ndarray:  # (N,), (N,) bool -> (N,) bool
    """A fraction of each class, so that no class is missing from a part."""
    random, chosen = random_stream(seed, f"split {purpose}"), np.zeros(len(y), bool)
    for label in range(y.max() + 1):
        rows = random.permutation(np.flatnonzero(among & (y == label)))
        chosen[rows[: round(HELD_OUT_FRACTION * len(rows))]] = True
    return chosen


def digest(x: np.ndarray, y: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(x).tobytes() + y.tobytes()).hexdigest()
