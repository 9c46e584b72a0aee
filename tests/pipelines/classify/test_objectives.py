"""The networks and objectives of classify against mathematics: distributions, anchors, gradients, layers."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from model import classifiers
from model.classifiers import MLP, VARIANTS, Greedy, Shape
from pipelines.classify.layer_analysis import cka, participation_ratio, probe_accuracy

SHAPE = Shape(inputs=12, classes=5, layers=4, width=12)
LAMBDAS = [0.3, -0.2, 0.5]

# p = (1/2, 1/2), q = (1/4, 3/4), by hand.
P, Q = (torch.tensor([values], dtype=torch.float64).log() for values in ([0.5, 0.5], [0.25, 0.75]))
JS = (0.5 * math.log(16 / 15) + 0.25 * math.log(2 / 3) + 0.75 * math.log(6 / 5)) / 2


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(3)
    return torch.rand(7, 12, generator=generator), torch.randint(5, (7,), generator=generator)


def greedy(variant: str = "js", similarity: str = "cosine", lambdas=LAMBDAS, shape: Shape = SHAPE) -> Greedy:
    torch.manual_seed(0)
    return Greedy(shape, similarity, 0.1, 0, lambdas, variant)


@pytest.mark.parametrize(
    ("variant", "by_hand"),
    [
        ("ce_i_next", 0.5 * math.log(16 / 3)),
        ("ce_next_i", math.log(2)),
        ("js", JS),
        ("sym_kl", 0.25 * math.log(3)),
    ],
)
def test_divergences_of_two_coins(variant, by_hand):
    assert VARIANTS[variant](P, Q).item() == pytest.approx(by_hand, abs=1e-12)


def test_divergences_of_a_distribution_from_itself():
    for variant in ("js", "sym_kl"):
        assert VARIANTS[variant](Q, Q).item() == pytest.approx(0, abs=1e-12)
    entropy = 0.25 * math.log(4) + 0.75 * math.log(4 / 3)
    for variant in ("ce_i_next", "ce_next_i"):
        assert VARIANTS[variant](Q, Q).item() == pytest.approx(entropy)


def test_divergences_of_certain_answers_are_finite():
    one, other = (F.log_softmax(torch.tensor([logits]), dim=-1) for logits in ([2000.0, 0.0], [0.0, 2000.0]))
    assert VARIANTS["js"](one, other).item() == pytest.approx(math.log(2))
    assert VARIANTS["sym_kl"](one, other).item() == pytest.approx(4000)
    assert VARIANTS["ce_i_next"](one, other).item() == pytest.approx(2000)


def test_anchors_are_orthonormal_and_follow_the_seed():
    anchors = classifiers.orthonormal_anchors(10, 64, seed=1)
    assert torch.allclose(anchors @ anchors.T, torch.eye(10), atol=1e-6)
    assert torch.equal(anchors, classifiers.orthonormal_anchors(10, 64, seed=1))
    assert not torch.allclose(anchors, classifiers.orthonormal_anchors(10, 64, seed=2), atol=0.1)


def test_the_first_anchor_is_the_direction_of_a_gaussian():
    """What makes it uniform: QR alone may turn it round."""
    for seed in range(5):
        gaussian = torch.randn(16, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        anchors = classifiers.orthonormal_anchors(3, 16, seed)
        assert torch.allclose(anchors[0], F.normalize(gaussian[:, 0], dim=0).float(), atol=1e-6)


def test_anchors_may_fill_all_of_the_space():
    anchors = classifiers.orthonormal_anchors(10, 10, seed=1)
    assert torch.allclose(anchors @ anchors.T, torch.eye(10), atol=1e-6)


def test_l2_is_minus_the_squared_distance():
    h, anchors = torch.randn(6, 8), classifiers.orthonormal_anchors(3, 8, seed=0)
    assert torch.allclose(classifiers.l2(h, anchors), -torch.cdist(h, anchors).square(), atol=1e-4)


def test_l2_and_cosine_agree_on_unit_vectors_at_half_the_temperature():
    """|h - e|^2 = 2 - 2 cos, so l2 at tau is cosine at tau / 2."""
    h = F.normalize(torch.randn(50, 16, dtype=torch.float64), dim=-1)
    anchors = classifiers.orthonormal_anchors(10, 16, seed=0).double()
    by_distance = F.softmax(classifiers.l2(h, anchors) / 0.2, dim=-1)
    by_angle = F.softmax(classifiers.cosine(h, anchors) / 0.1, dim=-1)
    assert torch.allclose(by_distance, by_angle, atol=1e-6)
    longer = F.softmax(classifiers.l2(3 * h, anchors) / 0.2, dim=-1)
    assert not torch.allclose(longer, by_angle, atol=1e-3)  # the length of h counts for l2 ...
    assert torch.allclose(F.softmax(classifiers.cosine(3 * h, anchors) / 0.1, dim=-1), by_angle)  # ... only


def test_a_layer_is_what_the_docstring_describes(batch):
    x, _ = batch
    model = greedy()
    outputs = model.activations(x)
    for layer, before, found in zip(model.hidden, [x, *outputs], outputs, strict=False):
        u = before / before.norm(dim=1, keepdim=True)
        assert torch.allclose(found, (u @ layer.weight.T + layer.bias).clamp(min=0) + u, atol=1e-6)


def test_a_first_layer_of_another_width_adds_nothing(batch):
    x, _ = batch
    model = greedy(shape=Shape(inputs=12, classes=5, layers=4, width=20))
    first = model.activations(x)[0]
    assert torch.equal(first, F.relu(model.hidden[0](F.normalize(x, dim=-1))))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("similarity", ["cosine", "l2"])
def test_the_loss_of_a_layer_is_zero_gradient_to_all_others(batch, variant, similarity):
    model = greedy(variant, similarity)
    for index, loss in enumerate(model.losses(*batch)):
        for other, layer in enumerate(model.hidden):
            gradients = torch.autograd.grad(loss, list(layer.parameters()), retain_graph=True, allow_unused=True)
            if other == index:
                assert any(gradient.abs().max() > 0 for gradient in gradients)
            else:
                assert all(gradient is None or not gradient.any() for gradient in gradients)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loss_is_cross_entropy_minus_lambda_times_the_difference(batch, variant):
    x, y = batch
    model = greedy(variant)
    q = [log_q.detach().double().exp() for log_q in model.predictions(x)]

    def entropy(p, r):
        return -(p * r.log()).sum(1)

    for index, loss in enumerate(model.losses(x, y)):
        expected = -q[index][range(7), y].log()
        if index < 3:
            mine, following = q[index], q[index + 1]
            middle = (mine + following) / 2
            difference = {
                "ce_i_next": entropy(mine, following),
                "ce_next_i": entropy(following, mine),
                "js": entropy(middle, middle) - entropy(mine, mine) / 2 - entropy(following, following) / 2,
                "sym_kl": entropy(mine, following) - entropy(mine, mine)
                + entropy(following, mine) - entropy(following, following),
            }[variant]  # fmt: skip
            expected = expected - LAMBDAS[index] * difference
        assert loss.item() == pytest.approx(expected.mean().item(), abs=1e-4)


def test_the_gradient_of_a_layer_takes_the_next_answer_for_given(batch):
    """By finite differences of the loss with q_next held fixed, for the variant whose q_next could move most."""
    x, y = batch
    model = greedy("ce_next_i").double()
    x = x.double()
    fixed = model.predictions(x)[1].detach()
    loss = model.losses(x, y)[0]
    weight = model.hidden[0].weight
    (gradient,) = torch.autograd.grad(loss, weight)

    def value(shift: float) -> float:
        with torch.no_grad():
            weight[2, 3] += shift
            log_q = model.predictions(x)[0]
            weight[2, 3] -= shift
            return (F.nll_loss(log_q, y) - LAMBDAS[0] * classifiers.cross_entropy(fixed, log_q).mean()).item()

    assert gradient[2, 3].item() == pytest.approx((value(1e-6) - value(-1e-6)) / 2e-6, rel=1e-4, abs=1e-8)


def trained(model: Greedy, steps: int = 5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    optimizers = [torch.optim.AdamW(part.parameters(), lr=1e-2) for part in model.parts()]
    for _ in range(steps):
        x, y = torch.rand(16, 12, generator=generator), torch.randint(5, (16,), generator=generator)
        for loss, optimizer in zip(model.losses(x, y), optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def test_with_lambda_zero_the_variants_are_the_same_bit_for_bit():
    first, *others = (trained(greedy(variant, lambdas=[0.0, 0.0, 0.0])) for variant in VARIANTS)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_with_lambda_all_variants_differ():
    weights = [trained(greedy(variant)) for variant in VARIANTS]
    for one, other in itertools.combinations(weights, 2):
        assert not torch.equal(one[0], other[0])


def test_an_mlp_is_trained_through_all_its_layers(batch):
    torch.manual_seed(0)
    model = MLP(SHAPE, "cosine", 0.1, 0)
    (loss,) = model.losses(*batch)
    loss.backward()
    assert all(layer.weight.grad.abs().max() > 0 for layer in model.hidden)
    assert model.anchors.grad is None and not any(p is model.anchors for p in model.parameters())


def test_greedy_refuses_lambdas_for_other_layers():
    with pytest.raises(ValueError, match="2 lambdas for 4 layers"):
        greedy(lambdas=[0.1, 0.1])


# What the research questions measure.


def test_participation_ratio_counts_directions():
    line = torch.arange(10.0).double()[:, None] * torch.tensor([[1.0, 2.0, 3.0]]).double()
    assert participation_ratio(line) == pytest.approx(1)
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3))).double()
    assert participation_ratio(corners) == pytest.approx(3)
    stretched = corners * torch.tensor([2.0, 1.0, 0.0]).double()  # eigenvalues 4 : 1 : 0
    assert participation_ratio(stretched) == pytest.approx(25 / 17)
    assert participation_ratio(torch.ones(5, 3).double()) == 0


def test_cka_sees_through_rotation_and_scale_and_nothing_else():
    one = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = 3 * one @ classifiers.orthonormal_anchors(6, 6, seed=4).double() + 1
    assert cka(one, turned) == pytest.approx(1, abs=1e-6)
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2))).double()
    assert cka(corners[:, :1], corners[:, 1:]) == pytest.approx(0, abs=1e-12)
    assert cka(corners[:, :1], corners) == pytest.approx(1 / math.sqrt(2))


def test_a_probe_reads_what_is_linear_and_only_that():
    corners = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=2))).double().repeat(5, 1)
    first = (corners[:, 0] > 0).long()
    either = (corners[:, 0] * corners[:, 1] > 0).long()  # exclusive or: no line separates them
    assert probe_accuracy(corners, first, corners, first, 2) == 1
    assert probe_accuracy(corners, either, corners, either, 2) <= 0.5
