"""FGSM and PGD against the theory of linear models, and against another implementation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from model.attacks import Ball, fgsm, pgd
from model.feedforward import cnn, mlp

ROWS, INPUTS = 400, 12
UNBOUNDED = torch.tensor(-torch.inf), torch.tensor(torch.inf)


class Linear(nn.Module):
    """Two classes; class 1 where w x + b is above 0."""

    def __init__(self, generator: torch.Generator, scale: float = 1.0) -> None:
        super().__init__()
        self.w = nn.Parameter(scale * torch.randn(INPUTS, dtype=torch.float64, generator=generator))
        self.b = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def value(self, x: Tensor) -> Tensor:  # (B, D) -> (B,)
        return x @ self.w + self.b

    def forward(self, x: Tensor) -> Tensor:  # (B, D) -> (B, 2)
        return torch.stack((-self.value(x) / 2, self.value(x) / 2), 1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def attack(name: str, model: nn.Module, x: Tensor, y: Tensor, ball: Ball, **more) -> Tensor:
    if name == "fgsm":
        return fgsm(model, x, y, ball, targeted=more.get("targeted", False))
    more = {"steps": 20, "step_size": 2.5 * ball.eps / 20, "generator": torch.Generator().manual_seed(1), **more}
    return pgd(model, x, y, ball, **more)


def success(model: nn.Module, x: Tensor, y: Tensor, moved: Tensor) -> Tensor:  # -> (B,) bool
    return (model(x).argmax(1) == y) & (model(moved).argmax(1) != y)


@pytest.mark.parametrize("scale", [0.2, 1.0, 60.0])  # of the last, most cross-entropies are 0 in floating point
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_on_a_linear_model_the_attack_succeeds_exactly_where_it_can(generator, name, norm, dual, scale):
    model = Linear(generator, scale)
    x = torch.randn(ROWS, INPUTS, dtype=torch.float64, generator=generator)
    y = torch.randint(2, (ROWS,), generator=generator)  # half of the rows are misclassified from the start
    eps = 0.15 if norm == "linf" else 0.4
    margin = model.value(x) * (2 * y - 1)
    possible = (margin > 0) & (margin < eps * model.w.norm(dual))
    assert 0.1 < possible.double().mean() < 0.4
    # Long steps: with short ones the way along the border of an l2 ball takes more than 20 of them.
    moved = attack(name, model, x, y, Ball(norm, eps, *UNBOUNDED), step_size=eps)
    assert torch.equal(success(model, x, y, moved), possible)


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_within_a_box_too(generator, name):
    model = Linear(generator)
    x = torch.rand(ROWS, INPUTS, dtype=torch.float64, generator=generator)
    y, eps = (model.value(x) > 0).long(), 0.2
    sign = (2 * y - 1)[:, None]
    worst = (x - eps * sign * model.w.sign()).clamp(0, 1)  # every feature as far as it may go
    possible = model.value(worst) * sign[:, 0] < 0
    moved = attack(name, model, x, y, Ball("linf", eps, torch.tensor(0.0), torch.tensor(1.0)))
    assert torch.equal(success(model, x, y, moved), possible) and 0 < possible.sum() < ROWS


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_with_a_length_for_each_feature_it_succeeds_exactly_where_it_can(generator, name, norm, dual):
    """The largest change of a linear value is eps times the dual norm of its weights times the scale."""
    model = Linear(generator)
    x = torch.randn(ROWS, INPUTS, dtype=torch.float64, generator=generator)
    y = torch.randint(2, (ROWS,), generator=generator)
    scale = 3 * torch.rand(INPUTS, dtype=torch.float64, generator=generator)
    scale[:3] = 0
    eps = 0.15 if norm == "linf" else 0.4
    margin = model.value(x) * (2 * y - 1)
    possible = (margin > 0) & (margin < eps * (scale * model.w).norm(dual))
    assert 0.1 < possible.double().mean() < 0.4
    moved = attack(name, model, x, y, Ball(norm, eps, *UNBOUNDED, scale), step_size=eps)
    assert torch.equal(success(model, x, y, moved), possible)
    delta = moved - x
    assert torch.equal(delta[:, :3], torch.zeros(ROWS, 3, dtype=torch.float64))
    length = (delta[:, 3:] / scale[3:]).norm(torch.inf if norm == "linf" else 2, dim=1)
    assert (length <= eps * (1 + 1e-9)).all()


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_with_a_target_it_reaches_that_class_exactly_where_it_can(generator, name, norm, dual):
    model = Linear(generator, 60.0)  # most cross-entropies of the target are huge or 0
    x = torch.randn(ROWS, INPUTS, dtype=torch.float64, generator=generator)
    target, eps = torch.ones(ROWS, dtype=torch.long), 0.15 if norm == "linf" else 0.4
    value = model.value(x)
    possible = value > -eps * model.w.norm(dual)  # class 1 is where the value is above 0
    assert 0.6 < possible.double().mean() < 0.9 and (value > 0).double().mean() < 0.6
    moved = attack(name, model, x, target, Ball(norm, eps, *UNBOUNDED), targeted=True, step_size=eps)
    assert torch.equal(model(moved).argmax(1) == 1, possible)


def test_a_target_among_several_classes_becomes_likelier(generator):
    model = networks()[1]
    x, target = torch.rand(64, 1, 8, 8, generator=generator), torch.full((64,), 3)
    ball = Ball("linf", 0.1, torch.tensor(0.0), torch.tensor(1.0))
    before, after = (
        model(rows).log_softmax(1)[:, 3] for rows in (x, attack("pgd", model, x, target, ball, targeted=True))
    )
    assert (after > before).all()


def test_a_random_start_has_the_lengths_of_the_features(generator):
    for norm in ("linf", "l2"):
        scale = torch.tensor([1.0, 2.0, 0.0])
        drawn = Ball(norm, 0.5, *UNBOUNDED, scale).random_step(torch.zeros(5_000, 3), generator)
        deviations = drawn.std(0).tolist()
        assert deviations[1] == pytest.approx(2 * deviations[0], rel=0.1) and deviations[2] == 0


def networks() -> list[nn.Module]:
    make = torch.Generator().manual_seed(2)
    restless = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 5)
    )
    return [
        mlp((1, 8, 8), 5, layers=2, width=16, generator=make),
        cnn((1, 8, 8), 5, layers=2, channels=4, width=16, generator=make),
        restless,
    ]


@pytest.mark.parametrize("model", networks(), ids=["mlp", "cnn", "dropout"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
@pytest.mark.parametrize("eps", [0.0, 0.03, 0.5, 30.0])
def test_no_row_leaves_the_ball_or_the_valid_range(generator, model, name, norm, eps):
    x, y = torch.rand(40, 1, 8, 8, generator=generator), torch.randint(5, (40,), generator=generator)
    moved = attack(name, model, x, y, Ball(norm, eps, torch.tensor(0.0), torch.tensor(1.0)))
    delta = (moved - x).flatten(1).double()
    length = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert (length <= eps * (1 + 1e-6) + 1e-7).all()  # half a bit of a pixel, for x + delta is rounded
    assert moved.min() >= 0 and moved.max() <= 1 and moved.dtype == x.dtype
    if eps == 0:
        assert torch.equal(moved, x)


def test_a_row_outside_of_the_valid_range_goes_no_further_out_and_is_not_pulled_in(generator):
    model = Linear(generator)
    x = 3 * torch.randn(ROWS, INPUTS, dtype=torch.float64, generator=generator)
    y = (model.value(x) > 0).long()
    low, high = torch.full((INPUTS,), -1.0, dtype=torch.float64), torch.full((INPUTS,), 1.0, dtype=torch.float64)
    moved = fgsm(model, x, y, Ball("linf", 0.1, low, high))
    assert ((moved - x).abs() <= 0.1 + 1e-12).all()
    assert (moved >= torch.minimum(low, x)).all() and (moved <= torch.maximum(high, x)).all()


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_the_model_is_as_it_was(generator, name):
    model = networks()[2].train()
    model[2].eval()  # one part in another mode than the rest
    x, y = torch.rand(8, 1, 8, 8), torch.randint(5, (8,))
    model(x).sum().backward()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    modes = [part.training for part in model.modules()]
    before = torch.random.get_rng_state()
    moved = attack(name, model, x, y, Ball("linf", 0.1, *UNBOUNDED))
    again = attack(name, model, x, y, Ball("linf", 0.1, *UNBOUNDED))
    assert torch.equal(moved, again)  # eval mode: neither dropout nor batch statistics
    assert not moved.requires_grad and not x.requires_grad
    assert [part.training for part in model.modules()] == modes
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in state.items())
    assert all(torch.equal(a, parameter.grad) for a, parameter in zip(gradients, model.parameters(), strict=True))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_works_where_gradients_are_switched_off(generator):
    model = networks()[0]
    with torch.no_grad():
        moved = fgsm(model, torch.rand(4, 1, 8, 8), torch.randint(5, (4,)), Ball("linf", 0.1, *UNBOUNDED))
    assert not moved.requires_grad


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_random_start_is_uniform_in_the_ball(generator, norm):
    drawn = Ball(norm, 0.5, *UNBOUNDED).random_step(torch.zeros(20_000, 3), generator)
    if norm == "linf":
        assert drawn.abs().max() <= 0.5 and drawn.std().item() == pytest.approx(1 / np.sqrt(12), rel=0.02)
    else:  # the fraction within radius r is (r / eps)^d
        radius = drawn.norm(dim=1) / 0.5
        assert radius.max() <= 1 + 1e-6
        assert [(radius < r).float().mean().item() for r in (0.5, 0.8)] == pytest.approx([0.125, 0.512], abs=0.015)


def test_more_steps_reach_a_higher_loss(generator):
    model = networks()[1]
    x, y = torch.rand(64, 1, 8, 8, generator=generator), torch.randint(5, (64,), generator=generator)
    ball = Ball("linf", 0.1, torch.tensor(0.0), torch.tensor(1.0))
    loss = [
        nn.functional.cross_entropy(model(moved), y).item()
        for moved in (x, fgsm(model, x, y, ball), attack("pgd", model, x, y, ball, generator=None))
    ]
    assert loss[0] < loss[1] < loss[2]


# Against another implementation.


@pytest.fixture(scope="module")
def art():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("art.attacks.evasion"), pytest.importorskip("art.estimators.classification")


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_the_robustness_toolbox_finds_the_same_examples(generator, art, name, norm):
    evasion, classification = art
    model = networks()[1]
    x, y = torch.rand(50, 1, 8, 8, generator=generator), torch.randint(5, (50,), generator=generator)
    eps, steps, step = (0.1, 7, 0.03) if norm == "linf" else (0.8, 7, 0.3)
    # Both bring a step back into the ball and into the range one after the other; for l2 the order makes a difference.
    bounded = norm == "linf" or name == "fgsm"
    limits = (0.0, 1.0) if bounded else None
    known = classification.PyTorchClassifier(
        model, nn.CrossEntropyLoss(), (1, 8, 8), 5, clip_values=limits, device_type="cpu"
    )
    order = np.inf if norm == "linf" else 2
    other = (
        evasion.FastGradientMethod(known, norm=order, eps=eps)
        if name == "fgsm"
        else evasion.ProjectedGradientDescentNumpy(
            known, norm=order, eps=eps, eps_step=step, max_iter=steps, num_random_init=0, verbose=False
        )
    )
    theirs = other.generate(x.numpy(), np.eye(5, dtype=np.float32)[y.numpy()])
    ball = Ball(norm, eps, torch.tensor(0.0), torch.tensor(1.0)) if bounded else Ball(norm, eps, *UNBOUNDED)
    ours = attack(name, model, x, y, ball, steps=steps, step_size=step, generator=None).numpy()
    # A pixel whose gradient is 0 but for rounding may go either way, so a few may differ.
    assert (np.abs(ours - theirs) < 1e-4).mean() > 0.995
    assert (model(torch.from_numpy(ours)).argmax(1) == model(torch.from_numpy(theirs)).argmax(1)).all()


class AppleGpu(TorchFunctionMode):
    """Tensors report that they are on such a device, and refuse float64 as it does."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is Tensor.double or torch.float64 in (*args, *(kwargs or {}).values()):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return torch.device("mps") if func == Tensor.device.__get__ else func(*args, **(kwargs or {}))


def test_a_device_without_float64_attacks_too(generator: torch.Generator) -> None:
    model, x = mlp((5,), 3, layers=1, width=8, generator=generator), torch.randn(16, 5, generator=generator)
    y = model(x).argmax(1).detach()
    ball = Ball("linf", 0.5, *UNBOUNDED)
    there = fgsm(model, x, y, ball)
    with AppleGpu():
        assert torch.allclose(fgsm(model, x, y, ball), there)
