"""The rows of robustness: how they are split and scaled, and what each kind of ood does to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from pipelines.robustness import ood
from pipelines.robustness.data import Data, load
from pipelines.robustness.random_streams import random_stream, torch_stream
from pipelines.robustness.settings import RobustnessSettings
from pipelines.shared.errors import InputError

DATASETS = [
    ("IMAGE", "digits", (1, 8, 8), 10, 1797), ("TABULAR", "breast_cancer", (30,), 2, 569),
    ("TABULAR", "wine", (13,), 3, 178), ("VECTOR", "rings", (2,), 3, 1500), ("VECTOR", "blobs", (2,), 3, 1500),
]  # fmt: skip


def rows(dataset_name: str, dataset: str, **more) -> Data:
    return load(RobustnessSettings(dataset_name=dataset_name, dataset=dataset, **more))


def made(data: Data, **more) -> dict[str, np.ndarray]:
    name = "IMAGE" if data.images else "VECTOR"
    return ood.make(data, RobustnessSettings(dataset_name=name, ood=more).ood, seed=0)


@pytest.mark.parametrize(("kind", "name", "shape", "classes", "count"), DATASETS)
def test_the_splits_are_disjoint_complete_and_of_all_classes(kind, name, shape, classes, count):
    data = rows(kind, name)
    parts = (data.train, data.val, data.test)
    assert data.shape == shape and len(data.names) == classes and sum(map(len, parts)) == count
    assert all(set(part.y) == set(range(classes)) and part.x.dtype == np.float32 for part in parts)
    seen = [{row.tobytes() for row in part.x} for part in parts]
    if name != "wine" and kind != "IMAGE":  # some wines and digits are the same as another one
        assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    assert data.about["train_examples"] == len(data.train) and data.about["name"] == name
    again = rows(kind, name)
    assert all(
        np.array_equal(one.x, other.x) for one, other in zip(parts, (again.train, again.val, again.test), strict=True)
    )
    other = rows(kind, name, seed=1)
    assert other.about["learned"] != data.about["learned"]


@pytest.mark.parametrize(("kind", "name"), [("TABULAR", "wine"), ("VECTOR", "rings")])
def test_scaling_is_fitted_on_the_training_part_alone(kind, name):
    data = rows(kind, name)
    assert np.abs(data.train.x.mean(0)).max() < 1e-5 and np.abs(data.train.x.std(0) - 1).max() < 1e-5
    assert np.abs(data.test.x.mean(0)).max() > 1e-4  # has a mean of its own


def test_the_valid_range():
    image, table, vector = rows("IMAGE", "digits"), rows("TABULAR", "wine"), rows("VECTOR", "rings")
    assert image.low.min() == 0 == image.train.x.min() and image.high.max() == 1 == image.train.x.max()
    assert np.array_equal(table.low, table.train.x.min(0)) and np.array_equal(table.high, table.train.x.max(0))
    assert np.isinf(vector.low).all() and np.isinf(vector.high).all()


def test_rings_lie_on_rings_and_blobs_about_corners():
    settings = {"vector": {"noise": 0.05, "examples": 1200}}
    ring, blob = rows("VECTOR", "rings", **settings), rows("VECTOR", "blobs", **settings)
    # Of uniform angles the standard deviation of a coordinate is sqrt(mean r^2 / 2).
    unit = np.sqrt((1 + 4 + 9) / 3 / 2)
    radius = np.linalg.norm(ring.train.x, axis=1) * unit
    assert [radius[ring.train.y == c].mean() for c in range(3)] == pytest.approx([1, 2, 3], abs=0.1)
    assert all(blob.train.x[blob.train.y == c].std(0).max() < 0.15 for c in range(3))


def test_a_class_that_is_held_out_is_nowhere_but_in_held_out():
    everything, data = rows("IMAGE", "digits"), rows("IMAGE", "digits", ood={"held_out_class": 7})
    assert data.names == [str(c) for c in range(10) if c != 7] and data.about["held_out_class"] == "7"
    assert np.array_equal(data.held_out, everything.test.x[everything.test.y == 7]) and len(data.held_out) > 10
    assert np.array_equal(data.test.x, everything.test.x[everything.test.y != 7])
    assert sorted(set(data.train.y)) == list(range(9))
    nine = everything.test.y[everything.test.y != 7] == 9
    assert (data.test.y[nine] == 8).all()  # renumbered


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (("TABULAR", "breast_cancer", {"held_out_class": 1}), "2 classes are too few to hold one out"),
        (("TABULAR", "wine", {"held_out_class": 3}), "numbered from 0 to 2"),
    ],
)
def test_a_class_that_cannot_be_held_out_is_an_error(given, sentence):
    with pytest.raises(InputError, match=sentence):
        rows(*given[:2], ood=given[2])


def test_fewer_training_rows_are_drawn_from_all_classes():
    data = rows("TABULAR", "wine", train_examples=40)
    assert len(data.train) == 40 and set(data.train.y) == {0, 1, 2}
    with pytest.raises(InputError, match="fewer than 2 rows of class"):
        rows("TABULAR", "wine", train_examples=3)


# Rows from elsewhere.


def test_feature_shuffle_keeps_each_feature_and_breaks_what_binds_them():
    data = rows("VECTOR", "rings")
    (found,) = made(data, kinds=["feature_shuffle"]).values()
    assert np.array_equal(np.sort(found, 0), np.sort(data.test.x, 0))
    unlike = (found != data.test.x).any(1)
    assert unlike.mean() > 0.9
    radii = np.linalg.norm(found, axis=1).std(), np.linalg.norm(data.test.x, axis=1).std()
    assert radii[0] > 0.8 * radii[1] and found.dtype == np.float32


def test_gaussian_noise_has_the_requested_strength():
    data = rows("TABULAR", "breast_cancer")
    (found,) = made(data, kinds=["gaussian_noise"], noise=2.0).values()
    assert (found - data.test.x).std() == pytest.approx(2.0, rel=0.03)
    image = rows("IMAGE", "digits")
    (found,) = made(image, kinds=["gaussian_noise"]).values()
    assert found.min() == 0 and found.max() == 1  # a pixel stays one


def test_uniform_wide_fills_a_box_wider_than_the_training_rows():
    data = rows("VECTOR", "blobs")
    (found,) = made(data, kinds=["uniform_wide"], wide=4.0).values()
    low, high = data.train.x.min(0), data.train.x.max(0)
    middle, half = (low + high) / 2, 2 * (high - low)
    assert (np.abs(found - middle) <= half).all() and (np.abs(found - middle) > 0.9 * half).any()
    inside = ((found > low) & (found < high)).all(1).mean()
    assert inside == pytest.approx(1 / 16, abs=0.04)
    (pixels,) = made(rows("IMAGE", "digits"), kinds=["uniform_wide"]).values()
    assert pixels.mean() == pytest.approx(0.5, abs=0.01) and pixels.min() >= 0 and pixels.max() <= 1


def test_patch_shuffle_moves_complete_patches_within_an_image():
    data = rows("IMAGE", "digits")
    (found,) = made(data, kinds=["patch_shuffle"], patches=4).values()

    def patches(images: np.ndarray) -> list[list[bytes]]:
        cut = [image[0, i : i + 2, j : j + 2] for image in images for i in range(0, 8, 2) for j in range(0, 8, 2)]
        return [sorted(patch.tobytes() for patch in cut[k : k + 16]) for k in range(0, len(cut), 16)]

    assert patches(found) == patches(data.test.x) and (found != data.test.x).any((1, 2, 3)).all()
    with pytest.raises(InputError, match="does not divide images of 8 x 8"):
        ood.patch_shuffle(data.test.x, 3, np.random.default_rng(0))


def test_blur_is_a_gaussian_within_each_image():
    data = rows("IMAGE", "digits")
    (found,) = made(data, kinds=["blur"], blur=1.2).values()
    np.testing.assert_allclose(found[3, 0], gaussian_filter(data.test.x[3, 0], 1.2, mode="nearest"), atol=1e-6)


def test_a_kind_draws_the_same_whatever_other_kinds_there_are():
    data = rows("VECTOR", "rings")
    alone = made(data, kinds=["uniform_wide"])["uniform_wide"]
    assert np.array_equal(alone, made(data, kinds=["gaussian_noise", "uniform_wide"])["uniform_wide"])


def test_streams_are_of_seed_and_purpose_and_leave_global_state_alone():
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    draw = [random_stream(seed, purpose).integers(2**62) for seed in (0, 2**62) for purpose in ("a", "b")]
    assert len(set(draw)) == 4 and draw[0] == random_stream(0, "a").integers(2**62)
    assert torch.equal(*(torch.rand(3, generator=torch_stream(0, "a")) for _ in range(2)))
    assert torch.equal(before[0], torch.random.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()
