"""Block diffusion against enumeration, against its two limits, and against what its sampler draws."""

from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from model import sampling
from model.block_diffusion import continued, in_blocks_with_past, two_stream_mask
from model.drawing import Draw
from model.transformer import Shape, Transformer
from pipelines.diffusion.block_prediction import BlockPrediction
from pipelines.diffusion.evaluation.block_loss import evaluate_full, masks_of_pass
from pipelines.diffusion.settings import DiffusionSettings, unread
from pipelines.diffusion.text.open import open_dataset
from tests.entry_points.test_sample import draw
from tests.pipelines.diffusion.test_training import rows_of, text, train_here

__all__ = ["draw", "text"]  # fixtures
CPU = torch.device("cpu")
SIZE, LENGTH = 3, 4
MASK = SIZE
TEXTS = torch.tensor(list(itertools.product(range(SIZE), repeat=LENGTH)))  # (81, 4): all there are


def network(block_length: int, **changes) -> Transformer:
    """One in which everything is connected; equal weights for every block_length."""
    torch.manual_seed(0)
    shape = Shape(
        SIZE + 1, SIZE, LENGTH, **{"n_layer": 2, "n_head": 2, "n_embd": 16, **changes}, block_length=block_length
    )
    found = Transformer(shape).eval().requires_grad_(False)
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return found


def losses_under(model: Transformer, ids: Tensor, masks: Tensor) -> Tensor:  # (B, T), (B, T) -> (B, T) nats
    logits = model(torch.cat((ids.masked_fill(masks, MASK), ids), dim=1))
    found = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), reduction="none")
    return found.view(ids.shape) * masks


def exact_bound(model: Transformer, row: Tensor, block: int) -> float:
    """-ELBO of a row in nats: for each block the mean over sizes of the mean over masks, times its length."""
    total = 0.0
    for start in range(0, LENGTH, block):
        for size in range(1, block + 1):
            chosen = list(itertools.combinations(range(start, start + block), size))
            masks = torch.zeros(len(chosen), LENGTH, dtype=torch.bool)
            for i, places in enumerate(chosen):
                masks[i, list(places)] = True
            losses = losses_under(model, row.expand(len(chosen), -1), masks)
            total += losses.sum(1).mean().item() / size
    return total


def test_the_mask_of_two_streams_is_that_of_the_paper():
    """BD3-LM: a masked block sees itself and the clean blocks before it, a clean one the clean ones up to itself."""
    found = two_stream_mask(6, 2, CPU)
    for query, key in itertools.product(range(12), repeat=2):
        block_q, block_k = query % 6 // 2, key % 6 // 2
        if query < 6:
            expected = block_q == block_k if key < 6 else block_k < block_q
        else:
            expected = key >= 6 and block_k <= block_q
        assert found[query, key].item() is expected


@pytest.mark.parametrize("use_rope", [True, False])
def test_no_block_sees_what_follows_it_nor_what_its_masks_hide(use_rope):
    model = network(2, use_rope=use_rope)
    ids = torch.tensor([[0, 1, 2, 0]])
    masks = torch.tensor([[True, False, True, True]])
    found = model(torch.cat((ids.masked_fill(masks, MASK), ids), 1))
    later = torch.tensor([[0, 1, 1, 1]])
    changed = model(torch.cat((later.masked_fill(masks, MASK), later), 1))
    assert torch.equal(found[:, :2], changed[:, :2])
    under = torch.tensor([[1, 1, 2, 0]])  # the masked token of the first block
    changed = model(torch.cat((under.masked_fill(masks, MASK), under), 1))
    assert torch.equal(found[:, :2], changed[:, :2]) and not torch.equal(found[:, 2:], changed[:, 2:])


def test_blocks_of_one_are_an_exact_likelihood():
    """The probabilities of all texts add up to one, as only an autoregressive model's do."""
    model = network(1)
    losses = losses_under(model, TEXTS, torch.ones_like(TEXTS, dtype=torch.bool))
    assert (-losses.double().sum(1)).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_one_block_is_the_plain_model():
    plain, blocks = network(0), network(LENGTH)
    masked = torch.randint(SIZE + 1, (5, LENGTH))
    assert torch.allclose(blocks(torch.cat((masked, masked * 0), 1)), plain(masked), atol=1e-5)


@pytest.mark.parametrize("block", [1, 2, 4])
def test_what_the_training_draws_has_the_expectation_of_the_enumeration(text, block):
    settings = DiffusionSettings(
        dataset=str(text), training_type="block", block_length=block, block_size=LENGTH, batch_size=4000, device="cpu"
    )
    objective = BlockPrediction(settings, open_dataset(str(text)), CPU, torch.float32)
    batch = objective.draw(0, 0, 0)
    hidden = torch.zeros(4000 * LENGTH).scatter_(0, batch.at, (batch.weights > 0).float()).bool().view(4000, LENGTH)
    weights = torch.zeros(4000 * LENGTH).scatter_(0, batch.at, batch.weights).view(4000, LENGTH)
    assert weights.sum().item() == pytest.approx(1, abs=1e-4)
    model, row = network(block), torch.tensor([0, 2, 1, 1])
    per_row = (losses_under(model, row.expand(4000, -1), hidden) * weights).sum(1) * 4000
    error = per_row.std().item() / math.sqrt(4000)
    assert abs(per_row.mean().item() - exact_bound(model, row, block) / LENGTH) < 4 * error + 1e-6


@pytest.mark.parametrize("block", [1, 2, 4])
def test_the_full_validation_agrees_with_the_enumeration(block):
    model = network(block)
    rng = torch.Generator().manual_seed(3)
    rows = torch.randint(SIZE, (200, LENGTH), generator=rng)
    found = evaluate_full(
        model, rows.flatten().numpy(), LENGTH, block_length=block, mask_id=MASK, device=CPU, dtype=torch.float32
    )
    exact = {tuple(row.tolist()): exact_bound(model, row, block) / LENGTH for row in rows.unique(dim=0)}
    expected = sum(exact[tuple(row)] for row in rows.tolist()) / len(rows)
    assert abs(found.loss - expected) < 5 * found.standard_error + 1e-5
    assert found.standard_error < 0.05


def test_tokens_after_the_last_window_count_and_what_fills_it_up_does_not():
    ids = torch.tensor([[0, 1, 2, MASK], [0, MASK, MASK, MASK]])
    for number in range(10):
        masks, weights = masks_of_pass(ids, 2, MASK, number)
        assert not masks[ids == MASK].any()
        assert (weights[~masks] == 0).all() and masks[0, :2].any() and masks[0, 2] and masks[1, 0]
        assert torch.allclose(weights.sum(1), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("block", [1, 2, 4])
def test_the_sampler_with_its_past_computes_what_the_two_streams_compute(block):
    model = network(block)
    ids = torch.randint(SIZE, (3, LENGTH), generator=torch.Generator().manual_seed(1))
    masks = torch.rand(3, LENGTH, generator=torch.Generator().manual_seed(2)) < 0.6
    both = model(torch.cat((ids.masked_fill(masks, MASK), ids), 1))
    past: list = []
    for start in range(0, LENGTH, block):
        here = slice(start, start + block)
        assert torch.allclose(continued(model, ids[:, here].masked_fill(masks[:, here], MASK), past)[0],
                              both[:, here], atol=1e-5)  # fmt: skip
        past = continued(model, ids[:, here], past)[1]


def test_what_is_drawn_has_the_probabilities_of_the_enumeration():
    """First-hitting in each block: the mean over the orders within blocks of the product of conditionals."""
    model = network(2)
    expected = torch.zeros(len(TEXTS), dtype=torch.float64)
    for orders in itertools.product(([0, 1], [1, 0]), ([2, 3], [3, 2])):
        chance = torch.ones(len(TEXTS), dtype=torch.float64)
        for order in orders:
            seen = TEXTS.clone()
            seen[:, order[0] // 2 * 2 :] = MASK
            for place in order:
                logits = model(torch.cat((seen, TEXTS), 1))[:, place]
                chance *= logits.softmax(-1).double().gather(1, TEXTS[:, place : place + 1])[:, 0]
                seen[:, place] = TEXTS[:, place]
        expected += chance / 4
    assert expected.sum().item() == pytest.approx(1, abs=1e-5)
    inner = partial(sampling.first_hitting, mask_id=MASK, draw=Draw([torch.Generator().manual_seed(1)]), steps=2)
    start = torch.full((20_000, LENGTH), MASK)
    *_, last = in_blocks_with_past(inner, 2, mask_id=MASK)(partial(continued, model), start, start == MASK)
    observed = torch.bincount((last * SIZE ** torch.arange(LENGTH - 1, -1, -1)).sum(1), minlength=len(TEXTS))
    # Of 80 degrees of freedom, a chi-square statistic is above this once in ten thousand times.
    assert float(((observed - expected * 20_000) ** 2 / (expected * 20_000)).sum()) < 133


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(ValidationError, match="must be divisible by block_length"):
        DiffusionSettings(training_type="block", block_size=64, block_length=48)
    with pytest.raises(ValidationError, match="needs conv_width = 0"):
        DiffusionSettings(training_type="block", conv_width=3)
    assert "block_length" in unread(DiffusionSettings(training_type="elbo").model_dump())
    assert "block_length" not in unread(DiffusionSettings(training_type="block").model_dump())


@pytest.mark.slow
def test_it_trains_resumes_bit_for_bit_and_draws(text, tmp_path, draw, capsys):
    changes = {"training_type": "block", "block_length": 8, "dropout": 0.0}
    assert train_here(text, tmp_path / "whole", max_iters=60, **changes) == 0
    assert train_here(text, tmp_path / "parts", max_iters=33, **changes) == 0
    assert train_here(text, tmp_path / "parts", max_iters=60, init_from="resume", **changes) == 0
    whole, parts = (torch.load(tmp_path / name / "ckpt_block_60.pt", weights_only=True) for name in ("whole", "parts"))
    assert all(torch.equal(whole["model"][key], parts["model"][key]) for key in whole["model"])
    assert rows_of(tmp_path / "whole")[-1]["final/loss"] < 2.8
    capsys.readouterr()
    folder = tmp_path / "whole"
    for options in (
        [],
        ["--sampler=ancestral", "--steps=12"],
        ["--sampler=remasking", "--steps=40", "--remask=confidence"],
    ):
        found = draw(folder, "--count=1", "--length=45", "--prompt=the cat sat", *options)[0]
        assert found.startswith("the cat sat") and len(found) >= 45
    assert draw(folder, "--count=3", "--batch_size=1")[0] == draw(folder, "--count=3", "--batch_size=3")[0]
    assert "nats per character" in draw(folder, "--count=1", f"--perplexity={folder}")[0]
    assert "leave out block_length" in draw(folder, "--block_length=4", code=2)[1]
    assert "does not see what follows a gap" in draw(folder, "--infill=the {5} end", code=2)[1]
