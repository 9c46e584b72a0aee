"""Detectors, thresholds and the numbers made of them, against formulas and other implementations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis as distance
from scipy.stats import chi2, norm
from sklearn.metrics import roc_curve
from sklearn.neighbors import NearestNeighbors

from pipelines.robustness import detectors
from pipelines.robustness.detectors import Outputs
from pipelines.robustness.settings import DetectorSettings
from pipelines.robustness.statistics import auroc, fpr_at_tpr, separation

N, D, C = 3000, 6, 3


def outputs(features: np.ndarray, logits: np.ndarray | None = None) -> Outputs:
    logits = np.zeros((len(features), C)) if logits is None else logits
    return Outputs(torch.from_numpy(logits), torch.from_numpy(features))


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("normalise", [False, True])
def test_nearest_neighbours_are_those_of_scikit_learn(random, normalise):
    train, rows = random.standard_normal((N, D)), random.standard_normal((1500, D))
    ours = detectors.nearest_neighbours(torch.from_numpy(train), 7, normalise=normalise)(outputs(rows)).numpy()
    if normalise:
        train, rows = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, rows))
    theirs = NearestNeighbors(n_neighbors=7).fit(train).kneighbors(rows)[0][:, -1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_more_neighbours_than_rows_are_all_of_them():
    rows = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    assert detectors.nearest_neighbours(rows, 10, normalise=False)(outputs(np.zeros((1, 1)))).tolist() == [3.0]


def test_mahalanobis_is_the_distance_to_the_nearest_mean(random):
    mixing = random.standard_normal((D, D))
    means, y = 5 * random.standard_normal((C, D)), np.arange(N) % C
    train = means[y] + random.standard_normal((N, D)) @ mixing.T
    score = detectors.mahalanobis(torch.from_numpy(train), torch.from_numpy(y))
    rows = means[random.integers(C, size=500)] + random.standard_normal((500, D)) @ mixing.T
    found = score(outputs(rows)).numpy()
    inverse = np.linalg.inv(mixing @ mixing.T)  # of the true covariance
    true = [min(distance(row, mean, inverse) ** 2 for mean in means) for row in rows]
    assert np.corrcoef(found, true)[0, 1] > 0.99 and np.median(found / true) == pytest.approx(1, abs=0.05)
    # Squared distances of Gaussian rows follow chi-squared with D degrees of freedom.
    far = [np.mean(found <= chi2.ppf(q, D)) for q in (0.5, 0.9)]
    assert far == pytest.approx([0.5, 0.9], abs=0.06)


def test_mahalanobis_survives_features_that_never_vary(random):
    train = np.concatenate((random.standard_normal((60, 2)), np.zeros((60, 3))), 1)
    y = np.arange(60) % 2
    score = detectors.mahalanobis(torch.from_numpy(train), torch.from_numpy(y))
    odd = train[:1] + np.array([[0, 0, 9.0, 0, 0]])
    assert score(outputs(odd)).item() > score(outputs(train)).max().item()
    still = detectors.mahalanobis(torch.zeros(4, 2, dtype=torch.float64), torch.tensor([0, 1, 0, 1]))
    assert still(outputs(np.array([[3.0, 4.0]]))).item() == pytest.approx(25)


def test_energy_and_softmax_by_their_formulas(random):
    logits = 4 * random.standard_normal((50, C))
    rows = outputs(np.zeros((50, D)), logits)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(detectors.maximum_softmax(rows), 1 - probabilities.max(1), rtol=1e-12)
    for t in (1.0, 2.5):
        np.testing.assert_allclose(detectors.energy(rows, t), -t * np.log(np.exp(logits / t).sum(1)), rtol=1e-12)
    assert detectors.energy(outputs(np.zeros((1, D)), np.array([[2000.0, 0, 0]])), 1.0).item() == -2000  # no overflow


def test_all_detectors_score_what_is_far_away_higher(random):
    y = np.arange(N) % C
    train = 10 * np.eye(C, D)[y] + random.standard_normal((N, D))
    known = detectors.fit(DetectorSettings(), outputs(train, train[:, :C]), y)
    near, far = (outputs(x, x[:, :C]) for x in (train[:200], np.full((5, D), -30.0)))
    for name, scores in detectors.score(known, far).items():
        assert scores.dtype == np.float64 and scores.shape == (5,)
        assert scores.min() > detectors.threshold(detectors.score(known, near)[name], 95), name


def test_the_threshold_of_a_gaussian_is_its_quantile(random):
    clean = random.standard_normal(200_000)
    assert detectors.threshold(clean, 95) == pytest.approx(norm.ppf(0.95), abs=0.01)
    assert np.mean(clean >= detectors.threshold(clean, 95)) == pytest.approx(0.05, abs=1e-4)


def test_a_score_on_the_threshold_is_detected():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.0, 1.0, 1.0, 0.5])
    assert separation(labels, scores, detectors.threshold(np.ones(9), 95))["detected"]["count"] == 1


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_two_gaussians_are_separated_as_theory_predicts(random, shift):
    labels = np.repeat([0, 1], 100_000)
    scores = random.standard_normal(200_000) + shift * labels
    assert auroc(labels, scores) == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=0.005)
    assert fpr_at_tpr(labels, scores, 0.95) == pytest.approx(norm.cdf(norm.ppf(0.95) - shift), abs=0.01)


def test_the_false_positive_rate_is_that_of_the_curve(random):
    for count in (1, 3, 20, 40, 60, 119):
        labels = np.array([0] * 50 + [1] * count)
        scores = random.integers(0, 12, len(labels)) / 4.0 + labels  # with ties
        wrong, right, _ = roc_curve(labels, scores, drop_intermediate=False)
        assert fpr_at_tpr(labels, scores, 0.95) == wrong[np.argmax(right >= 0.95 - 1e-12)]


def test_ties_count_half():
    assert auroc(np.array([0, 1]), np.array([1.0, 1.0])) == 0.5


def test_without_one_of_the_two_there_is_no_area():
    found = separation(np.zeros(5), np.arange(5.0), 3.0)
    assert found == {"auroc": None, "fpr_at_95_tpr": None, "detected": None}
