"""GPT-2 from local files computes what its published formulas say, on weights that are drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.diffusion.evaluation.perplexity import perplexity
from pipelines.diffusion.export import safetensors
from pipelines.diffusion.sampling.gpt2 import is_gpt2, load_gpt2
from pipelines.diffusion.text.vocabulary import Characters
from pipelines.shared.errors import InputError

CPU = torch.device("cpu")
LAYERS, HEADS, WIDTH, LENGTH = 2, 2, 16, 12
VOCABULARY = Characters(tuple("abcdef"))


@pytest.fixture
def folder(tmp_path) -> Path:
    torch.manual_seed(0)
    weights = {
        "wte.weight": torch.randn(7, WIDTH), "wpe.weight": torch.randn(LENGTH, WIDTH) / 3,
        "ln_f.weight": 1 + torch.randn(WIDTH) / 5, "ln_f.bias": torch.randn(WIDTH) / 5,
    }  # fmt: skip
    for number in range(LAYERS):
        for norm in ("ln_1", "ln_2"):
            weights[f"h.{number}.{norm}.weight"] = 1 + torch.randn(WIDTH) / 5
            weights[f"h.{number}.{norm}.bias"] = torch.randn(WIDTH) / 5
        for name, into, out in (("attn.c_attn", 1, 3), ("attn.c_proj", 1, 1), ("mlp.c_fc", 1, 4), ("mlp.c_proj", 4, 1)):
            weights[f"h.{number}.{name}.weight"] = torch.randn(into * WIDTH, out * WIDTH) / 4
            weights[f"h.{number}.{name}.bias"] = torch.randn(out * WIDTH) / 4
    (tmp_path / "model.safetensors").write_bytes(safetensors(weights, {"format": "pt"}))
    config = {"model_type": "gpt2", "n_positions": LENGTH, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH}
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(weights, tmp_path / "weights.pt")
    return tmp_path


def logits(weights: dict[str, Tensor], ids: Tensor) -> Tensor:  # (B, T) -> (B, T, V)
    """Radford et al. 2019, as OpenAI's gpt-2/src/model.py has it."""
    B, T = ids.shape

    def norm(x: Tensor, name: str) -> Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def conv1d(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = weights["wte.weight"][ids] + weights["wpe.weight"][:T]
    for number in range(LAYERS):
        q, k, v = conv1d(norm(x, f"h.{number}.ln_1"), f"h.{number}.attn.c_attn").split(WIDTH, dim=-1)
        q, k, v = (z.view(B, T, HEADS, -1).transpose(1, 2) for z in (q, k, v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(WIDTH / HEADS)
        scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
        x = x + conv1d((scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, WIDTH), f"h.{number}.attn.c_proj")
        h = conv1d(norm(x, f"h.{number}.ln_2"), f"h.{number}.mlp.c_fc")
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + conv1d(h, f"h.{number}.mlp.c_proj")
    return norm(x, "ln_f") @ weights["wte.weight"].T


def test_the_likelihood_of_a_text_is_that_of_the_published_formulas(folder):
    assert is_gpt2(folder)
    weights = torch.load(folder / "weights.pt", weights_only=True)
    scorer = load_gpt2(folder, CPU, VOCABULARY)
    text = "abcfedaabb"
    ids = torch.tensor([VOCABULARY.encode(text)])
    expected = logits(weights, F.pad(ids[:, :-1], (1, 0), value=6))  # 6 is <|endoftext|>
    assert torch.allclose(scorer.predict(ids), expected, atol=1e-4)
    found = perplexity([text], scorer, CPU)
    assert found.exact
    assert found.nats_per_character == pytest.approx(F.cross_entropy(expected[0], ids[0]).item(), rel=1e-4)


def test_other_folders_are_one_sentence(folder, tmp_path):
    (folder / "model.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(InputError, match="does not have GPT-2 as"):
        load_gpt2(folder, CPU, VOCABULARY)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    assert not is_gpt2(folder) and not is_gpt2(tmp_path / "none")
