"""A pre-norm transformer over token ids. Knows nothing of masks, losses or files.

RMSNorm: Zhang and Sennrich 2019. Normalised queries and keys: Henry et al. 2020. Rotary positions: Su et al. 2021.
Squared ReLU and convolutions over neighbours: So et al. 2021 (Primer); before the projections: Allen-Zhu 2025 (Canon).
SwiGLU: Shazeer 2020. LayerNorm, GELU and learned positions are those of GPT-2 (Radford et al. 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.attention import attend, rotate, rotation_table
from model.block_diffusion import two_stream_mask


@dataclass(frozen=True, slots=True)
class Shape:
    """What determines the network: two checkpoints fit each other when their shapes are equal.

    A field that is added later has the value of earlier networks as its default, so that their checkpoints still load.
    """

    tokens_in: int  # rows of the embedding: the vocabulary and the mask
    tokens_out: int  # classes of the head: the vocabulary without the mask, or those of an error-detection model
    block_size: int
    n_layer: int
    n_head: int
    n_embd: int
    bias: bool = False
    attention_type: Literal["bidirectional", "causal"] = "bidirectional"
    use_rope: bool = True
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    mlp: Literal["relu2", "swiglu", "gelu", "gelu_tanh"] = "relu2"  # the last: GPT-2's own form
    qk_norm: bool = True
    conv_width: int = 0
    # Above 0: block diffusion. The network reads (B, 2 T) ids, the row with masks and the clean row beside it, and
    # answers for the first T (model/block_diffusion.py).
    block_length: int = 0
    prior: tuple[float, ...] = ()  # ln(frequency) of each class, which is added to the logits


def hidden_width(shape: Shape) -> int:
    """Of the feed-forward part; with SwiGLU a multiple of 8 that keeps the number of parameters."""
    if shape.mlp == "swiglu":
        return 8 * max(1, round(shape.n_embd / 3))
    return 4 * shape.n_embd


class Neighbours(nn.Module):
    """Adds to each position a weighted sum of its neighbours, channel by channel. Initialised as the identity."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        reach = shape.conv_width // 2
        # A causal network may look to the left only.
        self.shifts = range(-2 * reach, 1) if shape.attention_type == "causal" else range(-reach, reach + 1)
        self.weight = nn.Parameter(torch.zeros(len(self.shifts), shape.n_embd))

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C) -> (B, T, C)
        T, left, right = x.shape[1], -self.shifts[0], self.shifts[-1]
        weight = self.weight.to(x.dtype)
        padded = F.pad(x, (0, 0, left, right))
        # Shifted products rather than conv1d: the compiler fuses them into one pass over the memory.
        return x + sum(padded[:, shift + left : shift + left + T] * weight[i] for i, shift in enumerate(self.shifts))


class Attention(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.n_head = shape.n_head
        self.causal = shape.attention_type == "causal"
        self.normalised = shape.qk_norm
        self.dropout = dropout
        self.qkv = nn.Linear(shape.n_embd, 3 * shape.n_embd, bias=shape.bias)
        self.out = nn.Linear(shape.n_embd, shape.n_embd, bias=shape.bias)

    def forward(
        self, x: Tensor, rotation: tuple[Tensor, Tensor] | None, mask: Tensor | None = None
    ) -> Tensor:  # (B, T, C) -> (B, T, C)
        q, k, v = self.project(x, rotation)
        dropout = self.dropout if self.training else 0.0
        y = attend(q, k, v, causal=self.causal, normalised=self.normalised, dropout=dropout, mask=mask)
        return self.out(y.reshape(x.shape))

    def project(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> queries, keys and values, each (B, T, H, D)."""
        B, T, C = x.shape
        qkv = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head)
        qk, v = qkv[:, :, :2], qkv[:, :, 2]
        if self.normalised:
            qk = F.rms_norm(qk, (C // self.n_head,))
        if rotation is not None:
            qk = rotate(qk, *rotation)
        q, k = qk.unbind(2)
        return q, k, v


class FeedForward(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.kind = hidden_width(shape), shape.mlp
        self.up = nn.Linear(shape.n_embd, width * (2 if self.kind == "swiglu" else 1), bias=shape.bias)
        self.out = nn.Linear(width, shape.n_embd, bias=shape.bias)

    def forward(self, x: Tensor) -> Tensor:  # (..., C) -> (..., C)
        x = self.up(x)
        if self.kind == "swiglu":
            gate, x = x.chunk(2, dim=-1)
            return self.out(F.silu(gate) * x)
        if self.kind == "relu2":
            return self.out(F.relu(x).square())
        return self.out(F.gelu(x, approximate="tanh" if self.kind == "gelu_tanh" else "none"))


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.attention_norm = norm(shape)
        self.attention_conv = Neighbours(shape) if shape.conv_width else nn.Identity()
        self.attention = Attention(shape, dropout)
        self.feed_forward_norm = norm(shape)
        self.feed_forward_conv = Neighbours(shape) if shape.conv_width else nn.Identity()
        self.feed_forward = FeedForward(shape)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        rotation: tuple[Tensor, Tensor] | None,
        at: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """(B, T, C) -> (B, T, C); with `at`, flat positions (M,), only their results: (M, C)."""
        x = x + self.dropout(self.attention(self.attention_conv(self.attention_norm(x)), rotation, mask))
        h = self.feed_forward_conv(self.feed_forward_norm(x))
        if at is not None:
            x, h = x.flatten(0, 1)[at], h.flatten(0, 1)[at]
        return x + self.dropout(self.feed_forward(h))


class Transformer(nn.Module):
    """Token ids to logits over the vocabulary, every position at once."""

    def __init__(self, shape: Shape, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.tokens_in, shape.n_embd)
        self.positions = None if shape.use_rope else nn.Embedding(shape.block_size, shape.n_embd)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(shape, dropout) for _ in range(shape.n_layer))
        self.norm = norm(shape)
        self.head = nn.Linear(shape.n_embd, shape.tokens_out, bias=shape.bias)
        if shape.use_rope:
            cos, sin = rotation_table(shape.block_size, shape.n_embd // shape.n_head)
            # Not persistent: the table follows from the shape, so it is not in checkpoints.
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)
        # With a rare class, a head without a bias learns the frequencies slowly, at the expense of all else (logit
        # adjustment: Menon et al. 2021). The prior follows from the shape, too.
        self.register_buffer("prior", torch.tensor(shape.prior) if shape.prior else None, persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise every block as the identity, and the head as the uniform distribution (loss ln V)."""
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

    def forward(self, ids: Tensor, at: Tensor | None = None) -> Tensor:
        """Logits (B, T, tokens_out) of ids (B, T); with `at`, flat positions (M,), of these alone: (M, tokens_out).

        After the last attention no position depends on another, so the other positions are not computed.
        """
        streams = 2 if self.shape.block_length else 1
        T = ids.shape[1] // streams
        mask = two_stream_mask(T, self.shape.block_length, ids.device) if streams == 2 else None
        x = self.embedding(ids)
        rotation = None
        if self.positions is not None:
            x = x + (self.positions.weight[:T] if streams == 1 else self.positions.weight[:T].repeat(2, 1))
        else:
            rotation = (self.cos[:T], self.sin[:T])
            if streams == 2:
                rotation = (self.cos[:T].repeat(2, 1, 1, 1), self.sin[:T].repeat(2, 1, 1, 1))
        x = self.dropout(x)
        last = len(self.blocks) - 1
        if at is not None and streams == 2:
            at = at // T * (streams * T) + at % T
        for number, block in enumerate(self.blocks):
            x = block(x, rotation, at if number == last else None, mask)
        if at is None:
            x = x[:, :T]
        logits = self.head(self.norm(x))
        return logits if self.prior is None else logits.float() + self.prior

    def set_prior(self, prior: tuple[float, ...]) -> None:
        """Use that of a checkpoint, whose version may have estimated it otherwise."""
        self.shape = replace(self.shape, prior=prior)
        if self.prior is not None:
            self.prior.copy_(torch.tensor(prior))

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def flops_per_token(self) -> float:
        """Forward and backward, 6 N + 12 L d T: Chowdhery et al. 2022 (PaLM), appendix B."""
        shape = self.shape
        lookups = self.embedding.weight.numel() + (0 if self.positions is None else self.positions.weight.numel())
        return 6 * (self.parameter_count() - lookups) + 12 * shape.n_layer * shape.n_embd * shape.block_size


def norm(shape: Shape) -> nn.Module:
    if shape.norm == "layernorm":
        return nn.LayerNorm(shape.n_embd, bias=shape.bias)
    return nn.RMSNorm(shape.n_embd, eps=1e-6)
