"""A pre-norm transformer over token ids. Knows nothing of masks, losses or files.

RMSNorm: Zhang and Sennrich 2019. Normalised queries and keys: Henry et al. 2020. Rotary positions: Su et al. 2021.
Squared ReLU: So et al. 2021 (Primer).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Queries and keys have norm sqrt(D) each, so this bounds what attention can say at sqrt(D) times as much; 1 to 3 learn
# alike, none at all learns markedly slower.
QK_SCALE = 1.4


@dataclass(frozen=True, slots=True)
class Shape:
    """What fixes the network: two checkpoints fit each other when their shapes are equal."""

    tokens_in: int  # rows of the embedding: the vocabulary and the mask
    tokens_out: int  # classes of the head: the vocabulary, since a mask is never an answer; or what a corrector says
    block_size: int
    n_layer: int
    n_head: int
    n_embd: int
    bias: bool = False
    attention_type: Literal["bidirectional", "causal"] = "bidirectional"
    use_rope: bool = True


class Attention(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.n_head = shape.n_head
        self.causal = shape.attention_type == "causal"
        self.dropout = dropout
        self.qkv = nn.Linear(shape.n_embd, 3 * shape.n_embd, bias=shape.bias)
        self.out = nn.Linear(shape.n_embd, shape.n_embd, bias=shape.bias)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:  # (B, T, C) -> (B, T, C)
        B, T, C = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head)
        qk, v = F.rms_norm(qkv[:, :, :2], (C // self.n_head,)), qkv[:, :, 2]
        if rotation is not None:
            qk = rotate(qk, *rotation)
        q, k = qk.unbind(2)  # each (B, T, H, D)
        y = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
            scale=QK_SCALE / math.sqrt(C // self.n_head),
        )
        return self.out(y.transpose(1, 2).reshape(B, T, C))


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.n_embd, 4 * shape.n_embd, bias=shape.bias)
        self.out = nn.Linear(4 * shape.n_embd, shape.n_embd, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        return self.out(F.relu(self.up(x)).square())


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.n_embd, eps=1e-6)
        self.attention = Attention(shape, dropout)
        self.feed_forward_norm = nn.RMSNorm(shape.n_embd, eps=1e-6)
        self.feed_forward = FeedForward(shape)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:  # (B, T, C) -> (B, T, C)
        x = x + self.dropout(self.attention(self.attention_norm(x), rotation))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Transformer(nn.Module):
    """Token ids to logits over the vocabulary, every position at once."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.tokens_in, shape.n_embd)
        self.positions = None if shape.use_rope else nn.Embedding(shape.block_size, shape.n_embd)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(shape, dropout) for _ in range(shape.n_layer))
        self.norm = nn.RMSNorm(shape.n_embd, eps=1e-6)
        self.head = nn.Linear(shape.n_embd, shape.tokens_out, bias=shape.bias)
        if shape.use_rope:
            cos, sin = rotation_table(shape.block_size, shape.n_embd // shape.n_head)
            # Not persistent: the table follows from the shape, so a checkpoint need not carry it.
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Every block begins as the identity, and the head as the uniform distribution (loss ln V)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.5 / math.sqrt(module.in_features))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight)
        for block in self.blocks:
            nn.init.zeros_(block.attention.out.weight)
            nn.init.zeros_(block.feed_forward.out.weight)
        nn.init.zeros_(self.head.weight)

    def forward(self, ids: Tensor) -> Tensor:  # (B, T) -> (B, T, tokens_out)
        T = ids.shape[1]
        x = self.embedding(ids)
        rotation = None
        if self.positions is not None:
            x = x + self.positions.weight[:T]
        else:
            rotation = (self.cos[:T], self.sin[:T])
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, rotation)
        return self.head(self.norm(x))

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def flops_per_token(self) -> float:
        """Forward and backward, 6 N + 12 L d T: Chowdhery et al. 2022 (PaLM), appendix B."""
        shape = self.shape
        lookups = self.embedding.weight.numel() + (0 if self.positions is None else self.positions.weight.numel())
        return 6 * (self.parameter_count() - lookups) + 12 * shape.n_layer * shape.n_embd * shape.block_size


def rotation_table(length: int, head_size: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of position times frequency, each (length, 1, 1, head_size).

    The usual base of 10,000 leaves most frequencies of a short window nearly still; four times the window has the
    slowest one turn by about a third of a radian over it.
    """
    base = 4.0 * length
    frequencies = base ** (-torch.arange(0, head_size, 2, dtype=torch.float32) / head_size)
    angles = torch.outer(torch.arange(length, dtype=torch.float32), frequencies).repeat(1, 2)
    angles = angles[:, None, None, :]
    # The first half of the sines is negated here, once, so that `rotate` is two products and one sum.
    sin = angles.sin()
    sin[..., : head_size // 2].neg_()
    return angles.cos(), sin


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:  # (B, T, 2, H, D) -> (B, T, 2, H, D)
    """Turn each pair (x_i, x_{i + D/2}) by its position's angle, in the precision of `x`."""
    half = x.shape[-1] // 2
    swapped = torch.cat((x[..., half:], x[..., :half]), dim=-1)
    return x * cos.to(x.dtype) + swapped * sin.to(x.dtype)
