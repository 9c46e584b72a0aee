"""Handwritten digits of 8 x 8 pixels from scikit-learn: 1797 images, without a download.

    python data/digits/prepare.py [--again]

A training that names `digits` runs this by itself. They are the test part of the UCI set "Optical Recognition of
Handwritten Digits" (Alpaydin and Kaynak 1998). They come sorted by writer, so they are shuffled, always alike, before
every fifth is held back.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from pipelines.shared.images import Arrays, prepare_once

KIND = "images"
FOLDER = Path(__file__).resolve().parent
MAXIMUM = 16  # a pixel counts the dark ones among four by four


def read() -> Arrays:
    try:
        import sklearn
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(f"the digits come with scikit-learn ({error}); pip install scikit-learn") from error
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))
    images, labels = found.images[order], found.target[order]
    held_back = np.arange(len(labels)) % 5 == 0
    return Arrays(
        images[~held_back],
        labels[~held_back],
        images[held_back],
        labels[held_back],
        MAXIMUM,
        {"name": "sklearn.datasets.load_digits", "scikit-learn": sklearn.__version__},
    )


def prepare(*, again: bool = False) -> bool:
    return prepare_once(FOLDER, read, again=again)


if __name__ == "__main__":
    dataset_preparation.main(FOLDER, lambda again: prepare(again=again))
