"""The autoregressive baseline: its likelihood is exact, and what it draws has that likelihood."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from model import sampling
from model.autoregression import negative_log_likelihoods, shifted
from model.drawing import Draw
from model.transformer import Shape, Transformer
from pipelines.diffusion.batches import Batch
from pipelines.diffusion.evaluation.exact_likelihood import evaluate_full
from pipelines.diffusion.evaluation.perplexity import perplexity
from pipelines.diffusion.next_token import NextToken
from pipelines.diffusion.sampling.load import TrainedModel
from pipelines.diffusion.settings import DiffusionSettings, unread
from pipelines.diffusion.text.open import open_dataset
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.diffusion.train_state import BatchLoss, loss_of, shape_of
from tests.entry_points.test_sample import draw
from tests.pipelines.diffusion.test_training import rows_of, text, train_here

__all__ = ["draw", "text"]  # fixtures
CPU = torch.device("cpu")
SIZE, LENGTH = 3, 4
TEXTS = torch.tensor(list(itertools.product(range(SIZE), repeat=LENGTH)))  # (81, 4): all there are


@pytest.fixture(scope="module")
def model() -> Transformer:
    """A causal network in which everything is connected, convolutions too."""
    torch.manual_seed(0)
    shape = Shape(SIZE + 1, SIZE, LENGTH, n_layer=2, n_head=2, n_embd=16, attention_type="causal", conv_width=3)
    found = Transformer(shape).eval().requires_grad_(False)
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return found


def test_the_probabilities_of_all_texts_add_up_to_one(model):
    """Exact: a likelihood, not a bound. By the chain rule, token by token, each prefix alone."""
    losses, _ = negative_log_likelihoods(model, TEXTS, SIZE)
    assert (-losses.double().sum(1)).exp().sum().item() == pytest.approx(1, abs=1e-5)
    row = TEXTS[41]
    by_prefix = [
        -model(torch.tensor([[SIZE, *row[:place].tolist()]]))[0, -1].log_softmax(-1)[row[place]].item()
        for place in range(LENGTH)
    ]
    assert losses[41].tolist() == pytest.approx(by_prefix, abs=1e-5)


def test_the_full_validation_is_the_likelihood_of_all_windows_and_of_the_rest(model):
    tokens = np.random.default_rng(0).integers(SIZE, size=30).astype(np.uint16)
    found = evaluate_full(model, tokens, LENGTH, mask_id=SIZE, device=CPU, dtype=torch.float32)
    pieces = [torch.from_numpy(tokens[at : at + LENGTH].astype(np.int64))[None] for at in range(0, 30, LENGTH)]
    total = sum(negative_log_likelihoods(model, piece, SIZE)[0].sum().item() for piece in pieces)
    assert found.loss == pytest.approx(total / 30, rel=1e-5)
    assert "all 7 windows" in found.what and "last 2 tokens" in found.what
    halves = replace(found, characters_per_token=2.0)
    assert halves.bits_per_character == pytest.approx(total / 30 / math.log(2) / 2, rel=1e-5)


def test_what_is_drawn_has_the_likelihood_that_is_evaluated(model):
    """Through the network as sample.py asks it, against the enumeration of all texts."""
    trained = TrainedModel(model, Characters(("a", "b", "c")), {"training_type": "ar"}, None, "")
    start = torch.full((20_000, LENGTH), SIZE)
    left_to_right = partial(sampling.left_to_right, mask_id=SIZE, draw=Draw([torch.Generator().manual_seed(1)]))
    *_, last = left_to_right(trained.predict, start, start == SIZE)
    expected = (-negative_log_likelihoods(model, TEXTS, SIZE)[0].double().sum(1)).exp() * len(last)
    observed = torch.bincount((last * SIZE ** torch.arange(LENGTH - 1, -1, -1)).sum(1), minlength=len(TEXTS))
    # Of 80 degrees of freedom, a chi-square statistic is above this once in ten thousand times.
    assert float(((observed - expected) ** 2 / expected).sum()) < 133


def test_the_loss_of_a_batch_is_the_mean_likelihood_of_its_windows(text):
    settings = DiffusionSettings(
        dataset=str(text), training_type="ar", block_size=16, batch_size=4, n_layer=1, n_head=2, n_embd=16, device="cpu"
    )
    data = open_dataset(str(text))
    network = Transformer(shape_of(settings, data.vocab_size)).eval()
    torch.nn.init.normal_(network.head.weight)
    assert network.shape.attention_type == "causal"
    batch: Batch = NextToken(settings, data, CPU, torch.float32).draw(3, 0, 0)
    windows = batch.targets.view(4, 16)
    assert torch.equal(batch.inputs, shifted(windows, data.mask_id))
    expected = negative_log_likelihoods(network, windows, data.mask_id)[0].mean()
    assert loss_of(BatchLoss(network, CPU, torch.float32), batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_half_precision_computes_the_same_causal_attention():
    from model.attention import attend

    q, k, v = torch.randn(3, 2, 12, 2, 8).bfloat16().requires_grad_()
    plain = attend(q, k, v, causal=True, normalised=True, dropout=0.0)
    with torch.no_grad():
        fused = attend(q, k, v, causal=True, normalised=True, dropout=0.0)
    assert torch.allclose(plain, fused, atol=0.03)


def test_generative_perplexity_is_the_likelihood_of_the_texts(model):
    letters = Characters(("a", "b", "c"))
    trained = TrainedModel(model, letters, {"training_type": "ar"}, Path("model"), "")
    found = perplexity(["abca", "ca"], trained, CPU)
    total = sum(
        negative_log_likelihoods(model, torch.tensor([letters.encode(text)]), SIZE)[0].sum() for text in ("abca", "ca")
    )
    assert found.exact and found.nats_per_character == pytest.approx(total.item() / 6, rel=1e-5)
    assert found.perplexity_per_token == pytest.approx(math.exp(total.item() / 6), rel=1e-5)


def test_generative_perplexity_of_a_masked_model_is_its_bound():
    """A network that knows nothing but its answers' frequencies costs their entropy, whatever is masked."""
    network = Transformer(Shape(SIZE + 1, SIZE, LENGTH, 1, 1, 8, bias=True)).eval()
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([0.5, 0.25, 0.25]).log())
    trained = TrainedModel(network, Characters(("a", "b", "c")), {"training_type": "elbo"}, Path("model"), "")
    found = perplexity(["aabc", "aa", ""], trained, CPU)
    # The masks of a text choose which letters count, so a mean over ratios need not weigh all alike.
    assert not found.exact and 2.0 <= found.perplexity_per_token <= 4.0
    assert perplexity(["bcbcbc"], trained, CPU).perplexity_per_token == pytest.approx(4.0, rel=1e-5)


@pytest.mark.slow
def test_it_trains_resumes_bit_for_bit_and_draws(text, tmp_path, draw, capsys):
    changes = {"training_type": "ar", "conv_width": 3, "dropout": 0.0}
    assert train_here(text, tmp_path / "whole", max_iters=60, **changes) == 0
    printed = capsys.readouterr().out
    assert train_here(text, tmp_path / "parts", max_iters=33, **changes) == 0
    assert train_here(text, tmp_path / "parts", max_iters=60, init_from="resume", **changes) == 0
    whole, parts = (torch.load(tmp_path / name / "ckpt_ar_60.pt", weights_only=True) for name in ("whole", "parts"))
    assert all(torch.equal(whole["model"][key], parts["model"][key]) for key in whole["model"])
    final = rows_of(tmp_path / "whole")[-1]
    assert "bits per character (exact; all " in printed and final["final/loss"] < 2.3  # unigram: 2.7
    capsys.readouterr()
    folder = tmp_path / "whole"
    assert draw(folder, "--count=1", "--length=50", "--prompt=the ")[0].startswith("the ")
    assert draw(folder, "--count=1", "--infill=the {5}")[0].startswith("the ")
    one_by_one = draw(folder, "--count=3", "--batch_size=1")[0]
    assert one_by_one == draw(folder, "--count=3", "--batch_size=3")[0]
    printed = draw(folder, "--count=2", f"--perplexity={folder}", f"--out={tmp_path / 'out.jsonl'}")[0]
    measured = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[-1])["perplexity"]
    assert measured["exact"] and f"{measured['nats_per_character']:.4f} nats per character" in printed
    assert measured["nats_per_character"] == pytest.approx(final["final/loss"], rel=0.3)
    assert "leave out steps" in draw(folder, "--steps=5", code=2)[1]
    assert "does not see what follows a gap" in draw(folder, "--infill=the {5} end", code=2)[1]


def test_keys_of_masks_are_not_read():
    keys = unread(DiffusionSettings(training_type="ar").model_dump())
    assert {"unmasking_stages", "attention_type", "max_loss_weight", "corruption_type"} <= keys
    assert "learning_rate" not in keys
