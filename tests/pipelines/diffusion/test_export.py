"""An exported model, loaded by a program that knows nothing of this project but docs/export.md."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import export as command
from model.transformer import Shape, Transformer
from pipelines.diffusion.export import export

TYPES = {"F32": (np.float32, 4), "BF16": (np.uint16, 2)}


def load(path: Path) -> dict[str, Tensor]:
    """As the format's description has it: eight bytes, a header of JSON, tensors."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    assert size % 8 == 0
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    assert header.pop("__metadata__") == {"format": "pt"}
    found, end = {}, 0
    for name, about in header.items():
        begin, stop = about["data_offsets"]
        assert begin == end
        end = stop
        kind, width = TYPES[about["dtype"]]
        array = np.frombuffer(data[begin:stop], dtype=kind).reshape(about["shape"])
        found[name] = torch.from_numpy(array.copy() if width == 4 else (array.astype(np.uint32) << 16).view(np.float32))
    assert end == len(data)
    return found


def logits(weights: dict[str, Tensor], config: dict, ids: Tensor) -> Tensor:
    """The formulas of docs/export.md, for the default norm and feed-forward."""
    T, C, H, width = ids.shape[1], config["n_embd"], config["n_head"], config["conv_width"]
    D = C // H
    angle = torch.outer(torch.arange(T), (4.0 * config["block_size"]) ** (-torch.arange(0, D, 2) / D))

    def normed(x: Tensor, weight: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight

    def mixed(h: Tensor, weight: Tensor) -> Tensor:
        left = width - 1 if config["attention_type"] == "causal" else width // 2
        padded = F.pad(h, (0, 0, left, width))
        return h + sum(padded[:, i : i + T] * weight[i] for i in range(width))

    def turned(x: Tensor) -> Tensor:  # (B, T, H, D)
        a, b = x.chunk(2, -1)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    x = weights["embedding.weight"][ids]
    for number in range(config["n_layer"]):
        own = {name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"blocks.{number}.")}
        h = mixed(normed(x, own["attention_norm.weight"]), own["attention_conv.weight"])
        q, k, v = (h @ own["attention.qkv.weight"].T).view(*ids.shape, 3, H, D).unbind(2)
        q, k = (turned(z / z.square().mean(-1, keepdim=True).sqrt()) for z in (q, k))
        scores = torch.einsum("bthd,bshd->bhts", q, k) * 1.4 / math.sqrt(D)
        if config["attention_type"] == "causal":
            scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -math.inf)
        a = torch.einsum("bhts,bshd->bthd", scores.softmax(-1), v).reshape(*ids.shape, C)
        x = x + a @ own["attention.out.weight"].T
        h = mixed(normed(x, own["feed_forward_norm.weight"]), own["feed_forward_conv.weight"])
        x = x + (h @ own["feed_forward.up.weight"].T).relu().square() @ own["feed_forward.out.weight"].T
    return normed(x, weights["norm.weight"]) @ weights["head.weight"].T


def checkpoint(folder: Path, attention_type: str) -> tuple[Path, Transformer]:
    torch.manual_seed(0)
    shape = Shape(5, 4, 12, n_layer=2, n_head=2, n_embd=16, conv_width=3, attention_type=attention_type)
    model = Transformer(shape).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    content = {
        "schema": 1, "shape": {name: getattr(shape, name) for name in shape.__slots__},
        "settings": {"training_type": "ar" if attention_type == "causal" else "elbo"},
        "state": {"best_val_loss": 1.0}, "model": model.state_dict(),
        "vocabulary": {"kind": "characters", "characters": list("abcd")},
    }  # fmt: skip
    torch.save(content, folder / "ckpt_elbo_1.pt")
    return folder / "ckpt_elbo_1.pt", model


@pytest.mark.parametrize("attention_type", ["bidirectional", "causal"])
def test_another_program_computes_the_same_logits(tmp_path, attention_type):
    path, model = checkpoint(tmp_path, attention_type)
    export(path, tmp_path / "out", torch.float32)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["vocabulary"]["characters"] == list("abcd") and config["mask_token_id"] == 4
    ids = torch.randint(5, (3, 12), generator=torch.Generator().manual_seed(1))
    found = logits(load(tmp_path / "out" / "model.safetensors"), config, ids)
    assert torch.allclose(found, model(ids), atol=1e-4)


def test_half_of_the_bytes_in_half_precision_and_the_average_where_there_is_one(tmp_path):
    path, model = checkpoint(tmp_path, "bidirectional")
    content = torch.load(path, weights_only=True)
    torch.save({**content, "ema": {"head.weight": torch.full((4, 16), 0.5)}}, path)
    export(path, tmp_path / "out", torch.bfloat16)
    found = load(tmp_path / "out" / "model.safetensors")
    assert (found["head.weight"] == 0.5).all()
    expected = model.state_dict()["embedding.weight"]
    assert torch.equal(found["embedding.weight"], expected.bfloat16().float())


def test_the_command_and_its_errors(tmp_path, monkeypatch, capsys):
    path, _ = checkpoint(tmp_path, "bidirectional")
    monkeypatch.setattr("sys.argv", ["export.py", str(path), f"--out={tmp_path / 'out'}"])
    assert command.main() == 0 and "parameters of" in capsys.readouterr().out
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"model.safetensors", "config.json"}
    monkeypatch.setattr("sys.argv", ["export.py", str(tmp_path / "none"), f"--out={tmp_path / 'out'}"])
    assert command.main() == 2 and "no such file or folder" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["export.py", str(path), f"--out={path}"])
    assert command.main() == 2 and "cannot write into" in capsys.readouterr().err
