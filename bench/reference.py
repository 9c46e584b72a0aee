"""What the trainer is compared with: the architecture and the recipe of nanoGPT, plainly written.

Learned positions, LayerNorm, GELU, attention by torch's fused kernel, AdamW (fused) with clipped gradients, batches
stacked from windows of a memory-mapped file. Attention looks both ways, as ours does, so that the FLOPs are equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        B, T, C = x.shape
        q, k, v = (
            z.view(B, T, self.heads, C // self.heads).transpose(1, 2) for z in self.qkv(self.norm_1(x)).split(C, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v)
        x = x + self.out(y.transpose(1, 2).contiguous().view(B, T, C))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Reference(nn.Module):
    def __init__(self, tokens_in: int, tokens_out: int, length: int, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(tokens_in, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList(Layer(width, heads) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, tokens_out, bias=False)
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                small = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if small else 0.02)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:  # (B, T), (B, T) -> () mean cross-entropy
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for layer in self.layers:
            x = layer(x)
        return F.cross_entropy(self.head(self.norm(x)).float().flatten(0, 1), targets.flatten())


def optimizer_of(model: nn.Module, rate: float) -> torch.optim.AdamW:
    decaying = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decaying, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), fused=True)


def windows(tokens: np.ndarray, rows: int, length: int, device: torch.device) -> Iterator[Tensor]:  # (rows, length)
    """Windows that begin anywhere, stacked one by one, as they always are."""
    while True:
        starts = torch.randint(len(tokens) - length, (rows,))
        ids = torch.stack([torch.from_numpy(tokens[i : i + length].astype(np.int64)) for i in starts])
        yield ids.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else ids
