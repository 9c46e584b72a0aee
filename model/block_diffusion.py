"""Block diffusion: autoregressive over blocks of positions, masked diffusion within each (BD3-LM, Arriola et al. 2025).

In training the network reads each row twice, side by side: with masks, and clean. A masked block sees itself and the
clean blocks before it, so that all blocks of a row are learned from at once. For sampling, keys and values of finished
blocks are kept, and each call computes the current block alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from model.attention import attend
from model.sampling import Decoding, Sampler, WholeBatch

if TYPE_CHECKING:
    from model.transformer import Transformer

Past = list[tuple[Tensor, Tensor]]  # of each layer: keys and values (B, positions, H, D)


def two_stream_mask(length: int, block_length: int, device: torch.device) -> Tensor:  # -> (2 T, 2 T) bool
    """True where a query (row) sees a key (column); the first T positions are the masked ones, the others clean."""
    position = torch.arange(2 * length, device=device)
    clean, block = position >= length, position % length // block_length
    query, key = block[:, None], block[None, :]
    own = ~clean[:, None] & ~clean[None, :] & (query == key)
    before = clean[None, :] & torch.where(clean[:, None], key <= query, key < query)
    return own | before


def in_blocks_with_past(sampler: Sampler, block_length: int, *, mask_id: int) -> Sampler:
    """Blocks from left to right, each by `sampler`; the network reads one block at a time, and what it keeps of the
    blocks before. `predict` is (ids of a block, past) -> (logits, past with the block)."""

    def sample(predict: Callable[[Tensor, Past], tuple[Tensor, Past]], ids: Tensor, where: Tensor) -> Decoding:
        past: Past = []
        for start in range(0, ids.shape[1], block_length):
            here = slice(start, start + block_length)
            missing = block_length - ids[:, here].shape[1]  # of a last block that is not complete

            def ask(block: Tensor, past: Past = past, missing: int = missing) -> tuple[Tensor, Past]:
                return predict(F.pad(block, (0, missing), value=mask_id), past)

            if where[:, here].any():
                for block in sampler(WholeBatch(lambda block, ask=ask: ask(block)[0]), ids[:, here], where[:, here]):
                    ids = torch.cat((ids[:, :start], block, ids[:, start + block_length :]), dim=1)
                    yield ids
            if not where[:, start + block_length :].any():
                return
            past = ask(ids[:, here])[1]

    return sample


def continued(model: Transformer, ids: Tensor, past: Past) -> tuple[Tensor, Past]:
    """Logits (B, L, V) of one block of ids (B, L) after the finished blocks `past`, and the past with this block."""
    start = past[0][0].shape[1] if past else 0
    here = slice(start, start + ids.shape[1])
    x = model.embedding(ids)
    rotation = (model.cos[here], model.sin[here]) if model.positions is None else None
    if model.positions is not None:
        x = x + model.positions.weight[here]
    kept: Past = []
    for number, block in enumerate(model.blocks):
        q, k, v = block.attention.project(block.attention_norm(x), rotation)
        if past:
            k, v = (torch.cat(pair, dim=1) for pair in zip(past[number], (k, v), strict=True))
        kept.append((k, v))
        y = attend(q, k, v, causal=False, normalised=block.attention.normalised, dropout=0.0)
        x = x + block.attention.out(y.flatten(2))
        x = x + block.feed_forward(block.feed_forward_norm(x))
    return model.head(model.norm(x)), kept
