"""The network and its objectives: what it sees, what it must not see, and what a guess costs."""

import math

import pytest
import torch

from model.attention import rotate, rotation_table
from model.diffusion import (
    elbo_weights,
    gather_masked,
    masked_cross_entropy,
    masked_positions,
    unmasking_weights,
    weighted_cross_entropy,
)
from model.masks import apply_mask
from model.transformer import Shape, Transformer
from pipelines.diffusion.settings import DiffusionSettings, parameter_count
from pipelines.diffusion.train_state import shape_of

VOCABULARY = 11
SMALL = {
    "tokens_in": VOCABULARY + 1,
    "tokens_out": VOCABULARY,
    "block_size": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 16,
}


def elbo_loss(logits: torch.Tensor, ids: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return loss_by(elbo_weights(masks[None]), logits, ids, masks)


def unmasking_loss(logits: torch.Tensor, ids: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    return loss_by(unmasking_weights(masks[None]), logits, ids, masks)


def loss_by(weights: torch.Tensor, logits: torch.Tensor, ids: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """As a training takes it: at positions that are gathered, a few open ones among them."""
    at = masked_positions(masks[None], int(masks.sum()) + 5)
    targets, weights = gather_masked(ids[None], at)[0], gather_masked(weights, at)[0]
    return weighted_cross_entropy(logits.flatten(0, 1)[at[0]], targets, weights)


def network(**changes) -> Transformer:
    """A network in which everything is connected: a fresh one begins as the identity."""
    torch.manual_seed(0)
    model = Transformer(Shape(**{**SMALL, **changes})).eval()
    for parameter in model.parameters():
        if parameter.dim() >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def rows(count: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randint(VOCABULARY, (count, 16)), torch.rand(count, 16) < 0.4


def test_a_fresh_network_guesses_uniformly():
    model = Transformer(Shape(**SMALL))
    ids, masks = rows()
    logits = model(apply_mask(ids, masks, VOCABULARY))
    assert logits.shape == (3, 16, VOCABULARY)
    assert unmasking_loss(logits, ids, masks).item() == pytest.approx(math.log(VOCABULARY), abs=1e-6)
    assert elbo_loss(logits, ids, masks).item() == pytest.approx(math.log(VOCABULARY), abs=1e-6)


def test_the_tokens_under_the_masks_never_change_the_logits():
    model = network()
    ids, masks = rows()
    others = torch.where(masks, (ids + 1) % VOCABULARY, ids)
    assert torch.equal(model(apply_mask(ids, masks, VOCABULARY)), model(apply_mask(others, masks, VOCABULARY)))
    shown = torch.where(masks, ids, (ids + 1) % VOCABULARY)
    assert not torch.equal(model(apply_mask(ids, masks, VOCABULARY)), model(apply_mask(shown, masks, VOCABULARY)))


@pytest.mark.parametrize("use_rope", [True, False])
@pytest.mark.parametrize(("attention_type", "looks_ahead"), [("bidirectional", True), ("causal", False)])
def test_only_bidirectional_attention_looks_ahead(attention_type, looks_ahead, use_rope):
    model = network(attention_type=attention_type, use_rope=use_rope)
    ids, _ = rows()
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % VOCABULARY
    first, first_changed = model(ids)[:, 0], model(changed)[:, 0]
    assert torch.equal(first, first_changed) is not looks_ahead
    assert not torch.equal(model(ids)[:, -1], model(changed)[:, -1])


@pytest.mark.parametrize("use_rope", [True, False])
def test_positions_matter(use_rope):
    model = network(use_rope=use_rope)
    ids, _ = rows()
    assert not torch.allclose(model(ids).flip(1), model(ids.flip(1)), atol=1e-3)


def test_rotary_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    cos, sin = rotation_table(32, 8)
    q, k = torch.randn(8), torch.randn(8)
    turned = rotate(torch.stack((q, k)).expand(1, 32, 2, 8)[:, :, :, None], cos, sin)[0, :, :, 0]  # (T, 2, D)
    products = turned[:, 0] @ turned[:, 1].T  # (T, T)
    for distance in (-5, 0, 3):
        diagonal = products.diagonal(distance)
        assert torch.allclose(diagonal, diagonal[0].expand_as(diagonal), atol=1e-4)


@pytest.mark.parametrize("objective", [unmasking_loss, elbo_loss])
def test_only_masked_positions_are_learned_from(objective):
    ids, masks = rows()
    logits = torch.randn(3, 16, VOCABULARY, requires_grad=True)
    objective(logits, ids, masks).backward()
    touched = logits.grad.abs().sum(-1) > 0
    assert torch.equal(touched, masks)


def test_unmasking_counts_positions_and_elbo_counts_rows():
    ids, masks = rows()
    logits = torch.randn(3, 16, VOCABULARY)
    losses = masked_cross_entropy(logits, ids, masks)
    assert unmasking_loss(logits, ids, masks) == pytest.approx(losses[masks].mean().item(), rel=1e-5)
    # Weight 1/t on each row's sum, t = l/L: by hand, row by row.
    by_hand = [losses[i].sum() / (masks[i].sum() / 16) / 16 for i in range(3)]
    assert elbo_loss(logits, ids, masks) == pytest.approx(float(sum(by_hand) / 3), rel=1e-5)


@pytest.mark.parametrize("changes", [
    {}, {"bias": True}, {"use_rope": False}, {"bias": True, "n_layer": 3}, {"mlp": "swiglu", "bias": True},
    {"norm": "layernorm"}, {"norm": "layernorm", "bias": True, "mlp": "gelu"}, {"conv_width": 5},
])  # fmt: skip
def test_the_parameter_count_of_the_settings_is_that_of_the_network(changes):
    settings = DiffusionSettings(**{"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 32, **changes})
    model = Transformer(shape_of(settings, VOCABULARY))
    assert model.parameter_count() == parameter_count(settings, VOCABULARY)


def test_dropout_is_off_in_evaluation():
    model = Transformer(Shape(**SMALL), dropout=0.5)
    torch.nn.init.normal_(model.head.weight)
    ids, _ = rows()
    assert not torch.equal(model.train()(ids), model(ids))
    assert torch.equal(model.eval()(ids), model(ids))
