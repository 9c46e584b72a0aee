"""GPT-2 from local files, as a model that measures texts. Downloads nothing.

A folder as it is published: config.json and model.safetensors, with the names of Hugging Face's transformers. GPT-2
(Radford et al. 2019) is our network with learned positions, LayerNorm, biases and the tanh form of GELU. <|endoftext|>,
the id after the last byte pair, comes before the first token, where our autoregressive models have the mask.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.transformer import Shape, Transformer
from pipelines.diffusion.sampling.load import TrainedModel
from pipelines.diffusion.text import byte_pairs
from pipelines.diffusion.text.vocabulary import BytePairs, Vocabulary
from pipelines.shared.errors import InputError

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def load_gpt2(folder: Path, device: torch.device, vocabulary: Vocabulary | None = None) -> TrainedModel:
    """Raises InputError. `vocabulary`: another one than GPT-2's byte pairs."""
    vocabulary = vocabulary or BytePairs("gpt2", byte_pairs.GPT2_PATTERN, byte_pairs.gpt2_tokens())
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        shape = Shape(
            tokens_in=vocabulary.size + 1, tokens_out=vocabulary.size + 1, block_size=config["n_positions"],
            n_layer=config["n_layer"], n_head=config["n_head"], n_embd=config["n_embd"], bias=True,
            attention_type="causal", use_rope=False, norm="layernorm", mlp="gelu_tanh", qk_norm=False,
        )  # fmt: skip
        model = Transformer(shape)
        model.load_state_dict(renamed(read_safetensors(folder / "model.safetensors"), shape.n_layer))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder} does not have GPT-2 as config.json and model.safetensors ({reason})") from error
    model = model.to(device).eval().requires_grad_(False)
    return TrainedModel(model, vocabulary, {"training_type": "ar"}, folder, "GPT-2")


def is_gpt2(folder: Path) -> bool:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "gpt2"


def renamed(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """GPT-2's weights under our names. Its matrices are (in, out), ours (out, in); its head is the embedding."""
    weights = {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
    found = {
        "embedding.weight": weights["wte.weight"],
        "positions.weight": weights["wpe.weight"],
        "norm.weight": weights["ln_f.weight"],
        "norm.bias": weights["ln_f.bias"],
        "head.weight": weights["wte.weight"],
        "head.bias": torch.zeros(len(weights["wte.weight"])),
    }
    names = {
        "attention_norm": "ln_1", "feed_forward_norm": "ln_2", "attention.qkv": "attn.c_attn",
        "attention.out": "attn.c_proj", "feed_forward.up": "mlp.c_fc", "feed_forward.out": "mlp.c_proj",
    }  # fmt: skip
    for number in range(layers):
        for ours, theirs in names.items():
            weight = weights[f"h.{number}.{theirs}.weight"]
            found[f"blocks.{number}.{ours}.weight"] = weight.T if weight.dim() == 2 else weight
            found[f"blocks.{number}.{ours}.bias"] = weights[f"h.{number}.{theirs}.bias"]
    return found


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors in float32; what has another type, such as stored causal masks, is left out. Raises ValueError."""
    with path.open("rb") as file:
        if (size := int.from_bytes(file.read(8), "little")) > path.stat().st_size:
            raise ValueError(f"{path.name} is not a file of safetensors, or is truncated")
        header: dict[str, Any] = json.loads(file.read(size))
        data = bytearray(file.read())
    found = {}
    for name, about in header.items():
        if name != "__metadata__" and about["dtype"] in DTYPES:
            begin, end = about["data_offsets"]
            values = torch.frombuffer(data[begin:end], dtype=DTYPES[about["dtype"]])
            found[name] = values.view(about["shape"]).float()
    return found
