"""Image datasets: digits on every machine, MNIST's files as they are published, and the errors without them."""

import gzip
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.shared import images
from pipelines.shared.errors import InputError
from tests.conftest import PROJECT
from tests.pipelines.diffusion.test_data import script


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist(monkeypatch):
    """The script of MNIST, with a made-up set of 30 and 10 images in place of the published one."""
    module = script("mnist")
    rng = np.random.default_rng(0)
    module.made_up = {
        "train-images-idx3-ubyte.gz": rng.integers(256, size=(30, 28, 28)),
        "train-labels-idx1-ubyte.gz": np.arange(30) % 10,
        "t10k-images-idx3-ubyte.gz": rng.integers(256, size=(10, 28, 28)),
        "t10k-labels-idx1-ubyte.gz": np.arange(10),
    }
    module.packed = {name: idx(array) for name, array in module.made_up.items()}
    monkeypatch.setattr(module, "FILES", {n: hashlib.sha256(c).hexdigest() for n, c in module.packed.items()})
    return module


def lay_out(files: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_digits_are_on_every_machine():
    data = images.open_images("digits")
    assert (len(data.train_labels), len(data.test_labels)) == (1437, 360)
    assert data.train_images.shape[1:] == (8, 8) and data.inputs == 64 and data.classes == 10
    assert data.train_images.max() == data.maximum == 16
    assert min(np.bincount(data.test_labels)) >= 20  # every class is tested
    assert data.source["name"] == "sklearn.datasets.load_digits" and len(data.sha256) == 64


def test_digits_hold_every_image_once():
    from sklearn.datasets import load_digits

    data = images.open_images("digits")
    ours = np.concatenate((data.train_images, data.test_images)).reshape(-1, 64)
    labels = np.concatenate((data.train_labels, data.test_labels))
    found = sorted(zip(map(bytes, ours), labels.tolist(), strict=True))
    bunch = load_digits()
    assert found == sorted(zip(map(bytes, bunch.data.astype(np.uint8)), bunch.target.tolist(), strict=True))


def test_mnist_is_read_from_files_at_hand(mnist, tmp_path):
    lay_out(mnist.packed, tmp_path / "mnist" / "raw")
    assert mnist.prepare(folder=tmp_path / "mnist", mirror="http://localhost:9/")
    data = images.open_images(str(tmp_path / "mnist"))
    made_up = list(mnist.made_up.values())
    for found, original in zip((data.train_images, data.train_labels, data.test_images, data.test_labels), made_up,
                             strict=True):  # fmt: skip
        assert found.dtype == np.uint8 and (found == original).all()
    assert data.maximum == 255 and data.inputs == 784 and data.source["files"] == mnist.FILES
    assert not mnist.prepare(folder=tmp_path / "mnist")


def test_mnist_is_downloaded_once_and_kept(mnist, tmp_path):
    mirror = lay_out(mnist.packed, tmp_path / "mirror")
    assert mnist.prepare(folder=tmp_path / "mnist", mirror=f"{mirror.as_uri()}/")
    assert {path.name for path in (tmp_path / "mnist" / "raw").iterdir()} == set(mnist.FILES)
    assert mnist.prepare(folder=tmp_path / "mnist", mirror="http://localhost:9/", again=True)


def test_a_file_of_another_hash_is_refused(mnist, tmp_path):
    files = mnist.packed | {"t10k-labels-idx1-ubyte.gz": idx(np.zeros(10))}
    raw = lay_out(files, tmp_path / "mnist" / "raw")
    with pytest.raises(InputError, match=r"t10k-labels-idx1-ubyte.gz is not the expected file.*dataset: digits"):
        mnist.prepare(folder=tmp_path / "mnist")
    with pytest.raises(InputError, match="sha256 differs"):
        mnist.prepare(folder=tmp_path / "other", mirror=f"{raw.as_uri()}/")
    assert not (tmp_path / "other" / "meta.json").exists()


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (b"not gzip at all", "not a gzip file"),
        (gzip.compress(b"\x00\x00\x0d\x01" + b"\x00" * 8), "not an idx file of bytes"),
        (gzip.compress(b""), "not an idx file of bytes"),
        (gzip.compress(b"\x00\x00\x08\x03\x00\x00"), "truncated or too long"),
        (idx(np.zeros(10))[:-12], "not a gzip file"),
        (gzip.compress(gzip.decompress(idx(np.zeros(10)))[:-1]), "9 values for the shape"),
    ],
    ids=["no gzip", "floats", "empty", "half a header", "half a gzip", "a value too few"],
)
def test_a_damaged_file_is_a_sentence(mnist, packed, message):
    with pytest.raises(InputError, match=message):
        mnist.parse(packed, "file")


def test_mnist_out_of_reach_is_one_sentence_that_names_the_way_out(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    text = (PROJECT / "data/mnist/prepare.py").read_text()
    mirror = script("mnist").MIRROR
    (folder / "prepare.py").write_text(text.replace(mirror, f"{(tmp_path / 'nowhere').as_uri()}/"))
    train, config = PROJECT / "train_run.py", PROJECT / "config/mlp/mlp_mnist.yaml"
    command = [sys.executable, str(train), str(config), "--device=cpu"]
    done = subprocess.run(
        [*command, f"--dataset={folder}", f"--out_dir={tmp_path / 'out'}"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: could not download")
    assert "dataset: digits" in done.stderr and str(folder / "raw") in done.stderr
    assert json.loads((tmp_path / "out" / "error.json").read_text())["type"] == "InputError"
    assert not (tmp_path / "out" / "job.json").exists()


def test_images_without_labels_are_refused(tmp_path):
    pixels = np.zeros((3, 2, 2))
    arrays = images.Arrays(pixels, np.zeros(3), pixels, np.zeros(2), 1, {"name": "test"})
    with pytest.raises(ValueError, match="are not images for 2 labels"):
        images.prepare_once(tmp_path, lambda: arrays)
    assert not (tmp_path / "meta.json").exists()


def test_a_damaged_dataset_is_an_error(tmp_path):
    pixels = np.zeros((3, 2, 2))
    images.prepare_once(tmp_path, lambda: images.Arrays(pixels, np.arange(3), pixels, np.arange(3), 1, {}))
    (tmp_path / "train_images.npy").write_bytes(b"half")
    with pytest.raises(InputError, match="prepare them again"):
        images.open_images(str(tmp_path))
