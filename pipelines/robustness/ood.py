"""Out-of-distribution rows of several kinds. Each kind has a random stream of its own."""

from __future__ import annotations

import numpy as np

from pipelines.robustness.data import Data
from pipelines.robustness.random_streams import random_stream
from pipelines.robustness.settings import OodSettings
from pipelines.shared.errors import InputError


def make(data: Data, settings: OodSettings, seed: int) -> dict[str, np.ndarray]:
    """Kind -> rows (N, ...) float32. As many as test rows, except for the class that is held out."""
    return {kind: rows(kind, data, settings, seed).astype(np.float32) for kind in settings.kinds or ()}


def rows(kind: str, data: Data, settings: OodSettings, seed: int) -> np.ndarray:
    x, random = data.test.x, random_stream(seed, f"ood {kind}")
    match kind:
        case "feature_shuffle":
            return feature_shuffle(x, random)
        case "gaussian_noise":
            noisy = x + settings.noise * data.train.x.std() * random.standard_normal(x.shape)
            return noisy.clip(0, 1) if data.images else noisy
        case "uniform_wide":
            return uniform_wide(data, settings.wide, random)
        case "patch_shuffle":
            return patch_shuffle(x, settings.patches, random)
        case "blur":
            from scipy.ndimage import gaussian_filter

            return gaussian_filter(x, (0, 0, settings.blur, settings.blur), mode="nearest")
        case "held_out_class":
            return data.held_out
    raise ValueError(kind)


def feature_shuffle(x: np.ndarray, random: np.random.Generator) -> np.ndarray:  # (N, ...) -> (N, ...)
    """Permute each feature among the rows: its values stay, its dependence on the others is lost."""
    return random.permuted(x, axis=0)


def uniform_wide(data: Data, wide: float, random: np.random.Generator) -> np.ndarray:
    """Uniform over a box `wide` times as wide as the training range; for images, over all pixel values."""
    low, high = data.train.x.min(0), data.train.x.max(0)
    middle, half = (low + high) / 2, wide * (high - low) / 2
    low, high = middle - half, middle + half
    if data.images:
        low, high = np.zeros_like(low), np.ones_like(high)
    return random.uniform(low, high, data.test.x.shape)


def patch_shuffle(x: np.ndarray, patches: int, random: np.random.Generator) -> np.ndarray:  # (N, 1, H, W), same
    """Cut each image into patches x patches rectangles and permute them."""
    count, _, height, width = x.shape
    if height % patches or width % patches:
        raise InputError(f"ood.patches is {patches}, which does not divide images of {height} x {width} pixels")
    h, w = height // patches, width // patches
    cut = x.reshape(count, patches, h, patches, w).transpose(0, 1, 3, 2, 4).reshape(count, patches**2, h, w)
    order = random.permuted(np.tile(np.arange(patches**2), (count, 1)), axis=1)
    mixed = cut[np.arange(count)[:, None], order].reshape(count, patches, patches, h, w)
    return mixed.transpose(0, 1, 3, 2, 4).reshape(x.shape)
