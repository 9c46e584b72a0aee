"""MNIST (LeCun, Cortes and Burges 1998): 70,000 handwritten digits of 28 x 28 pixels.

    python data/mnist/prepare.py [--again]

Takes the four .gz files from raw/ beside this file, or downloads them there; their sha256 is checked either way. A
training that names `mnist` runs this by itself.
"""

import gzip
import hashlib
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from pipelines.shared import dataset_preparation
from pipelines.shared.errors import InputError
from pipelines.shared.images import Arrays, prepare_once
from runner.disk import atomic

KIND = "images"
FOLDER = Path(__file__).resolve().parent
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}


def prepare(*, again: bool = False, folder: Path = FOLDER, mirror: str = MIRROR) -> bool:
    return prepare_once(folder, lambda: read(folder / "raw", mirror), again=again)


def read(raw: Path, mirror: str = MIRROR) -> Arrays:
    train_images, train_labels, test_images, test_labels = (
        parse(content(raw, name, sha256, mirror), name) for name, sha256 in FILES.items()
    )
    return Arrays(
        train_images, train_labels, test_images, test_labels, 255, {"name": "MNIST", "url": mirror, "files": FILES}
    )


def content(raw: Path, name: str, sha256: str, mirror: str) -> bytes:
    """One of the files, checked: from `raw`, or from the network, and then kept there."""
    path = raw / name
    hint = f"put the four .gz files of MNIST into {raw}, or train on dataset: digits, which needs no download"
    if path.is_file():
        found = path.read_bytes()
        if hashlib.sha256(found).hexdigest() != sha256:
            raise InputError(f"{path} is not the expected file (its sha256 differs); {hint}")
        return found
    found = dataset_preparation.download(mirror + name, sha256, title=name, hint=hint)
    raw.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, found)
    return found


def parse(packed: bytes, name: str) -> np.ndarray:  # -> (N, H, W) or (N,) uint8
    """The array in a gzipped idx file: two zeros, the type (8: bytes), the number of dimensions, then their sizes as
    big-endian int32, then the values, the last dimension turning fastest (yann.lecun.com/exdb/mnist)."""
    try:
        data = gzip.decompress(packed)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name} is not a gzip file ({error})") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise InputError(f"{name} is not an idx file of bytes: it begins with {data[:4].hex(' ')}")
    begin = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(4, begin, 4))
    values = np.frombuffer(data[begin:], dtype=np.uint8)
    if len(data) < begin or values.size != np.prod(shape, dtype=np.int64):
        raise InputError(f"{name} is truncated or too long: {values.size} values for the shape {shape}")
    return values.reshape(shape)


if __name__ == "__main__":
    dataset_preparation.main(FOLDER, lambda again: prepare(again=again))
